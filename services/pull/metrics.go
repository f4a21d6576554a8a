package pull

import (
	"context"
	"log/slog"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/metrics"
)

func countReceived(ctx context.Context, via meshv1.Via, result string) {
	way := "webhook"
	if via == meshv1.Via_VIA_POLL {
		way = "poll"
	}
	metrics.Events.Add(ctx, 1, metrics.Via.With(way), metrics.EventResult.With(result))
}

func countObserved(ctx context.Context, result string) {
	metrics.Observations.Add(ctx, 1, metrics.Observation.With(result))
}

// observePolls reports the time since the last complete poll. read returns that poll's time in Unix nanoseconds.
func observePolls(read func() int64) (stop func()) {
	return metrics.Observe(func(report metrics.Report) {
		report(metrics.StripeEventsAge, time.Since(time.Unix(0, read())).Seconds())
	}, metrics.StripeEventsAge)
}

// observeReads reports how much of Stripe's read allowance is used up.
func observeReads(shared *budget.Budget, logger *slog.Logger) (stop func()) {
	read := func(ctx context.Context) (func(metrics.Report), error) {
		made, allowed, err := shared.Reads(ctx)
		return func(report metrics.Report) {
			report(metrics.StripeReadsUsed, float64(made))
			if allowed > 0 {
				report(metrics.StripeReadsAllowed, float64(allowed))
				report(metrics.StripeReadsLeft, max(float64(allowed)-float64(made), 0))
			}
		}, err
	}
	return metrics.ObserveSources(logger, metrics.Source{
		Name:   "budget",
		Gauges: []metrics.Gauge{metrics.StripeReadsUsed, metrics.StripeReadsAllowed, metrics.StripeReadsLeft},
		Reads:  []func(context.Context) (func(metrics.Report), error){read},
	})
}
