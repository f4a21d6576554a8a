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
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// follow stores the changes that a consumer's messages make in the ledger, until ctx ends. Messages that arrive
// together are stored in one transaction. after, if not nil, is called for each message once it is stored.
func follow[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, r *reconciler, c topology.Consumer,
	change func(context.Context, mesh.Message[M]) (ledger.Change, error), after func(context.Context, M) error,
) error {
	return mesh.ConsumeBatches(ctx, r.mesh,
		mesh.Worker{
			Service:     topology.Reconciliation,
			Consumer:    c,
			Concurrency: concurrency,
			IsQuiet:     isBookkeeping,
		}, batchSize,
		func(ctx context.Context, batch []mesh.Delivery[M]) []mesh.Verdict {
			begun := time.Now()
			errs := make([]error, len(batch))
			products := make([]string, len(batch))
			changes := make([]ledger.Change, 0, len(batch))
			var of []int
			for i, d := range batch {
				one, err := change(d.Context, d.Message)
				if err != nil {
					// The error depends on the message alone, so a retry would fail in the same way.
					errs[i] = &ledger.UnstorableError{Why: err.Error()}
					continue
				}
				products[i], one.Traceparent = one.Product, telemetry.Traceparent(d.Context)
				changes, of = append(changes, one), append(of, i)
			}
			for i, err := range r.apply(ctx, changes) {
				errs[of[i]] = err
			}
			metrics.LedgerWriteDuration.Record(batch[0].Context, time.Since(begun).Seconds(),
				metrics.Stream.With(c.Stream))
			verdicts := make([]mesh.Verdict, len(batch))
			for i, d := range batch {
				if errs[i] == nil && after != nil {
					errs[i] = after(d.Context, d.Body)
				}
				verdicts[i] = r.verdict(d.Context, d.Stream, products[i], errs[i])
			}
			return verdicts
		})
}

// verdict decides about a message. A message that the ledger can never store becomes a dead letter, which marks the
// product as dead. Without that, such messages would fill the consumer until it delivers no others.
func (r *reconciler) verdict(ctx context.Context, stream, product string, err error) mesh.Verdict {
	switch {
	case err == nil:
		return mesh.Ack()
	case !ledger.Refused(err):
		return mesh.Retry(err)
	case stream == topology.StreamDead:
		// A letter about this letter would be as unstorable, without end. mesh.FitLetter should have made the letter
		// storable.
		r.Logger.ErrorContext(ctx, "a dead letter cannot be stored in the ledger; it is in DEAD only",
			"product", product, "error", err)
		return mesh.Ack()
	}
	return mesh.Dead(&meshv1.DeadLetter{
		Account:   r.Account,
		ProductId: cmp.Or(product, "unknown"),
		Reason:    topology.ReasonUnstorable,
		Message: err.Error() +
			"; the ledger's state of the product may be outdated: correct the text, then replay or drop the letter",
	})
}

// apply stores changes in one transaction. If that fails, it stores each in its own, so that one change that cannot be
// stored does not block the others.
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
