package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// maxKeyAge is how long an idempotency key is relied on. Stripe may forget keys after 24 hours.
const maxKeyAge = 23 * time.Hour

// errOutdated means that the desired state that was read is older than the one applied last.
var errOutdated = errors.New("a later state of the product was applied than the one read from CATALOG")

// errLostClaim means that the pass took too long and another process has claimed the product.
var errLostClaim = errors.New("the claim on the product expired and another process took over")

// plan is a claimed product with the calls to make.
type plan struct {
	change *catalogv1.ProductChange
	steps  []plannedStep
	// base is the observed state that the steps start from.
	base *catalogv1.Observed
	// claimed is the state stored with the claim. revision is its revision in OBSERVED.
	claimed  *catalogv1.Observed
	revision uint64
	lease    lease
	// reread reports whether the product was read from Stripe before the steps were planned.
	reread bool
}

type plannedStep struct {
	catalog.Step
	key string
	// generation is the one that the key was made with.
	generation uint64
}

// claim claims the product for this process and plans the calls. One write stores the claim and the intent of every
// call, with its key and trace. A nil plan without error means that there is nothing to do.
func (p *pusher) claim(ctx context.Context, req passRequest) (pl *plan, err error) {
	ctx, span := startSpan(ctx, "claim product")
	defer func() {
		if pl != nil {
			span.SetAttributes(telemetry.StepCountKey.Int(len(pl.steps)))
		}
		endSpan(span, err)
	}()
	for range 5 {
		now, err := p.mesh.Clock().Now(ctx)
		if err != nil {
			return nil, err
		}
		observed, revision, err := p.mesh.Observed().Get(ctx, p.account, req.change.GetProductId())
		if err != nil {
			return nil, err
		}
		if c := observed.GetClaim(); c != nil && c.GetHolder() != p.holder && now.Before(c.GetUntil().AsTime()) {
			return nil, errBusy
		}
		if observed.GetVersion() > req.change.GetVersion() {
			// Another process has applied a later state since this one was read.
			if req.force {
				return nil, errOutdated
			}
			metrics.ChangeSuperseded.Add(ctx, 1)
			span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeSuperseded))
			linkApplier(ctx, observed, req.change.GetVersion())
			return nil, nil
		}
		known := observed.GetVersion() >= req.change.GetVersion() && !observed.GetStale() && observed.GetClaim() == nil
		if known && !req.force {
			linkApplier(ctx, observed, req.change.GetVersion())
			if req.redelivered {
				return nil, p.publishApplied(ctx, req, observed.GetGeneration(), nil)
			}
			span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeUnchanged))
			return nil, nil
		}
		pl, err := p.plan(ctx, req, observed, revision, now)
		if errors.Is(err, mesh.ErrConflict) {
			continue
		}
		return pl, err
	}
	return nil, fmt.Errorf("lost the claim to other writers five times: %w", errBusy)
}

func (p *pusher) plan(ctx context.Context, req passRequest, observed *catalogv1.Observed, revision uint64,
	now time.Time,
) (*plan, error) {
	steps := p.assignKeys(p.steps(req, observed), observed)
	looked := req.reread || observed.GetStale() || observed.GetClaim() != nil || needsReread(steps, observed, now)
	if looked {
		var err error
		if observed, err = p.reread(ctx, observed); err != nil {
			return nil, err
		}
		if now, err = p.mesh.Clock().Now(ctx); err != nil {
			return nil, err
		}
		steps = p.assignKeys(p.steps(req, observed), observed)
	}
	if err := p.checkCreateAllowed(ctx, req, steps, observed); err != nil {
		return nil, err
	}
	if archivesProduct(steps, observed) {
		if err := p.guard(ctx, req.change.GetProductId(), now); err != nil {
			return nil, err
		}
	}
	advances := observed.GetVersion() < req.change.GetVersion()
	pl := &plan{change: req.change, steps: steps, base: observed, reread: looked}
	pl.lease.renewed(now)
	pl.lease.stamped(now)
	stored := proto.CloneOf(observed)
	// Recorded before the calls: a metadata key that was written but not recorded could never be removed.
	catalog.ManageMetadata(stored, req.change)
	catalog.RecordFound(stored, req.change)
	if len(steps) == 0 {
		stored.Claim = nil
		p.recordVersion(req, stored)
	} else {
		catalog.RecordStripeEdits(p.policy, req.change, stored)
		stored.Claim = &catalogv1.Claim{
			Holder:  p.holder,
			Until:   timestamppb.New(pl.lease.expiry()),
			Version: req.change.GetVersion(),
		}
		var committed *timestamppb.Timestamp
		if advances {
			committed = req.change.GetCommittedAt()
		}
		for _, s := range steps {
			catalog.RecordIntents(stored, &catalogv1.Intent{
				IdempotencyKey: s.key, Step: s.String(), Traceparent: req.traceparent, Version: req.change.GetVersion(),
				At: timestamppb.New(now), FirstAt: firstUse(observed, s.key, now), Generation: s.generation,
				CommittedAt: committed,
			})
		}
	}
	var err error
	if pl.revision, err = p.mesh.Observed().Put(ctx, stored, revision); err != nil {
		return nil, err
	}
	pl.claimed = stored
	if len(steps) > 0 {
		return pl, nil
	}
	if !req.isComplete() {
		return nil, nil
	}
	if advances {
		countApplied(ctx, req.change)
	}
	if advances || req.redelivered {
		return nil, p.publishApplied(ctx, req, stored.GetGeneration(), nil)
	}
	return nil, nil
}

