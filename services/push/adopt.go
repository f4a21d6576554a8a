package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// adoptionError is why a command to adopt cannot be carried out.
type adoptionError struct{ err error }

func (e *adoptionError) Error() string { return e.err.Error() }
func (e *adoptionError) Unwrap() error { return e.err }

// adopt handles a command to adopt: it links a product of the catalog to one that Stripe already holds, then syncs it
// with its latest desired state. A redelivered command does nothing twice.
func (p *pusher) adopt(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	adopt := msg.Body.GetAdopt()
	change, err := p.stores.Desired().Latest(ctx, p.account, adopt.GetProductId())
	if err != nil {
		return mesh.Retry(err)
	}
	switch unadoptable := new(adoptionError); {
	case change.GetProduct() == nil:
		err = &adoptionError{fmt.Errorf("the catalog has no product %s", adopt.GetProductId())}
	default:
		if err = p.linkProduct(ctx, change, adopt); err != nil && !errors.As(err, &unadoptable) {
			err = fmt.Errorf("adopt %s as product %s: %w", adopt.GetStripeId(), adopt.GetProductId(), err)
		}
	}
	refused := new(adoptionError)
	switch {
	case err == nil:
		if err := p.publishAdoption(ctx, msg.Body, change, nil); err != nil {
			return mesh.Retry(err)
		}
		return p.sync(ctx, plan.Request{
			Change: change, Force: true, Adopted: true, Repeated: msg.Attempt > 1,
		})
	case errors.As(err, &refused):
		if err := p.removeLink(ctx, adopt); err != nil {
			return mesh.Retry(err)
		}
		if err := p.publishAdoption(ctx, msg.Body, change, refused); err != nil {
			return mesh.Retry(err)
		}
		p.logger.WarnContext(ctx, "adoption refused", "product", adopt.GetProductId(), "stripe", adopt.GetStripeId(),
			"error", refused)
		return mesh.Ack()
	case errors.Is(err, errBusy), errors.Is(err, state.ErrConflict):
		return mesh.Busy(busyDelay)
	case isHalt(err):
		return p.haltAccount(ctx, err)
	default:
		return mesh.RetryIn(min(mesh.RetryDelay(msg.Attempt), maxInPlaceDelay), err)
	}
}

// linkProduct records the adoption in three steps. It stores the link first, so that pull assigns what it learns to the
// product. Then it stores what Stripe holds, read after the link. Last, it deletes the observed state under Stripe's
// id.
func (p *pusher) linkProduct(ctx context.Context, change *catalogv1.ProductChange, adopt *meshv1.Adopt) error {
	product, stripeID := adopt.GetProductId(), adopt.GetStripeId()
	unlock, ok := p.lock(ctx, product)
	if !ok {
		return errBusy
	}
	defer unlock()
	observed, revision, err := p.stores.Observed().Get(ctx, p.account, product)
	if err != nil {
		return err
	}
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	if p.planner.IsBusy(observed, now) {
		return errBusy
	}
	generation := observed.GetGeneration()
	var events []string
	if stripeID != product {
		extra, err := p.extraState(ctx, stripeID)
		if err != nil {
			return err
		}
		generation, events = max(generation, extra.GetGeneration()), extra.GetRecentEvents()
		if err := p.ensureNotCreated(ctx, observed, now); err != nil {
			return err
		}
		if err := p.stores.Links().Put(ctx, p.account, stripeID, product); errors.Is(err, state.ErrLinked) {
			return &adoptionError{err}
		} else if err != nil {
			return err
		}
	}
	metrics.PushRereads.Add(ctx, 1)
	seen, prices, err := p.stripe.GetProductWithPrices(ctx, stripeID)
	if err != nil {
		return stripeapi.Classify(err)
	}
	if _, err := p.stores.Observed().UpdateAt(ctx, p.account, product, revision, func(o *catalogv1.Observed) error {
		if o.GetStripeId() == "" {
			// What was admitted or approved was about another product in Stripe.
			o.AdmittedVersion = 0
			if o.GetHold().GetApproved() {
				o.Hold = nil
			}
		}
		if err := catalog.Adopt(o, change,
			catalog.Adoption{StripeID: stripeID, Prices: adopt.GetPrices(), MayReplace: adopt.GetReplace()}, seen,
			prices); err != nil {
			return &adoptionError{err}
		}
		for _, event := range events {
			catalog.RememberEvent(o, event)
		}
		// A new generation, so that Stripe replays no earlier call on either id.
		o.Stale, o.Claim, o.Generation = false, nil, generation+1
		return nil
	}); err != nil {
		return err
	}
	if stripeID == product {
		return nil
	}
	return p.stores.Observed().Forget(ctx, p.account, stripeID)
}

