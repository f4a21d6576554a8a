package cli

import (
	"time"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// streamed is an answer that is written by jsonStream.
type streamed struct {
	list      string
	item, end any
	// names are the members of end, all if there are none.
	names []string
}

// answersOf has the answers of each command with -o json. Each is a value of the type that the command prints.
var answersOf = map[string][]any{
	"adopt apply":  {streamed{"products", adoptedProduct{}, adoptedTotals{}, nil}},
	"adopt plan":   {streamed{"products", adoptMatch{}, adoptTotals{}, nil}},
	"apply":        {applyAnswer{}},
	"approve":      {&controlv1.ApproveResponse{}},
	"config check": {configAnswer{}},
	"dead drop":    {&controlv1.DropDeadLettersResponse{}},
	"dead list":    {&controlv1.ListDeadLettersResponse{}},
	"dead replay":  {&controlv1.ReplayDeadLettersResponse{}},
	"dead show":    {&controlv1.GetDeadLettersResponse{}},
	"demo":         {demoAnswer{}},
	"diff": {
		statesStream("products", &controlv1.ProductDiff{}, &controlv1.DiffStatesResponse{}, "unknown"),
		unknownAnswer{},
	},
	"doctor":        {doctorAnswer{}},
	"drift ignore":  {&controlv1.ListDriftResponse{}},
	"drift list":    {&controlv1.ListDriftResponse{}, unknownAnswer{}},
	"drift resolve": {&controlv1.ListDriftResponse{}},
	"drift show":    {&controlv1.ListDriftResponse{}, unknownAnswer{}},
	"history": {
		&controlv1.ListHistoryResponse{},
		&controlv1.ListStatesResponse{},
		statesStream("states", &controlv1.PastState{}, &controlv1.ListStatesResponse{}),
		unknownAnswer{},
	},
	"init":        {initResult{Sample: &catalogSummary{}}},
	"keys create": {keyAnswer{}},
	"keys public": {keyAnswer{}},
	"migrate":     {migrateAnswer{}},
	"notify test": {&controlv1.TestNotificationResponse{}},
	"settings":    {&controlv1.GetSettingsResponse{}, unknownAnswer{}},
	"pause":       {&controlv1.PauseResponse{}},
	"plan": {
		&controlv1.PlanResponse{},
		streamed{
			"products",
			previewedPlan{Plan: message{&controlv1.ProductPlan{}}},
			previewEnd{&previewSummary{}},
			nil,
		},
		unknownAnswer{},
	},
	"preview":        {catalogPreview{Products: []previewedProduct{{Product: &message{&catalogv1.Product{}}}}}},
	"products list":  {&controlv1.ListProductsResponse{}, unknownAnswer{}},
	"products count": {&controlv1.CountProductsResponse{}, unknownAnswer{}},
	"reject":         {&controlv1.RejectResponse{}},
	"reread":         {&meshv1.TableComparison{}, startedAnswer{}},
	"resume":         {&controlv1.ResumeResponse{}},
	"retries":        {&controlv1.ListRetriesResponse{}, unknownAnswer{}},
	"rollback":       {&controlv1.RollbackResponse{}},
	"scan":           {&meshv1.ScanReport{}, startedAnswer{}},
	"status":         {&controlv1.GetStatusResponse{}, unknownAnswer{}},
	"sync":           {streamed{"products", syncedProduct{}, syncTotals{AsOf: &time.Time{}}, nil}, unknownAnswer{}},
	"tail":           {&controlv1.ActivityEntry{}},
	"token hash":     {tokenAnswer{}},
	"token new":      {tokenAnswer{}},
	"top": {
		topAnswer{message{&controlv1.GetStatusResponse{}}, message{&controlv1.ListRetriesResponse{}}},
		unknownAnswer{},
	},
	"topology apply":       {topologyAnswer{}},
	"topology permissions": {[]topology.Permissions{}},
	"topology plan":        {[]topology.Difference{}},
	"trace":                {traceAnswer{}},
	"up":                   {endpoints{}, &controlv1.PlanResponse{}},
	"version":              {versionAnswer{Mesh: &message{&controlv1.ListProcessesResponse{}}}},
	"webhook create":       {webhookAnswer{}},
	"webhook list":         {webhooksAnswer{}},
	"webhook rotate":       {webhookAnswer{}},
	"whoami":               {&controlv1.WhoAmIResponse{}},
	"why":                  {&controlv1.ExplainResponse{}, unknownAnswer{}},
}

// withoutJSON are the commands whose output is that of something else: a file for apply, a script, a server.
var withoutJSON = []string{"completion", "complete", "export", "help", "psql", "sim"}

func statesStream(list string, item, end proto.Message, more ...string) streamed {
	return streamed{list, item, end, append([]string{"known_from", "equality"}, more...)}
}
