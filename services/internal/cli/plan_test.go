package cli

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

// equalNow returns an equality as of now.
func equalNow() *controlv1.Equality {
	now := timestamppb.Now()
	return &controlv1.Equality{AsOf: now, At: now, TablesComparedAt: now}
}

func differs(state controlv1.ProductState) *controlv1.PlanResponse {
	return &controlv1.PlanResponse{
		Compared: 1,
		Products: []*controlv1.ProductPlan{{ProductId: "mug", State: state}},
		Equality: equalNow(),
	}
}

func TestPlan_ExitCodes(t *testing.T) {
	always := func(plan *controlv1.PlanResponse) func() (*controlv1.PlanResponse, error) {
		return func() (*controlv1.PlanResponse, error) { return plan, nil }
	}
	refused := connect.NewError(connect.CodeUnauthenticated, nil)
	for name, c := range map[string]struct {
		stub stub
		args []string
		want int
	}{
		"nothing differs": {stub{plan: always(&controlv1.PlanResponse{Equality: equalNow()})}, nil, 0},
		"in flight, without waiting": {
			stub{plan: always(&controlv1.PlanResponse{InFlight: 1, Equality: equalNow()})},
			nil,
			0,
		},
		"unknown": {stub{
			plan: always(&controlv1.PlanResponse{Equality: &controlv1.Equality{Unknown: "capture is stopped"}}),
		}, nil, 2},
		"of an older service": {stub{plan: always(&controlv1.PlanResponse{})}, nil, 2},
		"no answer": {stub{
			plan: func() (*controlv1.PlanResponse, error) {
				return nil, connect.NewError(connect.CodeUnavailable, nil)
			},
		}, nil, 2},
		"stays unknown": {
			stub{
				plan: always(
					&controlv1.PlanResponse{
						Equality: &controlv1.Equality{Unknown: "capture is stopped", AsOf: timestamppb.Now()},
					}),
			},
			[]string{"--wait-converged", "250ms"},
			2,
		},
		"drifted": {stub{plan: always(differs(controlv1.ProductState_PRODUCT_STATE_DRIFTED))}, nil, 2},
		"dead":    {stub{plan: always(differs(controlv1.ProductState_PRODUCT_STATE_DEAD))}, nil, 2},
		"refused": {stub{plan: func() (*controlv1.PlanResponse, error) { return nil, refused }}, nil, 1},
		"converged": {
			stub{plan: always(&controlv1.PlanResponse{Equality: equalNow()})},
			[]string{"--wait-converged", "30s"},
			0,
		},
		"stays in flight": {
			stub{plan: always(&controlv1.PlanResponse{InFlight: 1, Equality: equalNow()})},
			[]string{"--wait-converged", "250ms"},
			2,
		},
		"stays different": {
			stub{plan: always(differs(controlv1.ProductState_PRODUCT_STATE_PENDING))},
			[]string{"--wait-converged", "250ms"},
			2,
		},
		"not captured in time": {
			stub{
				plan:         always(&controlv1.PlanResponse{Equality: equalNow()}),
				waitCaptured: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			},
			[]string{"--wait-converged", "250ms"},
			2,
		},
		"ingestion says first that the time is up": {
			stub{
				plan: always(&controlv1.PlanResponse{Equality: equalNow()}),
				waitCaptured: func(context.Context) error {
					return connect.NewError(connect.CodeDeadlineExceeded, nil)
				},
			},
			[]string{"--wait-converged", "30s"},
			2,
		},
		"ingestion away": {
			stub{
				plan:         always(&controlv1.PlanResponse{Equality: equalNow()}),
				waitCaptured: func(context.Context) error { return connect.NewError(connect.CodeUnavailable, nil) },
			},
			[]string{"--wait-converged", "250ms"},
			2,
		},
		"reconciliation away": {
			stub{
				plan: func() (*controlv1.PlanResponse, error) {
					return nil, connect.NewError(connect.CodeUnavailable, nil)
				},
			},
			[]string{"--wait-converged", "250ms"},
			2,
		},
		"not let in": {
			stub{
				plan:         always(&controlv1.PlanResponse{Equality: equalNow()}),
				waitCaptured: func(context.Context) error { return refused },
			},
			[]string{"--wait-converged", "30s"},
			1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := c.stub.serve(t)
			require.Equal(t, c.want, Main(append([]string{"plan", "--control", url, "--ingest", url}, c.args...)))
		})
	}
}

func TestFetchPlan_ReadsAllPages(t *testing.T) {
	s := &stub{planAfter: func(after string) (*controlv1.PlanResponse, error) {
		next := map[string]string{"": "a", "a": "b", "b": "c"}[after]
		return &controlv1.PlanResponse{
			Products:  []*controlv1.ProductPlan{{ProductId: next}},
			Compared:  3,
			Truncated: next != "c",
		}, nil
	}}
	plan, err := fetchPlan(t.Context(), controlv1connect.NewControlServiceClient(http.DefaultClient, s.serve(t)),
		&controlv1.PlanRequest{})
	require.NoError(t, err)
	require.Len(t, plan.GetProducts(), 3)
	require.Equal(t, "c", plan.GetProducts()[2].GetProductId())
	require.False(t, plan.GetTruncated())
}

func TestWaitConverged_ReportsWhatRemains(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	s := &stub{plan: func() (*controlv1.PlanResponse, error) {
		if asked++; asked == 2 {
			cancel()
		}
		return differs(controlv1.ProductState_PRODUCT_STATE_DEAD), nil
	}}
	url := s.serve(t)
	a := address{Control: url, Ingest: url}
	control, err := a.control(&cli{})
	require.NoError(t, err)
	ingest, err := a.ingest(&cli{})
	require.NoError(t, err)
	_, err = waitConverged(ctx, control, ingest, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "1 product differs (mug dead), 0 messages are in flight")
}

// A wait of ten minutes must not end after the default of two.
func TestWithDefaultTimeout_KeepsDeadlineOfCaller(t *testing.T) {
	require.Zero(t, target{}.client().Timeout)
	var left time.Duration
	call := withDefaultTimeout()(func(ctx context.Context, _ connect.AnyRequest) (connect.AnyResponse, error) {
		deadline, ok := ctx.Deadline()
		require.True(t, ok)
		left = time.Until(deadline)
		return nil, nil
	})
	_, err := call(t.Context(), nil)
	require.NoError(t, err)
	require.InDelta(t, defaultCallTimeout, left, float64(time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err = call(ctx, nil)
	require.NoError(t, err)
	require.InDelta(t, time.Hour, left, float64(time.Minute))
}

func TestPlan_WaitConvergedDoesNotWaitForHeldProducts(t *testing.T) {
	var answers atomic.Int64
	url := (&stub{plan: func() (*controlv1.PlanResponse, error) {
		out := &controlv1.PlanResponse{Equality: equalNow(), Products: []*controlv1.ProductPlan{
			{ProductId: "mug", State: controlv1.ProductState_PRODUCT_STATE_HELD, Held: true},
		}}
		if answers.Add(1) < 3 {
			out.Products = append(out.Products,
				&controlv1.ProductPlan{ProductId: "cup", State: controlv1.ProductState_PRODUCT_STATE_PENDING})
		}
		return out, nil
	}}).serve(t)
	begun := time.Now()
	out, code := outputOf(t, "plan", "--control", url, "--ingest", url, "--wait-converged", "10m")
	require.Less(t, time.Since(begun), time.Minute)
	require.Equal(t, 2, code, "it is not equal")
	require.Contains(t, out, "mug  (held)")
	require.NotContains(t, out, "cup", "it waits for what push does by itself")
}
