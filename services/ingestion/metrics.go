package ingestion

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics are the service's figures.
type metrics struct {
	products, wholeProducts, deadLetters, writeBacks metric.Int64Counter
	lag                                              metric.Float64Histogram
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
	lag, err := meter.Float64Histogram("driftless.ingestion.lag", metric.WithUnit("s"),
		metric.WithDescription("from a transaction's commit to its products being stored on CATALOG"),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600))
	if err != nil {
		otel.Handle(err)
	}
	return &metrics{
		products:      counter("driftless.ingestion.products", "products captured from the write-ahead log"),
		wholeProducts: counter("driftless.ingestion.products_read", "products read in snapshots and backfills"),
		deadLetters:   counter("driftless.ingestion.dead_letters", "products that Stripe would refuse"),
		writeBacks:    counter("driftless.ingestion.write_backs", "orders to write Stripe's values to the catalog, by result: written, done already, superseded by the catalog, failed"),
		lag:           lag,
	}
}

func (m *metrics) captured(ctx context.Context, b *batch) {
	m.products.Add(ctx, int64(len(b.out)))
	for _, c := range b.chunks {
		if len(c.Products) > 0 {
			m.lag.Record(ctx, time.Since(c.CommittedAt).Seconds())
		}
	}
}

func (m *metrics) read(ctx context.Context, n int) { m.wholeProducts.Add(ctx, int64(n)) }
func (m *metrics) wroteBack(ctx context.Context, result string) {
	m.writeBacks.Add(ctx, 1, metric.WithAttributes(attribute.String("result", result)))
}
func (m *metrics) dead(ctx context.Context) { m.deadLetters.Add(ctx, 1) }
