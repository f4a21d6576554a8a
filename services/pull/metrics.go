package pull

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// metrics are the service's figures.
type metrics struct{ events, refusals, observations metric.Int64Counter }

func newMetrics() *metrics {
	meter := otel.Meter(scope)
	counter := func(name, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(description))
		if err != nil {
			otel.Handle(err)
		}
		return c
	}
	return &metrics{
		events:       counter("driftless.pull.events", "events taken from Stripe, by way and result"),
		refusals:     counter("driftless.pull.webhooks_refused", "webhooks answered with an error, by reason"),
		observations: counter("driftless.pull.observations", "events taken into account, by what became of them"),
	}
}

func (m *metrics) received(ctx context.Context, via meshv1.Via, result string) {
	way := "webhook"
	if via == meshv1.Via_VIA_POLL {
		way = "poll"
	}
	m.events.Add(ctx, 1, metric.WithAttributes(attribute.String("via", way), attribute.String("result", result)))
}

func (m *metrics) refused(ctx context.Context, why string) {
	m.refusals.Add(ctx, 1, metric.WithAttributes(attribute.String("why", why)))
}

func (m *metrics) observed(ctx context.Context, result string) {
	m.observations.Add(ctx, 1, metric.WithAttributes(attribute.String("result", result)))
}
