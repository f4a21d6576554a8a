package control_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestListDeadLetters_Filters(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.AddDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	r.AddDeadLetter(topology.Push, "cup", topology.ReasonExhausted, 11)
	r.AddDeadLetter(topology.Ingestion, "jar", topology.ReasonInvalidProduct, 12)
	for request, want := range map[string][]string{
		`{}`:                              {"ingestion jar", "push cup", "push mug"},
		`{"service":"push"}`:              {"push cup", "push mug"},
		`{"reason":"refused_by_stripe"}`:  {"push mug"},
		`{"product_ids":["jar","other"]}`: {"ingestion jar"},
		`{"product_ids":["jar","mug"],"service":"push","reason":"refused_by_stripe"}`: {"push mug"},
		`{"reason":"undecodable"}`: {},
	} {
		require.Equal(t, want, r.Letters(request), request)
	}
}

func TestReplayDeadLetters_SyncsLatestStateByPush(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	r.Desire("mug", "Mug", 10)
	r.AddDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)

	results := controltest.Ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
		`{"selection":{"product_ids":["mug"]}}`).GetResults()
	require.Len(t, results, 1)
	require.Equal(t, topology.Push, results[0].GetOrdered())
	require.Empty(t, results[0].GetError())
	command := r.LastCommand(topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug"))
	require.Equal(t, "operator", command.GetIssuer())
	require.Equal(t, "mug", command.GetSync().GetProductId())
	require.True(t, command.GetSync().GetLook())
	require.Equal(t, "ordered", r.Kinds("mug")[0])
	require.Equal(t, []string{"push mug"}, r.Letters(`{}`), "the outcome of the command closes it")
	require.True(t, r.IsStored(topology.Push, "mug"))

	// The product is refused again: the new letter replaces the old one.
	again := r.AddDeadLetter(topology.Push, "mug", topology.ReasonNotConverging, 10)
	require.Eventually(t, func() bool {
		open := controltest.Ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters()
		return len(open) == 1 && open[0].GetId() == again.GetId()
	}, controltest.Patience, 10*time.Millisecond)
	require.True(t, r.IsStored(topology.Push, "mug"))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_DEAD, r.State("mug"))

	// The product is applied: the letter is gone, also from DEAD.
	r.Observe("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Empty(t, r.Letters(`{}`))
	require.Eventually(t, func() bool { return !r.IsStored(topology.Push, "mug") }, controltest.Patience,
		10*time.Millisecond)
}

func TestReplayDeadLetters_BackfillsByIngestion(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	for i, id := range []string{"mug", "cup"} {
		r.AddDeadLetter(topology.Ingestion, id, topology.ReasonInvalidProduct, uint64(20+i))
	}
	// The letter could not be decoded. Its product may be one that the catalog never had, which ingestion would report
	// as removed.
	r.AddDeadLetter(topology.Ingestion, "unknown", topology.ReasonUndecodable, 0)
	r.AddDeadLetter(topology.Pull, "jar", topology.ReasonUndecodable, 0)

	results := controltest.Ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
		`{"selection":{"all":true}}`).GetResults()
	by := map[string]string{}
	for _, result := range results {
		require.Empty(t, result.GetError())
		by[result.GetProductId()] = result.GetOrdered()
	}
	require.Equal(t,
		map[string]string{
			"mug":     topology.Ingestion,
			"cup":     topology.Ingestion,
			"unknown": topology.Push,
			"jar":     topology.Push,
		}, by)
	command := r.LastCommand(topology.CommandSubject(topology.Ingestion, "default", topology.VerbBackfill, ""))
	require.Equal(t, "operator", command.GetIssuer())
	require.Equal(t, []string{"cup", "mug"}, command.GetBackfill().GetProductIds())
	require.Equal(t, []string{"ordered", "dead"}, r.Kinds("mug"))
	require.True(t,
		r.LastCommand(topology.CommandSubject(topology.Push, "default", topology.VerbSync, "jar")).GetSync().GetLook())
	require.Equal(t, []string{"ingestion cup", "ingestion mug"}, r.Letters(`{}`),
		"the command closes letters without a version")
	require.Eventually(t, func() bool { return !r.IsStored(topology.Pull, "jar") }, controltest.Patience,
		10*time.Millisecond)

	r.Desire("mug", "Mug", 25)
	r.Observe("mug", "Mug", 25)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Equal(t, []string{"ingestion cup"}, r.Letters(`{}`))
	require.Eventually(t, func() bool { return !r.IsStored(topology.Ingestion, "mug") }, controltest.Patience,
		10*time.Millisecond)
}

