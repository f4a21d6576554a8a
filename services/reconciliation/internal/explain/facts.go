// Package explain says where a product is on its way from the operator's tables to Stripe, and what to do about it. It
// derives that from facts that others have read, and has no I/O and no clock.
package explain

import (
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// Facts are what is known of a product, of the services and of the mesh at one moment.
type Facts struct {
	// Now is the time by the NATS server's clock.
	Now time.Time
	// Product is the ledger's row. It has an id and nothing else if the ledger does not know the product.
	Product *ledger.Product
	// Steps are the calls that push has yet to make, and Drift is the open drift.
	Steps []catalog.Step
	Drift []*ledger.Drift
	// Kept are the replaced prices that stay active for a while.
	Kept []*catalogv1.ObservedPrice
	// Letters are its open dead letters, latest first.
	Letters []*meshv1.DeadLetter
	// Failure is its last recorded failed attempt since the last success. Nil if there is none.
	Failure *ledger.Failure
	// Trace is the trace of its latest change. Empty if it has none.
	Trace string

	// Row is the product in the operator's tables. Nil if nobody has looked: RowUnknown says why.
	Row        *ingestv1.TableProduct
	RowUnknown string

	// NATS is why NATS cannot be reached. The facts below are then the last that were known, or missing.
	NATS string
	// Equality is the answer about everything.
	Equality *controlv1.Equality
	// LedgerUnknown is why the ledger lacks what was delivered to it. Empty if it has everything.
	LedgerUnknown string
	// CaptureUnknown and StripeUnknown are why it is not known what the tables hold now, and what Stripe holds.
	CaptureUnknown, StripeUnknown string
	// Halted is why Stripe refuses push's key.
	Halted   string
	Paused   []*controlv1.PausedService
	PushRuns bool
	// CreationsHeld reports that push creates nothing, because products are being adopted.
	CreationsHeld bool
	// Retry is the product's scheduled retry. Nil if there is none. Retrying counts those of all products, also those
	// that wait without a failure.
	Retry    *meshv1.Retry
	Retrying uint64
	Queue    Queue
	// Slowed is the endpoint whose rate Stripe has lowered most, "" for all calls, and SlowedTo its rate in thousandths
	// of the full one. 1000 or 0 means that none is lowered.
	Slowed   string
	SlowedTo int64
}

// Queue is where the product's latest state waits for push.
type Queue struct {
	Lane topology.Lane
	// Waiting counts the messages of the lane that push has not finished. PerSecond is how many it finishes a second.
	Waiting   uint64
	PerSecond float64
}

// paused returns the pause of a service, nil if it is not paused.
func (f Facts) paused(service string) *controlv1.PausedService {
	for _, p := range f.Paused {
		if p.GetService() == service {
			return p
		}
	}
	return nil
}

// captured is the catalog's latest state that the ledger has.
func (f Facts) captured() *catalogv1.ProductChange { return f.Product.Desired }

// letter returns the latest open letter of the given kind, nil if there is none.
func (f Facts) letter(ofIngestion bool) *meshv1.DeadLetter {
	for _, l := range f.Letters {
		if isOfCapture(l) == ofIngestion {
			return l
		}
	}
	return nil
}

// isOfCapture reports whether a letter is about a row that capture could not publish.
func isOfCapture(l *meshv1.DeadLetter) bool {
	return l.GetService() == topology.Ingestion && l.GetReason() != topology.ReasonWriteBackFailed
}