// steps returns the calls that desired state and policy ask for, without the parts that Stripe refused in this pass.
func (p *pusher) steps(req passRequest, observed *catalogv1.Observed) []catalog.Step {
	steps := catalog.Resolve(p.policy, req.change, observed, req.exceptions).Steps(observed)
	return req.keys.filter(req.skips.filter(steps, observed), observed)
}

// assignKeys gives every step its idempotency key. A step whose outcome is unknown keeps the key of its first call. Any
// other step gets a key of the product's current generation.
func (p *pusher) assignKeys(steps []catalog.Step, observed *catalogv1.Observed) []plannedStep {
	out := make([]plannedStep, len(steps))
	for i, s := range steps {
		out[i] = plannedStep{s, s.IdempotencyKey(p.account, observed.GetGeneration()), observed.GetGeneration()}
		for _, intent := range observed.GetIntents() {
			if key := s.IdempotencyKey(p.account, intent.GetGeneration()); !intent.GetSettled() &&
				key == intent.GetIdempotencyKey() {
				out[i].key, out[i].generation = key, intent.GetGeneration()
			}
		}
	}
	return out
}

// needsReread reports whether Stripe must be read because of a call of unknown outcome. That is so if the plan does not
// repeat the call, or if its key may be forgotten.
func needsReread(steps []plannedStep, observed *catalogv1.Observed, now time.Time) bool {
	return slices.ContainsFunc(observed.GetIntents(), func(intent *catalogv1.Intent) bool {
		if intent.GetSettled() {
			return false
		}
		again := slices.ContainsFunc(steps, func(s plannedStep) bool { return s.key == intent.GetIdempotencyKey() })
		return !again || now.Sub(firstCallTime(intent)) > maxKeyAge
	})
}

// unsettledIntent returns the intent of a key if its outcome was unknown before the plan, else nil.
func unsettledIntent(before *catalogv1.Observed, key string) *catalogv1.Intent {
	if intent := catalog.FindIntent(before, key); intent != nil && !intent.GetSettled() {
		return intent
	}
	return nil
}

// firstUse returns the earliest time at which Stripe may have seen a key that is used now.
func firstUse(before *catalogv1.Observed, key string, now time.Time) *timestamppb.Timestamp {
	if intent := unsettledIntent(before, key); intent != nil {
		return timestamppb.New(firstCallTime(intent))
	}
	return timestamppb.New(now)
}

// firstCallTime returns when an intent's call was first made. Intents recorded by older versions have no FirstAt.
func firstCallTime(intent *catalogv1.Intent) time.Time {
	if first := intent.GetFirstAt(); first != nil {
		return first.AsTime()
	}
	return intent.GetAt().AsTime()
}

// reread reads the product from Stripe and returns the observed state with the answer applied. It marks calls of unknown
// outcome as settled once they can no longer take effect.
func (p *pusher) reread(ctx context.Context, observed *catalogv1.Observed) (*catalogv1.Observed, error) {
	metrics.PushRereads.Add(ctx, 1)
	seen, prices, all, err := p.stripe.GetProductWithSomePrices(ctx, catalog.StripeID(observed),
		catalog.OwnedIDs(observed))
	if err == nil && !all && observed.GetProductSeen() == 0 {
		// Its archived prices have never been read.
		seen, prices, err = p.stripe.GetProductWithPrices(ctx, catalog.StripeID(observed))
		all = true
	}
	if err != nil {
		return nil, fmt.Errorf("reread product %s: %w", observed.GetProductId(), stripeapi.Classify(err))
	}
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return nil, err
	}
	o := proto.CloneOf(observed)
	if all {
		catalog.ObserveAll(o, seen, prices)
	} else {
		catalog.ObserveActive(o, seen, prices)
	}
	o.Stale, o.Claim = false, nil
	o.Generation++
	for _, intent := range o.GetIntents() {
		// A later call may still be running in Stripe. A repetition must have the same key.
		if now.Sub(intent.GetAt().AsTime()) > maxCallAge {
			intent.Settled = true
		}
	}
	return o, nil
}