func TestReplayDeadLetters_DecidesFailedWriteBackAgain(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	r.Desire("mug", "Mug", 10)
	payload, err := proto.Marshal(&meshv1.Command{Verb: &meshv1.Command_WriteBack{WriteBack: &meshv1.WriteBack{
		ProductId: "mug",
		Version:   10,
		Product:   &catalogv1.Product{Id: "mug", Name: "By hand"},
		Fields:    []string{"name"},
	}}})
	require.NoError(t, err)
	require.NoError(t, r.Mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   "default",
		ProductId: "mug",
		Version:   10,
		Reason:    topology.ReasonWriteBackFailed,
		Payload:   payload,
		Stream:    topology.StreamCommand,
		Message:   "refused",
	}))
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	detail := controltest.Ask[controlv1.GetDeadLettersResponse](r, "GetDeadLetters",
		`{"product_id":"mug"}`).GetDeadLetters()
	require.Len(t, detail, 1)
	require.Equal(t, "By hand", detail[0].GetWanted().GetProduct().GetName())

	results := controltest.Ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
		`{"selection":{"all":true}}`).GetResults()
	require.Len(t, results, 1)
	require.Equal(t, topology.Push, results[0].GetOrdered(),
		"a reread from Stripe, and the remaining difference is judged as usual")
	require.True(t,
		r.LastCommand(topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug")).GetSync().GetLook())
	require.Nil(t, r.LastCommand(topology.CommandSubject(topology.Ingestion, "default", topology.VerbBackfill, "")))
	require.Equal(t, []string{"ingestion mug"}, r.Letters(`{}`))

	// The write-back succeeds after all.
	r.Desire("mug", "By hand", 11)
	r.Observe("mug", "By hand", 11)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Empty(t, r.Letters(`{}`))
}

func TestDropDeadLetters_RemovesLetter(t *testing.T) {
	r := controltest.New(t)
	stop := r.Start()
	r.Desire("mug", "Mug", 10)
	r.Observe("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	letter := r.AddDeadLetter(topology.Ingestion, "mug", topology.ReasonInvalidProduct, 20)
	r.AddDeadLetter(topology.Pull, "mug", topology.ReasonUndecodable, 0)
	r.AddDeadLetter(topology.Pull, "cup", topology.ReasonUndecodable, 0)

	dropped := controltest.Ask[controlv1.DropDeadLettersResponse](r, "DropDeadLetters",
		`{"selection":{"product_ids":["mug","other"],"service":"ingestion"},"why":"made by mistake"}`).GetResults()
	require.Len(t, dropped, 2)
	require.Equal(t, letter.GetId(), dropped[0].GetLetterId())
	require.Empty(t, dropped[0].GetError())
	require.Equal(t, "other", dropped[1].GetProductId())
	require.Equal(t, "no such dead letter is open", dropped[1].GetError())
	require.Equal(t, []string{"pull cup", "pull mug"}, r.Letters(`{}`))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_DEAD, r.State("mug"), "another letter is open")
	require.False(t, r.IsStored(topology.Ingestion, "mug"))
	entry := controltest.Ask[controlv1.ListHistoryResponse](r, "ListHistory", `{"product_id":"mug"}`).GetEntries()[0]
	require.Equal(t, "dropped", entry.GetKind())
	require.Equal(t, "invalid_product, by operator: made by mistake", entry.GetDetail())

	controltest.Ask[controlv1.DropDeadLettersResponse](r, "DropDeadLetters", `{"selection":{"reason":"undecodable"}}`)
	require.Empty(t, r.Letters(`{}`))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_IN_SYNC, r.State("mug"))

	// A ledger that is created again does not have them either.
	stop()
	r.Config.LedgerURL = controltest.LedgerURL(t)
	stream, err := r.Mesh.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	require.Zero(t, stream.CachedInfo().State.Msgs)
}

func TestDropDeadLetters_LetsProductDriftAndDieAgain(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.AckCatalog()
	commands := r.Commands("mug")
	r.Desire("mug", "Mug", 10)
	r.AddDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	require.Zero(t, commands.Load())

	controltest.Ask[controlv1.DropDeadLettersResponse](r, "DropDeadLetters", `{"selection":{"all":true}}`)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	require.Eventually(t, func() bool { return commands.Load() == 1 }, controltest.Patience, 10*time.Millisecond)

	r.AddDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	r.Clock.Advance(time.Hour)
	localtest.Holds(t, 3*controltest.Grace, func() bool { return commands.Load() == 1 }, "the dead are not repaired")
}

