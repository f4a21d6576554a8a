package budget_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func connect(t *testing.T) func(name string) *mesh.Mesh {
	t.Helper()
	url, _ := localtest.NATS(t)
	open := func(name string) *mesh.Mesh {
		m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: name})
		require.NoError(t, err)
		t.Cleanup(m.Close)
		return m
	}
	require.NoError(t, topology.Apply(t.Context(), open("setup").JetStream(), topology.Options{}))
	return open
}

// calls makes calls, at most concurrency at once, until ctx ends. It returns when each was made.
func calls(ctx context.Context, b *budget.Budget, endpoint string, concurrency int) (made []time.Time) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for {
				done, err := b.Wait(ctx, endpoint)
				if err != nil {
					return
				}
				mu.Lock()
				made = append(made, time.Now())
				mu.Unlock()
				done("")
			}
		})
	}
	wg.Wait()
	return made
}

func TestWait_AllProcessesStayWithinTheLimit(t *testing.T) {
	open := connect(t)
	const perSecond = 200
	limits := budget.Limits{PerSecond: perSecond}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var mu sync.Mutex
	var all []time.Time
	var wg sync.WaitGroup
	start := time.Now()
	for i := range 4 {
		m := open("process")
		b := budget.New(state.New(m).Budget("default"), nil, m.Clock(), limits, nil)
		t.Cleanup(b.Close)
		wg.Go(func() {
			ctx := ctx
			if i == 0 {
				// One process dies during the test.
				short, stop := context.WithTimeout(ctx, time.Second)
				defer stop()
				ctx = short
			}
			made := calls(ctx, b, "POST /v1/products", 16)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, made...)
		})
	}
	wg.Wait()
	took := time.Since(start).Seconds()
	rate := float64(len(all)) / took
	require.LessOrEqual(t, rate, float64(perSecond)+5)
	require.Greater(t, rate, 0.8*perSecond, "and nearly all of it is used")
}

func TestWait_ACanceledCallTakesNoTurn(t *testing.T) {
	b := budget.New(nil, nil, nil, budget.Limits{PerSecond: 2}, nil)
	t.Cleanup(b.Close)
	done, err := b.Wait(t.Context(), "POST /v1/products")
	require.NoError(t, err)
	done("")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = b.Wait(ctx, "POST /v1/products")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	start := time.Now()
	done, err = b.Wait(t.Context(), "POST /v1/products")
	require.NoError(t, err)
	done("")
	require.Less(t, time.Since(start), 900*time.Millisecond, "the next turn, not the one after")
}

func TestWait_MakesFewerCallsAtOnceAfterAConcurrencyRefusal(t *testing.T) {
	b := budget.New(nil, nil, nil, budget.Limits{PerSecond: 1000}, nil)
	t.Cleanup(b.Close)
	var open []func(string)
	for range 8 {
		done, err := b.Wait(t.Context(), "GET /v1/products")
		require.NoError(t, err)
		open = append(open, done)
	}
	open[0]("global-concurrency")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.Wait(ctx, "GET /v1/products")
	require.ErrorIs(t, err, context.DeadlineExceeded, "seven are in flight and four allowed")
	for _, done := range open[1:] {
		done("")
	}
	done, err := b.Wait(t.Context(), "GET /v1/products")
	require.NoError(t, err)
	done("")
}

func TestReads_CountsAllProcesses(t *testing.T) {
	open := connect(t)
	for range 2 {
		m := open("process")
		b := budget.New(state.New(m).Budget("default"), nil, m.Clock(), budget.Limits{}, nil)
		for range 150 {
			done, err := b.Wait(budget.For(t.Context(), budget.Scans), "GET /v1/products/{id}")
			require.NoError(t, err)
			done("")
			done, err = b.Wait(t.Context(), "POST /v1/products/{id}")
			require.NoError(t, err)
			done("")
		}
		b.Close()
	}
	m := open("process")
	b := budget.New(state.New(m).Budget("default"), nil, m.Clock(), budget.Limits{ReadAllowance: 1000}, nil)
	t.Cleanup(b.Close)
	made, allowed, err := b.Reads(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 300, made)
	require.EqualValues(t, 1000, allowed)
	done, err := b.Wait(t.Context(), "GET /v1/prices/{id}")
	require.NoError(t, err)
	done("")
	b.Close()
	purposes, err := budget.ReadsFor(t.Context(), state.New(m).Budget("default"))
	require.NoError(t, err)
	require.Equal(t, []budget.PurposeReads{{Purpose: budget.Scans, Reads: 300}, {Purpose: budget.Others, Reads: 1}},
		purposes)
}

// far is a store with latency, as in another region.
type far struct {
	store   budget.Store
	latency time.Duration
}

func (f far) wait() { <-time.After(f.latency) }

func (f far) GetAt(ctx context.Context, into proto.Message) (uint64, error) {
	f.wait()
	return f.store.GetAt(ctx, into)
}

func (f far) CompareAndPut(ctx context.Context, record proto.Message, revision uint64) (uint64, error) {
	f.wait()
	return f.store.CompareAndPut(ctx, record, revision)
}

func TestBell_MakesRoomForLiveCallsOfADistantProcess(t *testing.T) {
	open := connect(t)
	limits := budget.Limits{PerSecond: 100, PerEndpoint: 25}
	near, away := open("near"), open("away")
	here, there := state.New(near), state.New(away)
	b := budget.New(here.Budget("default"), here.BudgetBell("default"), near.Clock(), limits, nil)
	t.Cleanup(b.Close)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { calls(budget.InLane(ctx, budget.Bulk), b, fmt.Sprintf("POST /v1/bulk%d", i), 8) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })

	a := budget.New(far{there.Budget("default"), 20 * time.Millisecond}, there.BudgetBell("default"), away.Clock(),
		limits, nil)
	t.Cleanup(a.Close)
	for range 3 {
		waitCtx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		done, err := a.Wait(waitCtx, "POST /v1/prices")
		stop()
		require.NoError(t, err, "a live call waits behind bulk ones")
		done("")
	}
}
