package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/catalog"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/metrics"
	"github.com/driftless-sync/driftless/services/stripeapi"
	"github.com/driftless-sync/driftless/services/telemetry"
)

// errUnordered: the event cannot be told to be newer than what is known.
var errUnordered = errors.New("the order of the event cannot be told")

// busyDelay is how long an event waits while another of its product is handled, or the call that caused it is not
// recorded yet.
const busyDelay = 250 * time.Millisecond

// lock keeps two messages of this process off one product: all but one of their readings of Stripe would be in vain.
func (p *puller) lock(product string) (unlock func(), ok bool) {
	if _, busy := p.busy.LoadOrStore(product, nil); busy {
		return nil, false
	}
	return func() { p.busy.Delete(product) }, true
}

// observe handles one event: the echo of a call of push's confirms that call, anything else is taken into what is
// known of the product.
func (p *puller) observe(ctx context.Context, msg mesh.Message[*meshv1.StripeChange]) mesh.Verdict {
	change := msg.Body
	event, _, err := stripeapi.DecodeEvent(change.GetEvent())
	if err != nil {
		return mesh.Dead(p.letter(change.GetProductId(), mesh.ReasonUndecodable, err))
	}
	// Not the product of the message, which may be older than the link.
	of := p.known(event.ProductID)
	unlock, ok := p.lock(of.product)
	if !ok {
		return mesh.Busy(busyDelay)
	}
	defer unlock()
	observed, _, err := of.get(ctx)
	if err != nil {
		return mesh.Retry(err)
	}
	span := trace.SpanFromContext(ctx)
	if catalog.SeenEvent(observed, change.GetEventId()) {
		span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeSeen))
		return mesh.Ack()
	}
	intent := catalog.FindIntent(observed, change.GetIdempotencyKey())
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return mesh.Retry(err)
	}
	switch claim := observed.GetClaim(); {
	case intent == nil:
		span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeObserved))
		err = p.learn(ctx, of, event)
	case !intent.GetAnswered() && claim != nil && now.Before(claim.GetUntil().AsTime()):
		// The call's answer is about to be recorded.
		return mesh.Busy(busyDelay)
	default:
		err = p.confirm(ctx, of, event, intent)
	}
	var undecodable *undecodableError
	switch {
	case err == nil:
		return mesh.Ack()
	case errors.Is(err, errShadowed):
		p.logger.WarnContext(ctx, "an event about a product that nothing is known under is left alone", "event", event.ID, "error", err)
		return mesh.Ack()
	case errors.Is(err, errLinking):
		return mesh.Busy(min(mesh.RetryDelay(msg.Attempt), longestDelay))
	case errors.Is(err, mesh.ErrTooLarge):
		return mesh.Dead(p.letter(of.product, mesh.ReasonExhausted, err))
	case errors.As(err, &undecodable):
		return mesh.Dead(p.letter(of.product, mesh.ReasonUndecodable, err))
	case stripeapi.Classify(err).Action == stripeapi.Refuse:
		return mesh.Dead(p.letter(of.product, mesh.ReasonRefused, err))
	default:
		// It keeps its place meanwhile, and events that need no reading are behind it.
		return mesh.RetryIn(min(mesh.RetryDelay(msg.Attempt), longestDelay), err)
	}
}

func (p *puller) letter(product, reason string, err error) *meshv1.DeadLetter {
	return &meshv1.DeadLetter{Account: p.account, ProductId: product, Reason: reason, Message: err.Error()}
}

// longestDelay between the attempts at an event.
const longestDelay = 30 * time.Second

// confirm publishes that Stripe confirmed a call. What the call did to the product is known from its answer, unless
// that was never recorded: then it is fetched.
func (p *puller) confirm(ctx context.Context, of known, event stripeapi.Event, intent *catalogv1.Intent) error {
	trace.SpanFromContext(ctx).SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeConfirmed), telemetry.StepKey.String(intent.GetStep()))
	outcome := &meshv1.Outcome{
		Id: "confirmed:" + p.account + ":" + event.ID, Account: p.account, ProductId: of.product,
		Kind: meshv1.OutcomeKind_OUTCOME_KIND_CONFIRMED, Version: intent.GetVersion(), EventId: event.ID,
		IdempotencyKey: intent.GetIdempotencyKey(), Detail: event.Type + " confirms: " + intent.GetStep(), At: timestamppb.Now(),
		CommittedAt: intent.GetCommittedAt(),
	}
	subject := mesh.SyncSubject(p.account, outcome.GetKind(), outcome.GetProductId())
	if err := p.mesh.Publish(ctx, subject, outcome, mesh.WithID(outcome.GetId()), mesh.WithVersion(outcome.GetVersion())); err != nil {
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
		return p.refresh(ctx, of, event.ObjectID, confirmed)
	}
	return of.update(ctx, func(o *catalogv1.Observed) error {
		confirmed(o)
		return nil
	})
}