func TestReplayDeadLetters_PagesLongSelections(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	const n = 450
	for i := range n {
		require.NoError(t, r.Mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
			Service:   topology.Push,
			Account:   "default",
			ProductId: fmt.Sprintf("p%d", i),
			Version:   1,
			Reason:    topology.ReasonRefused,
			LastAt:    timestamppb.Now(),
		}))
	}
	require.Eventually(t, func() bool { return len(r.Letters(`{"limit":1000}`)) == n }, controltest.Patience,
		50*time.Millisecond)
	seen := map[string]bool{}
	for after, parts := "", 1; ; parts++ {
		resp := controltest.Ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
			fmt.Sprintf(`{"selection":{"all":true,"after":%q}}`, after))
		for _, result := range resp.GetResults() {
			require.False(t, seen[result.GetProductId()])
			require.Empty(t, result.GetError())
			seen[result.GetProductId()] = true
			after = result.GetProductId()
		}
		if !resp.GetTruncated() {
			require.Equal(t, 3, parts)
			break
		}
	}
	require.Len(t, seen, n)
	named := controltest.Ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
		`{"selection":{"product_ids":["p7","p7","none"]}}`).GetResults()
	require.Len(t, named, 2)
	require.Equal(t, "none", named[0].GetProductId())
	require.NotEmpty(t, named[0].GetError())
	require.Equal(t, "p7", named[1].GetProductId())
}

func TestGetDeadLetters_ReturnsWantedStateAndSteps(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	r.Desire("mug", "Mug", 10)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	// The letter of a repair: the payload is the command, and CATALOG has the state.
	r.AddDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	shown := controltest.Ask[controlv1.GetDeadLettersResponse](r, "GetDeadLetters",
		`{"product_id":"mug"}`).GetDeadLetters()
	require.Len(t, shown, 1)
	require.Equal(t, "Mug", shown[0].GetWanted().GetProduct().GetName())
	require.Equal(t, "create product mug", shown[0].GetSteps()[0].GetStep())

	payload, err := proto.Marshal(&catalogv1.ProductChange{
		ProductId: "cup",
		Product:   &catalogv1.Product{Id: "cup", Name: strings.Repeat("c", 6000)},
	})
	require.NoError(t, err)
	require.NoError(t, r.Mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   "default",
		ProductId: "cup",
		Version:   12,
		Reason:    topology.ReasonInvalidProduct,
		Payload:   payload,
	}))
	r.Eventually("cup", controlv1.ProductState_PRODUCT_STATE_DEAD)
	shown = controltest.Ask[controlv1.GetDeadLettersResponse](r, "GetDeadLetters",
		`{"product_id":"cup"}`).GetDeadLetters()
	require.Len(t, shown[0].GetWanted().GetProduct().GetName(), 6000)
	require.Empty(t, shown[0].GetSteps(), "it never came to CATALOG")
	require.Empty(t,
		controltest.Ask[controlv1.GetDeadLettersResponse](r, "GetDeadLetters",
			`{"product_id":"other"}`).GetDeadLetters())
}

func TestDropDeadLetters_RequiresSelectionAndToken(t *testing.T) {
	r := controltest.New(t)
	r.Config.Auth.Token = "secret"
	r.Start()
	for _, method := range []string{"GetDeadLetters", "ReplayDeadLetters", "DropDeadLetters"} {
		status, _ := r.Call(method, `{"selection":{"all":true}}`)
		require.Equal(t, http.StatusUnauthorized, status)
	}
	auth := []string{"Authorization", "Bearer secret"}
	for _, method := range []string{"ReplayDeadLetters", "DropDeadLetters"} {
		for _, body := range []string{`{}`, `{"selection":{}}`} {
			status, answer := r.Call(method, body, auth...)
			require.Equal(t, http.StatusBadRequest, status)
			require.Contains(t, string(answer), "selection: ")
		}
	}
	status, answer := r.Call("DropDeadLetters",
		fmt.Sprintf(`{"selection":{"all":true},"why":%q}`, strings.Repeat("y", 1001)), auth...)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, string(answer), "why: must have at most 1000")
	status, _ = r.Call("GetDeadLetters", `{}`, auth...)
	require.Equal(t, http.StatusBadRequest, status)
}
