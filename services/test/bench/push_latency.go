package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// recorder records when the first call about a product is sent.
type recorder struct {
	next http.RoundTripper
	mu   sync.Mutex
	at   map[string]time.Time
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if id, ok := strings.CutPrefix(req.URL.Path, "/v1/products/"); ok && req.Method == http.MethodPost {
		r.mu.Lock()
		if _, seen := r.at[id]; !seen {
			r.at[id] = time.Now()
		}
		r.mu.Unlock()
	}
	return r.next.RoundTrip(req)
}

// latency measures the latency of live changes, alone or during a backfill.
func (cmd *pushCmd) latency(ctx context.Context, backfill int) (r latencyResult, err error) {
	rec := &recorder{next: http.DefaultTransport, at: map[string]time.Time{}}
	b, err := newPushBench(ctx, stripesim.Config{}, budget.Limits{PerSecond: benchRate, PerEndpoint: benchEndpointRate},
		0)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	b.push(ctx)
	// The products of the live changes already exist.
	live := make([]*catalogv1.Product, cmd.Samples)
	for i := range live {
		live[i] = &catalogv1.Product{Id: fmt.Sprintf("live-%d", i), Name: "Product"}
	}
	if err := errors.Join(b.publish(ctx, topology.Live, 1, live...), b.waitDone(ctx), b.stopPush()); err != nil {
		return r, err
	}
	b.transport = rec
	b.push(ctx)
	r.Beside = "alone"
	if backfill > 0 {
		r.Beside = fmt.Sprintf("beside a backfill of %d", backfill)
		bulk := make([]*catalogv1.Product, backfill)
		for i := range bulk {
			bulk[i] = benchProduct(fmt.Sprintf("bulk-%d", i), "Product", "1400")
		}
		if err := b.publish(ctx, topology.Bulk, 2, bulk...); err != nil {
			return r, err
		}
	}
	committed := map[string]time.Time{}
	for i, p := range live {
		p.Name = "Changed"
		committed[p.GetId()] = time.Now()
		if err := b.publish(ctx, topology.Live, uint64(i+3), p); err != nil {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	took := rec.since(ctx, committed)
	if len(took) < len(committed) {
		return r, fmt.Errorf("%d of %d live changes did not reach Stripe within a minute", len(committed)-len(took),
			len(committed))
	}
	slices.Sort(took)
	r.P50, r.P99 = took[len(took)/2], took[len(took)*99/100]
	return r, nil
}

// since waits for the calls and returns how long each took, in milliseconds.
func (r *recorder) since(ctx context.Context, committed map[string]time.Time) (took []float64) {
	deadline := time.Now().Add(time.Minute)
	for {
		took = took[:0]
		r.mu.Lock()
		for id, at := range committed {
			if call, ok := r.at[id]; ok {
				took = append(took, float64(call.Sub(at).Microseconds())/1000)
			}
		}
		r.mu.Unlock()
		if len(took) == len(committed) || time.Now().After(deadline) || ctx.Err() != nil {
			return took
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stopPush stops the push that was started last.
func (b *pushBench) stopPush() error {
	last := b.close[len(b.close)-1]
	b.close = b.close[:len(b.close)-1]
	return last()
}