// extraState returns the observed state under Stripe's id. It refuses an id that a product of the catalog has or had.
func (p *pusher) extraState(ctx context.Context, stripeID string) (*catalogv1.Observed, error) {
	namesake, err := p.stores.Desired().Latest(ctx, p.account, stripeID)
	if err != nil {
		return nil, err
	}
	if namesake != nil {
		return nil, &adoptionError{fmt.Errorf("the catalog has, or had, a product with the id %s", stripeID)}
	}
	extra, _, err := p.stores.Observed().Get(ctx, p.account, stripeID)
	return extra, err
}

// ensureNotCreated makes sure that Stripe has no product with the catalog's id. A call whose answer was lost may have
// created one.
func (p *pusher) ensureNotCreated(ctx context.Context, observed *catalogv1.Observed, now time.Time) error {
	if observed.GetStripeId() != "" {
		return nil
	}
	open := slices.ContainsFunc(observed.GetIntents(), func(i *catalogv1.Intent) bool { return !i.GetSettled() })
	if !open && !observed.GetStale() && observed.GetClaim() == nil {
		return nil
	}
	for _, i := range observed.GetIntents() {
		if !i.GetSettled() && now.Sub(i.GetAt().AsTime()) < plan.MaxCallAge {
			return errBusy
		}
	}
	seen, err := p.stripe.GetProduct(ctx, observed.GetProductId())
	if err != nil {
		return stripeapi.Classify(err)
	}
	if seen.Product != nil {
		return &adoptionError{fmt.Errorf("Stripe already has a product with the catalog's id %s",
			observed.GetProductId())}
	}
	return nil
}

// removeLink deletes the link of a refused command, unless the product was adopted under it before.
func (p *pusher) removeLink(ctx context.Context, adopt *meshv1.Adopt) error {
	observed, _, err := p.stores.Observed().Get(ctx, p.account, adopt.GetProductId())
	if err != nil || catalog.StripeID(observed) == adopt.GetStripeId() {
		return err
	}
	return p.stores.Links().Delete(ctx, p.account, adopt.GetStripeId(), adopt.GetProductId())
}

// publishAdoption publishes the result of the command.
func (p *pusher) publishAdoption(ctx context.Context, command *meshv1.Command, change *catalogv1.ProductChange,
	refused *adoptionError,
) error {
	adopt := command.GetAdopt()
	out := &meshv1.Outcome{
		Account: p.account, ProductId: adopt.GetProductId(), Kind: meshv1.OutcomeKind_OUTCOME_KIND_ADOPTED,
		Version: change.GetVersion(),
		Detail:  mesh.DescribeAdoption(adopt), StripeId: adopt.GetStripeId(), At: timestamppb.Now(),
		Actor: command.GetIssuer(), Reason: command.GetReason(),
	}
	if refused != nil {
		out.Kind = meshv1.OutcomeKind_OUTCOME_KIND_ADOPTION_REFUSED
		out.Detail += ": " + refused.Error()
	}
	out.Id = mesh.AdoptionID(out.GetKind(), command.GetId())
	return p.mesh.Publish(ctx, topology.SyncSubject(p.account, out.GetKind(), out.GetProductId()), out,
		mesh.WithID(out.GetId()), mesh.WithVersion(out.GetVersion()))
}
