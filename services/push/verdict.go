package push

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// busyDelay is how long a message waits for a product that another process has claimed.
const busyDelay = 250 * time.Millisecond

// sync makes a pass over the product and returns its verdict.
func (p *pusher) sync(ctx context.Context, req plan.Request) mesh.Verdict {
	return p.verdictFor(ctx, req, p.pass(ctx, req))
}

// verdictFor turns the result of a pass into a verdict.
func (p *pusher) verdictFor(ctx context.Context, req plan.Request, err error) mesh.Verdict {
	product := req.Change.GetProductId()
	refused, held := new(refusedError), new(creationHeldError)
	switch {
	case err == nil:
		// A scheduled retry would find nothing to do.
		if p.failures.clear(product) || req.Force {
			if err := p.mesh.CancelRetry(ctx, topology.Push, p.account, product, req.Change.GetVersion(),
				req.Reread); err != nil {
				p.logger.WarnContext(ctx, "could not cancel an obsolete retry", "product", product, "error", err)
			}
		}
		if err := p.scheduleOverlapEnd(ctx, req.Change); err != nil {
			return mesh.Retry(err)
		}
		return mesh.Ack()
	case err == errBusy: //nolint:errorlint // not a wrapped one: nothing was done yet
		return mesh.Busy(busyDelay)
	case errors.Is(err, errBusy):
		return mesh.RetryIn(busyDelay, nil)
	case errors.As(err, &held):
		return p.park(ctx, req, held)
	case errors.As(err, &refused):
		p.failures.clear(product)
		// Other parts of the product may have been applied.
		if err := p.scheduleOverlapEnd(ctx, req.Change); err != nil {
			return mesh.Retry(err)
		}
		return mesh.Dead(refused.letter)
	case errors.Is(err, state.ErrTooLarge):
		p.failures.clear(product)
		return mesh.Dead(p.deadLetter(req.Change, topology.ReasonExhausted, err.Error()))
	case isHalt(err):
		if !p.halted.Load() {
			// A halt concerns every product. Only the first one that met it has an entry in the audit trail.
			p.publishFailed(ctx, req.Change, err, 1, haltDelay)
		}
		return p.haltAccount(ctx, err)
	default:
		return p.scheduleRetry(ctx, req, err)
	}
}

// maxInPlaceDelay is the longest delay for which a message keeps its place in the consumer. For a longer delay it is
// acknowledged and comes back from RETRY.
const maxInPlaceDelay = 10 * time.Second

// scheduleRetry retries the product after a delay. The delay grows with the product's failures, not with the
// deliveries: a message that waited for its product has not failed.
func (p *pusher) scheduleRetry(ctx context.Context, req plan.Request, err error) mesh.Verdict {
	change := req.Change
	attempts, since := p.failures.add(change.GetProductId(), time.Now())
	delay := mesh.RetryDelay(attempts)
	p.publishFailed(ctx, change, err, attempts, delay)
	if delay <= maxInPlaceDelay {
		return mesh.RetryIn(delay, err)
	}
	lane := topology.Live
	if budget.LaneOf(ctx) == budget.Bulk {
		lane = topology.Bulk
	}
	retry := &meshv1.Retry{
		Account: p.account, ProductId: change.GetProductId(), Version: change.GetVersion(), Attempts: attempts,
		Lane: string(lane), Error: err.Error(), Failure: failureClass(err), FailingSince: timestamppb.New(since),
		Look: req.Reread, Overwrite: req.Exceptions.Overwrite, Leave: req.Exceptions.Leave,
	}
	if failed := p.mesh.RetryLater(ctx, topology.Push, retry, delay); failed != nil {
		return mesh.RetryIn(delay, errors.Join(err, failed))
	}
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeRetry),
		telemetry.RetryDelayKey.Int64(delay.Milliseconds()))
	telemetry.Fail(span, err)
	p.logger.WarnContext(ctx, "will try again", "product", change.GetProductId(), "attempt", attempts, "in", delay,
		"error", err)
	return mesh.Ack()
}

// failureClass returns the class of a failed pass, a value of the label failure.
func failureClass(err error) string {
	if _, notSent := errors.AsType[*stripeapi.NotSentError](err); notSent {
		return "other"
	}
	failure, ok := errors.AsType[*stripeapi.Failure](err)
	switch {
	case !ok:
		return "other"
	case failure.Status == 0:
		return "no_answer"
	case failure.Status == http.StatusTooManyRequests:
		return "rate_limited"
	case failure.Status >= http.StatusInternalServerError:
		return "server_error"
	default:
		return "refused"
	}
}