// recordResult stores the results of a pass's calls and releases the claim.
func (p *pusher) recordResult(ctx context.Context, req passRequest, pl *plan, applied []appliedStep,
	failure *failedStep,
) (*catalogv1.Observed, error) {
	// The calls were made, so their results are recorded even while the service stops.
	ctx = context.WithoutCancel(ctx)
	lost := false
	stored, err := p.mesh.Observed().UpdateFrom(ctx, pl.claimed, pl.revision, func(o *catalogv1.Observed) error {
		if lost = o.GetClaim().GetHolder() != p.holder; lost {
			if len(applied) == 0 && (failure == nil || failure.notSent) {
				return mesh.ErrNoChange
			}
			// The process that took over has not seen these calls.
			o.Stale = true
			return nil
		}
		o.Claim = nil
		if !sameSightings(o, pl.base) {
			// Another party changed the product in Stripe meanwhile. The order of the two changes is unknown.
			o.Stale = true
		}
		for _, a := range applied {
			o.Generation++
			// A replayed answer has the past state, not the current one. An answer without the price that was created
			// with the product is incomplete.
			o.Stale = o.GetStale() || a.Replayed || a.PriceID != "" && a.Price == nil
			markSettled(o, a.key, !o.GetStale())
			if !o.GetStale() {
				observeAnswer(o, a)
			}
			markManaged(o, a)
		}
		if !req.laterRound && !o.GetStale() && len(repeatedSteps(p.steps(req, o), applied)) > 0 {
			// Stripe ignored an accepted value, or another party changed it. The next round rereads the product.
			o.Stale = true
		}
		switch {
		case failure != nil:
			p.recordFailure(o, pl, failure)
		case !o.GetStale():
			p.recordVersion(req, o)
		}
		return nil
	})
	if err == nil && lost {
		return nil, fmt.Errorf("product %s: %w", pl.change.GetProductId(), errLostClaim)
	}
	return stored, err
}

func (p *pusher) recordFailure(o *catalogv1.Observed, pl *plan, f *failedStep) {
	for i, s := range pl.steps[f.index:] {
		// A call that was not sent needs no intent. A call that may have been executed keeps its intent, also if an
		// earlier attempt with the same key made it.
		if (i > 0 || f.notSent || f.NotExecuted) && unsettledIntent(pl.base, s.key) == nil {
			dropIntent(o, s.key)
		}
	}
	if f.OutcomeKnown {
		o.Generation++
		markSettled(o, pl.steps[f.index].key, false)
	}
	o.Stale = o.GetStale() || f.Action == stripeapi.RereadFirst
}

func observeAnswer(o *catalogv1.Observed, a appliedStep) {
	if a.Product != nil {
		s := *a.Product
		s.Fetched = true
		catalog.ObserveProduct(o, s)
	}
	if a.Price != nil {
		s := *a.Price
		s.Fetched = true
		catalog.ObservePrice(o, s)
		if a.Step.Kind == catalog.UpdatePrice || a.Step.Kind == catalog.CreatePrice {
			clearMovedKey(o, a)
		}
	}
}

// clearMovedKey clears a lookup key that moved to the step's price from the product's other prices.
func clearMovedKey(o *catalogv1.Observed, a appliedStep) {
	key, ok := a.Step.Param("lookup_key")
	if !ok || key == "" {
		return
	}
	for _, other := range o.GetPrices() {
		if other.GetStripeId() != a.ObjectID && other.GetPrice().GetLookupKey() == key {
			other.Price.LookupKey = ""
		}
	}
}

// markManaged records the metadata keys that Driftless now manages on the step's object.
func markManaged(o *catalogv1.Observed, a appliedStep) {
	switch a.Step.Kind {
	case catalog.CreateProduct, catalog.UpdateProduct:
		o.ManagedMetadata = a.ManagedMetadata
		if a.Price != nil {
			markPriceManaged(o, a.Price.StripeID, a.PriceMetadata)
		}
	case catalog.CreatePrice, catalog.UpdatePrice:
		markPriceManaged(o, a.ObjectID, a.ManagedMetadata)
	}
}

func markPriceManaged(o *catalogv1.Observed, stripeID string, keys []string) {
	for _, price := range o.GetPrices() {
		if price.GetStripeId() == stripeID {
			price.ManagedMetadata = keys
		}
	}
}

// sameSightings reports whether both states have the same product and prices. It leaves out prices of others because no
// step depends on them. A shop that makes a price for each sale would be reread again and again.
func sameSightings(a, b *catalogv1.Observed) bool {
	owned := func(o *catalogv1.Observed) []*catalogv1.ObservedPrice {
		return slices.DeleteFunc(slices.Clone(o.GetPrices()), func(p *catalogv1.ObservedPrice) bool {
			return !catalog.Owned(p)
		})
	}
	return proto.Equal(a.GetProduct(), b.GetProduct()) && a.GetDeleted() == b.GetDeleted() &&
		slices.EqualFunc(owned(a), owned(b), func(x, y *catalogv1.ObservedPrice) bool {
			return x.GetStripeId() == y.GetStripeId() && proto.Equal(x.GetPrice(), y.GetPrice())
		})
}

func markSettled(o *catalogv1.Observed, key string, answered bool) {
	if intent := catalog.FindIntent(o, key); intent != nil {
		intent.Settled, intent.Answered = true, answered
	}
}

func dropIntent(o *catalogv1.Observed, key string) {
	o.Intents = slices.DeleteFunc(o.Intents, func(i *catalogv1.Intent) bool { return i.GetIdempotencyKey() == key })
}
