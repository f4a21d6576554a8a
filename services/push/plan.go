package push

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// maxKeyAge is how long an idempotency key is relied on. Stripe may forget keys after 24 hours.
const maxKeyAge = 23 * time.Hour

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

// plan plans the calls for a product and stores the claim with their intents. It rereads the product first if its
// observed state is not reliable. It returns nil if there is nothing to do.
func (p *pusher) plan(ctx context.Context, req passRequest, observed *catalogv1.Observed, revision uint64,
	now time.Time,
) (*plan, error) {
	steps := p.assignKeys(p.steps(req, observed), observed)
	reread := req.reread || observed.GetStale() || observed.GetClaim() != nil || needsReread(steps, observed, now)
	if reread {
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
	pl := &plan{change: req.change, steps: steps, base: observed, reread: reread}
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
	if pl.revision, err = p.stores.Observed().Put(ctx, stored, revision); err != nil {
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
