package reconciliation

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/metrics"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// follow stores what a consumer's messages change in the ledger, those that have come together in one transaction, until ctx
// ends. After, if not nil, is called for each message once that is stored.
func follow[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, r *reconciler, c mesh.Consumer, change func(context.Context, mesh.Message[M]) (ledger.Change, error), after func(context.Context, M) error) error {
	return mesh.WorkBatches(ctx, r.mesh, mesh.Worker{Service: mesh.Reconciliation, Consumer: c, Concurrency: concurrency}, batchSize,
		func(ctx context.Context, batch []mesh.Delivery[M]) []mesh.Verdict {
			begun := time.Now()
			errs := make([]error, len(batch))
			changes := make([]ledger.Change, 0, len(batch))
			var of []int
			for i, d := range batch {
				one, err := change(d.Context, d.Message)
				if err != nil {
					errs[i] = err
					continue
				}
				changes, of = append(changes, one), append(of, i)
			}
			for i, err := range r.apply(ctx, changes) {
				errs[of[i]] = err
			}
			metrics.LedgerWriteDuration.Record(batch[0].Context, time.Since(begun).Seconds(), metrics.Stream.Is(c.Stream))
			verdicts := make([]mesh.Verdict, len(batch))
			for i, d := range batch {
				traceWrite(d.Context, begun, len(batch), errs[i])
				if errs[i] == nil && after != nil {
					errs[i] = after(d.Context, d.Body)
				}
				if verdicts[i] = mesh.Ack(); errs[i] != nil {
					verdicts[i] = mesh.Retry(errs[i])
				}
			}
			return verdicts
		})
}

// apply makes changes in one transaction. If that fails, each has its own: one that cannot be made must not hold up the others.
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
