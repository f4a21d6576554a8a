package reconciliation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

const scope = "github.com/driftless-sync/driftless/services/reconciliation"

// refreshEvery bounds how often a scrape of the metrics asks the ledger and JetStream.
const refreshEvery = 5 * time.Second

// metrics are the service's figures.
type metrics struct {
	drifted, repaired metric.Int64Counter
	// writes is how long the ledger takes for a message, by stream.
	writes       metric.Float64Histogram
	registration metric.Registration
}

func newMetrics(r *reconciler) (*metrics, error) {
	meter := otel.Meter(scope)
	m := &metrics{}
	var err error
	create := func(instrument func() error) {
		if err == nil {
			err = instrument()
		}
	}
	var products, pending, inFlight metric.Int64ObservableGauge
	create(func() (err error) {
		m.drifted, err = meter.Int64Counter("driftless.reconciliation.drifted", metric.WithDescription("products found to have drifted"))
		return err
	})
	create(func() (err error) {
		m.repaired, err = meter.Int64Counter("driftless.reconciliation.repaired", metric.WithDescription("drifted products that are equal again"))
		return err
	})
	create(func() (err error) {
		m.writes, err = meter.Float64Histogram("driftless.reconciliation.ledger.write.duration", metric.WithUnit("s"),
			metric.WithDescription("time to take a message into account in the ledger, by stream"))
		return err
	})
	create(func() (err error) {
		products, err = meter.Int64ObservableGauge("driftless.reconciliation.products", metric.WithDescription("products, by state"))
		return err
	})
	create(func() (err error) {
		pending, err = meter.Int64ObservableGauge("driftless.consumer.pending", metric.WithDescription("messages not yet delivered, by consumer"))
		return err
	})
	create(func() (err error) {
		inFlight, err = meter.Int64ObservableGauge("driftless.consumer.in_flight", metric.WithDescription("messages delivered and not acknowledged, by consumer"))
		return err
	})
	figures := &figures{reconciler: r}
	create(func() (err error) {
		m.registration, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
			counts, consumers, err := figures.get(ctx)
			if err != nil {
				return err
			}
			for _, s := range []ledger.State{ledger.InSync, ledger.Pending, ledger.Drifted, ledger.Dead, ledger.Orphan} {
				o.ObserveInt64(products, int64(counts[s]), metric.WithAttributes(attribute.String("state", string(s))))
			}
			for _, c := range consumers {
				at := metric.WithAttributes(attribute.String("stream", c.Stream), attribute.String("consumer", c.Name))
				o.ObserveInt64(pending, int64(c.Pending), at)
				o.ObserveInt64(inFlight, int64(c.InFlight), at)
			}
			return nil
		}, products, pending, inFlight)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	return m, nil
}

// wrote records how long a message took since begun, whether the ledger took it or not.
func (m *metrics) wrote(ctx context.Context, stream string, begun time.Time) {
	m.writes.Record(ctx, time.Since(begun).Seconds(), metric.WithAttributes(attribute.String("stream", stream)))
}

func (m *metrics) close() { _ = m.registration.Unregister() }

// figures are what the gauges show, no older than refreshEvery.
type figures struct {
	*reconciler

	mu        sync.Mutex
	at        time.Time
	counts    map[ledger.State]uint64
	consumers []mesh.ConsumerStatus
}

func (f *figures) get(ctx context.Context) (map[ledger.State]uint64, []mesh.ConsumerStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.at) < refreshEvery {
		return f.counts, f.consumers, nil
	}
	counts, err := f.ledger.Counts(ctx)
	if err != nil {
		return nil, nil, err
	}
	consumers, err := f.mesh.Consumers(ctx)
	if err != nil {
		return nil, nil, err
	}
	f.at, f.counts, f.consumers = time.Now(), counts, consumers
	return counts, consumers, nil
}
