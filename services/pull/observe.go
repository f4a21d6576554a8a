package pull

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Events that arrive together are handled together: at most maxBatches batches of batchSize events, and
// maxProductsAtOnce products of each. The events of one product cost one write and one read.
const (
	maxBatches        = 8
	batchSize         = 128
	maxProductsAtOnce = 16
	busyDelay         = 250 * time.Millisecond
	maxBusyDelay      = 10 * time.Second
	maxRetryDelay     = 30 * time.Second
	maxBusyDoublings  = 6
)

// echoDelay delays an event until the answer to the call that caused it is recorded. The delay doubles with each
// attempt, so a long sync of a product costs few deliveries.
func echoDelay(attempt uint64) mesh.Verdict {
	d := min(busyDelay<<min(max(attempt, 1)-1, maxBusyDoublings), maxBusyDelay)
	return mesh.Busy(d/2 + rand.N(d/2))
}

// arrival is an event of a batch.
type arrival struct {
	*mesh.Delivery[*meshv1.StripeChange]

	event   stripeapi.Event
	verdict *mesh.Verdict
}

// handleEvents handles events. The echo of one of push's calls confirms that call. Any other event is applied to the
// observed state of its product.
func (p *puller) handleEvents(_ context.Context, batch []mesh.Delivery[*meshv1.StripeChange]) []mesh.Verdict {
	verdicts := make([]mesh.Verdict, len(batch))
	groups := map[productRef][]arrival{}
	for i := range batch {
		change := batch[i].Body
		event, _, err := stripeapi.DecodeEvent(change.GetEvent())
		if err != nil {
			verdicts[i] = mesh.Dead(p.deadLetter(change.GetProductId(), topology.ReasonUndecodable, err))
			continue
		}
		// The message's own product id may be older than the link.
		ref := p.ref(event.ProductID)
		groups[ref] = append(groups[ref], arrival{&batch[i], event, &verdicts[i]})
	}
	var g errgroup.Group
	g.SetLimit(maxProductsAtOnce)
	for ref, arrivals := range groups {
		g.Go(func() error {
			p.handleProductEvents(ref, arrivals)
			return nil
		})
	}
	_ = g.Wait()
	return verdicts
}

// handleProductEvents handles the events of one product.
func (p *puller) handleProductEvents(ref productRef, arrivals []arrival) {
	// Their common work belongs to the trace of the first event.
	ctx := arrivals[0].Context
	all := func(v mesh.Verdict) {
		for _, a := range arrivals {
			*a.verdict = v
		}
	}
	release, err := p.locks.lock(ctx, ref.product)
	if err != nil {
		all(mesh.RetryIn(busyDelay, nil))
		return
	}
	defer release()
	observed, _, err := ref.get(ctx)
	switch {
	case errors.Is(err, state.ErrUndecodable):
		for _, a := range arrivals {
			*a.verdict = p.verdict(a, ref, err)
		}
		return
	case err != nil:
		all(mesh.Retry(err))
		return
	}
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		all(mesh.Retry(err))
		return
	}
	var others []arrival
	var updates []eventUpdate
	for _, a := range arrivals {
		span := trace.SpanFromContext(a.Context)
		intent := catalog.FindIntent(observed, a.Body.GetIdempotencyKey())
		switch claim := observed.GetClaim(); {
		case catalog.SeenEvent(observed, a.Body.GetEventId()):
			span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeSeen))
			*a.verdict = mesh.Ack()
		case intent == nil:
			n, err := decodeUpdate(a.event)
			if err != nil {
				*a.verdict = mesh.Dead(p.deadLetter(ref.product, topology.ReasonUndecodable, err))
				continue
			}
			span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeObserved))
			others, updates = append(others, a), append(updates, n)
		case !intent.GetAnswered() && claim != nil && now.Before(claim.GetUntil().AsTime()):
			// The call's answer is about to be recorded.
			*a.verdict = echoDelay(a.Attempt)
		default:
			*a.verdict = p.verdict(a, ref, p.confirmCall(a.Context, ref, a.event, intent))
		}
	}
	if len(others) == 0 {
		return
	}
	err = p.applyEvents(others[0].Context, ref, now, updates)
	for _, a := range others {
		*a.verdict = p.verdict(a, ref, err)
	}
}

