package cli

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// printed runs a command and returns its exit code and its standard output.
func printed(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	require.NoError(t, err)
	defer file.Close()
	before, table := os.Stdout, stdout
	os.Stdout, stdout = file, file
	defer func() { os.Stdout, stdout = before, table }()
	code = Main(args)
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.NoError(t, checkOutput(args, string(data)))
	return code, string(data)
}

func TestDeadList_FiltersLetters(t *testing.T) {
	var asked *controlv1.ListDeadLettersRequest
	s := &stub{status: func() (*controlv1.GetStatusResponse, error) {
		return &controlv1.GetStatusResponse{Equality: equalNow()}, nil
	}, list: func(req *controlv1.ListDeadLettersRequest) (*controlv1.ListDeadLettersResponse, error) {
		asked = req
		return &controlv1.ListDeadLettersResponse{
			DeadLetters: []*meshv1.DeadLetter{{
				ProductId: "mug",
				Reason:    "refused_by_stripe",
				Message:   "No such tax code",
			}},
		}, nil
	}}
	url := s.serve(t)
	code, out := printed(t, "dead", "--control", url)
	require.Zero(t, code)
	require.Contains(t, out, "No such tax code")
	require.EqualValues(t, 100, asked.GetLimit())
	code, out = printed(t, "dead", "list", "--control", url, "--product", "mug", "--product", "cup", "--reason",
		"refused_by_stripe", "--service", "push", "-o", "json")
	require.Zero(t, code)
	require.Equal(t, []string{"mug", "cup"}, asked.GetProductIds())
	require.Equal(t, "refused_by_stripe", asked.GetReason())
	require.Equal(t, "push", asked.GetService())
	require.NoError(t, protojson.Unmarshal([]byte(out), &controlv1.ListDeadLettersResponse{}))
}

func TestDeadList_SaysWhatItDoesNotShow(t *testing.T) {
	letters := &controlv1.ListDeadLettersResponse{}
	status := &controlv1.GetStatusResponse{Equality: equalNow()}
	var away error
	url := (&stub{
		list: func(*controlv1.ListDeadLettersRequest) (*controlv1.ListDeadLettersResponse, error) {
			return letters, nil
		},
		status: func() (*controlv1.GetStatusResponse, error) { return status, away },
	}).serve(t)
	code, out := printed(t, "dead", "--control", url)
	require.Zero(t, code)
	require.Equal(t, "No dead letter is open.\n", out)

	letters.DeadLetters, letters.Total = []*meshv1.DeadLetter{{ProductId: "mug", Reason: "exhausted"}}, 250
	code, out = printed(t, "dead", "--control", url)
	require.Zero(t, code)
	require.Contains(t, out, "250 dead letters are open; these are the latest 1: --limit shows more")

	letters.DeadLetters, letters.Total = nil, 0
	status.Equality.Unknown = "reconciliation reads the streams again"
	code, out = printed(t, "dead", "--control", url)
	require.Equal(t, 2, code)
	require.Equal(t, "unknown: reconciliation reads the streams again; 0 dead letters are open as far as is known\n", out)

	away = connect.NewError(connect.CodeUnavailable, errors.New("NATS is away"))
	for _, format := range []string{"text", "json"} {
		code, out = printed(t, "dead", "--control", url, "-o", format)
		require.Equal(t, 2, code, format)
	}
	require.NoError(t, protojson.Unmarshal([]byte(out), &controlv1.ListDeadLettersResponse{}))
}

func TestDeadShow_PrintsAllDetails(t *testing.T) {
	letter := &meshv1.DeadLetter{
		ProductId: "mug", Service: "push", Version: 7, Reason: "refused_by_stripe",
		Message: "No such tax code: 'txcd_1'", Field: "tax_code",
		Step: "update product mug", StripeCode: "resource_missing", StripeRequestId: "req_1", Attempts: 3,
		FirstAt: timestamppb.Now(), LastAt: timestamppb.Now(),
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Stream:      "CATALOG", Subject: "catalog.default.live.mug", Sequence: 12,
	}
	detail := &controlv1.DeadLetterDetail{
		DeadLetter: letter,
		Wanted: &catalogv1.ProductChange{
			Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product:   &catalogv1.Product{Id: "mug", Name: "Mug", TaxCode: "txcd_1"},
		},
		Steps: []*controlv1.PlannedStep{{
			Step:       "update product mug",
			Parameters: []*controlv1.Parameter{{Name: "tax_code", Value: "txcd_1"}},
		}},
	}
	s := &stub{get: func(req *controlv1.GetDeadLettersRequest) (*controlv1.GetDeadLettersResponse, error) {
		if req.GetProductId() != "mug" {
			return &controlv1.GetDeadLettersResponse{}, nil
		}
		return &controlv1.GetDeadLettersResponse{DeadLetters: []*controlv1.DeadLetterDetail{
			detail,
			{DeadLetter: letter, Wanted: &catalogv1.ProductChange{Operation: catalogv1.Operation_OPERATION_DELETE}},
			{DeadLetter: &meshv1.DeadLetter{ProductId: "mug", Service: "pull"}},
		}}, nil
	}}
	url := s.serve(t)
	code, out := printed(t, "dead", "show", "mug", "--control", url)
	require.Zero(t, code)
	for _, want := range []string{
		"No such tax code: 'txcd_1'", "resource_missing", "req_1", "update product mug", "attempts",
		"4bf92f3577b34da6a3ce929d0e0e4736\n",
		letter.GetTraceparent(), "catalog.default.live.mug, message 12 of CATALOG", `"Mug"`, "tax_code = txcd_1",
		"wanted: archived", "wanted: no longer known",
	} {
		require.Contains(t, out, want)
	}
	code, out = printed(t, "dead", "show", "mug", "--control", url, "-o", "json")
	require.Zero(t, code)
	got := &controlv1.GetDeadLettersResponse{}
	require.NoError(t, protojson.Unmarshal([]byte(out), got))
	require.Equal(t, "Mug", got.GetDeadLetters()[0].GetWanted().GetProduct().GetName())
}