// learn takes an event that somebody else caused into what is known. What cannot be ordered, or is incomplete, is
// settled by fetching the object once.
func (p *puller) learn(ctx context.Context, of known, event stripeapi.Event) error {
	apply, err := fromEvent(event)
	if err != nil {
		return &undecodableError{err}
	}
	var order catalog.Order
	err = of.update(ctx, func(o *catalogv1.Observed) error {
		if order = apply(o); order == catalog.Unordered {
			return errUnordered
		}
		catalog.RememberEvent(o, event.ID)
		return nil
	})
	if errors.Is(err, errUnordered) {
		countObserved(ctx, "fetched")
		return p.fetch(ctx, of, event)
	}
	if err == nil {
		countObserved(ctx, map[catalog.Order]string{catalog.Applied: "applied", catalog.Unchanged: "unchanged"}[order])
	}
	return err
}

// complete are the attributes of a price whose new values an event's payload carries in full.
var complete = []string{"active", "lookup_key", "metadata", "nickname", "tax_behavior"}

// fromEvent returns how an event's payload is taken into an observed state.
func fromEvent(event stripeapi.Event) (func(*catalogv1.Observed) catalog.Order, error) {
	object, verb, _ := strings.Cut(event.Type, ".")
	switch object {
	case "product":
		s, err := stripeapi.DecodeProduct(event.Object, event.Created)
		if err != nil {
			return nil, err
		}
		if verb == "deleted" {
			// The payload is the last state, and nothing in it says that it is gone.
			s = catalog.ProductSighting{Seen: event.Created}
		}
		return func(o *catalogv1.Observed) catalog.Order { return catalog.ObserveProduct(o, s) }, nil
	case "price":
		s, _, err := stripeapi.DecodePrice(event.Object, event.Created)
		if err != nil {
			return nil, err
		}
		s.Partial = true
		if verb == "deleted" {
			s.Price = nil
		}
		// An update that names no attribute changed something that events do not show.
		told := (verb != "updated" || len(event.Changed) > 0) &&
			!slices.ContainsFunc(event.Changed, func(name string) bool { return !slices.Contains(complete, name) })
		return func(o *catalogv1.Observed) catalog.Order {
			if !told && s.Price != nil {
				return catalog.Unordered
			}
			return catalog.ObservePrice(o, s)
		}, nil
	default:
		return nil, fmt.Errorf("event %s of type %s is about neither a product nor a price", event.ID, event.Type)
	}
}

// fetch reads the event's object and stores it against the state that was known before the reading, so that nothing
// learnt meanwhile is overwritten.
func (p *puller) fetch(ctx context.Context, of known, event stripeapi.Event) error {
	return p.refresh(ctx, of, event.ObjectID, func(o *catalogv1.Observed) { catalog.RememberEvent(o, event.ID) })
}

// refresh fetches a product, or one of its prices, into what is known of it. The object is Stripe's id.
func (p *puller) refresh(ctx context.Context, of known, object string, also func(*catalogv1.Observed)) error {
	var err error
	for range 5 {
		_, revision, getErr := of.get(ctx)
		if getErr != nil {
			return getErr
		}
		var apply func(*catalogv1.Observed)
		if object == of.stripeID {
			s, err := p.stripe.GetProduct(ctx, of.stripeID)
			if err != nil {
				return stripeapi.Classify(err)
			}
			apply = func(o *catalogv1.Observed) { catalog.ObserveProduct(o, s) }
		} else {
			s, err := p.stripe.GetPrice(ctx, object)
			if err != nil {
				return stripeapi.Classify(err)
			}
			apply = func(o *catalogv1.Observed) { catalog.ObservePrice(o, s) }
		}
		err = of.updateAt(ctx, revision, func(o *catalogv1.Observed) error {
			apply(o)
			also(o)
			return nil
		})
		if !errors.Is(err, mesh.ErrConflict) {
			return err
		}
	}
	return err
}

// undecodableError is an event that is not what it should be.
type undecodableError struct{ err error }

func (e *undecodableError) Error() string { return e.err.Error() }
func (e *undecodableError) Unwrap() error { return e.err }