// verdict returns the verdict on an event after it was handled.
func (p *puller) verdict(a arrival, ref productRef, err error) mesh.Verdict {
	switch {
	case err == nil:
		return mesh.Ack()
	case errors.Is(err, errShadowed):
		p.logger.WarnContext(
			a.Context, "ignored an event: its product's id belongs to a catalog product that is linked to another Stripe product",
			"event", a.event.ID, "error", err)
		return mesh.Ack()
	case errors.Is(err, errLinking):
		return mesh.Busy(min(mesh.RetryDelay(a.Attempt), maxRetryDelay))
	case errors.Is(err, state.ErrTooLarge):
		return mesh.Dead(p.deadLetter(ref.product, topology.ReasonExhausted, err))
	case errors.Is(err, state.ErrUndecodable):
		return mesh.Dead(p.deadLetter(ref.product, topology.ReasonUndecodable, err))
	case stripeapi.Classify(err).Action == stripeapi.Refuse:
		return mesh.Dead(p.deadLetter(ref.product, topology.ReasonRefused, err))
	default:
		// It keeps its place in the consumer, so that later events that need no read can pass.
		return mesh.RetryIn(min(mesh.RetryDelay(a.Attempt), maxRetryDelay), err)
	}
}

func (p *puller) deadLetter(product, reason string, err error) *meshv1.DeadLetter {
	return &meshv1.DeadLetter{Account: p.account, ProductId: product, Reason: reason, Message: err.Error()}
}

// confirmCall publishes that Stripe confirmed a call. The call's effect is in its recorded answer. If the answer was
// never recorded, the object is read.
func (p *puller) confirmCall(ctx context.Context, ref productRef, event stripeapi.Event,
	intent *catalogv1.Intent,
) error {
	trace.SpanFromContext(ctx).SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeConfirmed),
		telemetry.StepKey.String(intent.GetStep()))
	outcome := &meshv1.Outcome{
		Id: "confirmed:" + p.account + ":" + event.ID, Account: p.account, ProductId: ref.product,
		Kind: meshv1.OutcomeKind_OUTCOME_KIND_CONFIRMED, Version: intent.GetVersion(), EventId: event.ID,
		IdempotencyKey: intent.GetIdempotencyKey(), Detail: event.Type + " confirms: " + intent.GetStep(),
		At:          timestamppb.Now(),
		CommittedAt: intent.GetCommittedAt(),
	}
	subject := topology.SyncSubject(p.account, outcome.GetKind(), outcome.GetProductId())
	if err := p.mesh.Publish(ctx, subject, outcome, mesh.WithID(outcome.GetId()),
		mesh.WithVersion(outcome.GetVersion()), mesh.WithoutSpan()); err != nil {
		return err
	}
	countObserved(ctx, "confirmed")
	if committed := intent.GetCommittedAt(); committed != nil {
		metrics.ChangeConfirmed.Record(ctx, time.Since(committed.AsTime()).Seconds())
	}
	confirmed := func(o *catalogv1.Observed) {
		if i := catalog.FindIntent(o, intent.GetIdempotencyKey()); i != nil {
			i.ConfirmedBy = event.ID
		}
		catalog.RememberEvent(o, event.ID)
	}
	if !intent.GetAnswered() {
		_, err := p.refresh(budget.For(ctx, budget.Events), ref, event.ObjectID, false, confirmed)
		return err
	}
	return ref.update(ctx, func(o *catalogv1.Observed) error {
		confirmed(o)
		return nil
	})
}