func TestDeadReplayAndDrop_PrintResultOfEachLetter(t *testing.T) {
	mug := &controlv1.DeadLetterResult{
		ProductId: "mug",
		LetterId:  "l1",
		Service:   "push",
		Reason:    "exhausted",
		Ordered:   "push",
	}
	failed := &controlv1.DeadLetterResult{ProductId: "cup", LetterId: "l2", Error: "NATS: away"}
	missing := &controlv1.DeadLetterResult{ProductId: "jar", Error: "no such dead letter is open"}
	for name, c := range map[string]struct {
		results []*controlv1.DeadLetterResult
		err     error
		code    int
		out     []string
	}{
		"all selected": {[]*controlv1.DeadLetterResult{mug}, nil, 0, []string{"mug"}},
		"none there":   {nil, nil, 0, []string{"no open dead letter matches the selection"}},
		"one failed": {
			[]*controlv1.DeadLetterResult{failed, mug},
			nil, 1,
			[]string{"mug", "failed: NATS: away"},
		},
		"one missing": {
			[]*controlv1.DeadLetterResult{missing, mug},
			nil, 1,
			[]string{"mug", "failed: no such dead letter is open"},
		},
		"refused": {nil, connect.NewError(connect.CodeUnauthenticated, nil), 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var why string
			s := &stub{
				replay: func(*controlv1.ReplayDeadLettersRequest) (*controlv1.ReplayDeadLettersResponse, error) {
					return &controlv1.ReplayDeadLettersResponse{Results: c.results}, c.err
				},
				drop: func(req *controlv1.DropDeadLettersRequest) (*controlv1.DropDeadLettersResponse, error) {
					why = req.GetWhy()
					return &controlv1.DropDeadLettersResponse{Results: c.results}, c.err
				},
			}
			url := s.serve(t)
			for _, args := range [][]string{
				{"replay", "--reason", "exhausted"},
				{"drop", "--all", "--why", "not sold any more"},
			} {
				code, out := printed(t, append([]string{"dead"}, append(args, "--control", url)...)...)
				require.Equal(t, c.code, code)
				for _, want := range c.out {
					require.Contains(t, out, want)
				}
			}
			require.Equal(t, "not sold any more", why)
		})
	}
}

func TestDeadReplay_ReadsAllPagesAndStopsAtFailure(t *testing.T) {
	var asked []string
	failAt := ""
	s := &stub{replay: func(req *controlv1.ReplayDeadLettersRequest) (*controlv1.ReplayDeadLettersResponse, error) {
		after := req.GetSelection().GetAfter()
		asked = append(asked, after)
		next := map[string]string{"": "a", "a": "b", "b": "c"}[after]
		result := &controlv1.DeadLetterResult{ProductId: next, LetterId: next}
		if next == failAt {
			result.Error = "NATS: away"
		}
		return &controlv1.ReplayDeadLettersResponse{
			Results:   []*controlv1.DeadLetterResult{result},
			Truncated: next != "c",
		}, nil
	}}
	url := s.serve(t)
	code, out := printed(t, "dead", "replay", "--all", "--control", url, "-o", "json")
	require.Zero(t, code)
	require.Equal(t, []string{"", "a", "b"}, asked)
	whole := &controlv1.ReplayDeadLettersResponse{}
	require.NoError(t, protojson.Unmarshal([]byte(out), whole))
	require.Len(t, whole.GetResults(), 3)

	asked, failAt = nil, "b"
	code, out = printed(t, "dead", "replay", "--all", "--control", url)
	require.Equal(t, 1, code)
	require.Equal(t, []string{"", "a"}, asked, "it stops after a failure")
	require.Contains(t, out, "failed: NATS: away")
}
