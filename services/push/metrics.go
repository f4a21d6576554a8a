package push

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/driftless-sync/driftless/services/catalog"
)

// metrics are the service's figures. Creating an instrument fails only for an invalid name, and a failed one
// counts nothing.
type metrics struct {
	calls, supersededTotal, looks, failures, deadTotal metric.Int64Counter
	lag                                                metric.Float64Histogram
}

func newMetrics() *metrics {
	meter := otel.Meter(scope)
	counter := func(name, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(description))
		if err != nil {
			otel.Handle(err)
		}
		return c
	}
	lag, err := meter.Float64Histogram("driftless.push.lag", metric.WithUnit("s"),
		metric.WithDescription("from the commit in the catalog to everything applied in Stripe"),
		metric.WithExplicitBucketBoundaries(.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600))
	if err != nil {
		otel.Handle(err)
	}
	return &metrics{
		calls:           counter("driftless.push.calls", "calls to Stripe, by step and result"),
		supersededTotal: counter("driftless.push.superseded", "changes skipped because a newer one of the product was there"),
		looks:           counter("driftless.push.looks", "times a product was read from Stripe before writing it"),
		failures:        counter("driftless.push.failures", "passes that ended early, by what is done about it"),
		deadTotal:       counter("driftless.push.dead_letters", "changes given up, by reason"),
		lag:             lag,
	}
}

func (m *metrics) called(ctx context.Context, kind catalog.StepKind, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.calls.Add(ctx, 1, metric.WithAttributes(attribute.String("step", string(kind)), attribute.String("result", result)))
}

func (m *metrics) superseded(ctx context.Context) { m.supersededTotal.Add(ctx, 1) }
func (m *metrics) looked(ctx context.Context)     { m.looks.Add(ctx, 1) }

func (m *metrics) failed(ctx context.Context, f *failedStep) {
	action := f.Action.String()
	m.failures.Add(ctx, 1, metric.WithAttributes(attribute.String("action", action)))
}

func (m *metrics) dead(ctx context.Context, reason string) {
	m.deadTotal.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason)))
}

func (m *metrics) applied(ctx context.Context, lag time.Duration) { m.lag.Record(ctx, lag.Seconds()) }
