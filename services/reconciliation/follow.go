package reconciliation

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// follow stores what a consumer's messages change in the ledger, those that have come together in one transaction,
// until ctx ends. After, if not nil, is called for each message once that is stored.
func follow[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, r *reconciler, c topology.Consumer,
	change func(context.Context, mesh.Message[M]) (ledger.Change, error), after func(context.Context, M) error,
) error {
	return mesh.ConsumeBatches(ctx, r.mesh,
		mesh.Worker{Service: topology.Reconciliation, Consumer: c, Concurrency: concurrency}, batchSize,
		func(ctx context.Context, batch []mesh.Delivery[M]) []mesh.Verdict {
			begun := time.Now()
			errs := make([]error, len(batch))
			products := make([]string, len(batch))
			changes := make([]ledger.Change, 0, len(batch))
			var of []int
			for i, d := range batch {
				one, err := change(d.Context, d.Message)
				if err != nil {
					// It depends on the message alone.
					errs[i] = &ledger.UnstorableError{Why: err.Error()}
					continue
				}
				products[i] = one.Product
				changes, of = append(changes, one), append(of, i)
			}
			for i, err := range r.apply(ctx, changes) {
				errs[of[i]] = err
			}
			metrics.LedgerWriteDuration.Record(batch[0].Context, time.Since(begun).Seconds(),
				metrics.Stream.Of(c.Stream))
			verdicts := make([]mesh.Verdict, len(batch))
			for i, d := range batch {
				traceWrite(d.Context, begun, len(batch), errs[i])
				if errs[i] == nil && after != nil {
					errs[i] = after(d.Context, d.Body)
				}
				verdicts[i] = r.verdict(d.Context, d.Stream, products[i], errs[i])
			}
			return verdicts
		})
}

// verdict settles a message. What the ledger will never store is a dead letter, which has the product dead: such
// messages would fill the consumer until it delivers no others.
func (r *reconciler) verdict(ctx context.Context, stream, product string, err error) mesh.Verdict {
	switch {
	case err == nil:
		return mesh.Ack()
	case !ledger.Refused(err):
		return mesh.Retry(err)
	case stream == topology.StreamDead:
		// A letter about a letter would be as unstorable, and come for ever. Mesh.FitLetter has made it storable
		// before.
		r.Logger.ErrorContext(ctx, "a dead letter cannot be stored in the ledger, and is on DEAD only",
			"product", product, "error", err)
		return mesh.Ack()
	}
	return mesh.Dead(&meshv1.DeadLetter{
		Account: r.Account, ProductId: cmp.Or(product, "unknown"), Reason: topology.ReasonUnstorable,
		Message: err.Error() +
			"; what the ledger knows of the product may be old: correct the text, then replay or drop the letter",
	})
}

// apply makes changes in one transaction. If that fails, each has its own: one that cannot be made must not hold up the
// others.
func (r *reconciler) apply(ctx context.Context, changes []ledger.Change) []error {
	errs := make([]error, len(changes))
	err := r.ledger.Apply(ctx, changes...)
	if err == nil {
		return errs
	}
	_, unreachable := errors.AsType[*pgconn.ConnectError](err)
	for i, c := range changes {
		if errs[i] = err; len(changes) > 1 && !unreachable && ctx.Err() == nil {
			errs[i] = r.ledger.Apply(ctx, c)
		}
	}
	return errs
}
