package plan

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/guard"
)

// ClaimTimeout is how long a claim is valid after its last renewal. A product waits this long for another push when its
// push has died.
const ClaimTimeout = 12 * time.Second

// Action is what push does next about a product.
type Action int

const (
	// Busy waits: another process has a valid claim.
	Busy Action = iota
	// Outdated fails: the request has Force, but a later state than its own was applied or is held.
	Outdated
	// Superseded does nothing: a later state was applied or is held.
	Superseded
	// Unchanged does nothing: this state was applied before.
	Unchanged
	// Reread reads the product from Stripe and decides again.
	Reread
	// Store stores the plan's state. There is nothing to call.
	Store
	// Call stores the plan's state, which has the claim. Then it makes the plan's calls.
	Call
)

// Seen is what push knows of a product at a time.
type Seen struct {
	Observed *catalogv1.Observed
	// At is the time by the NATS server's clock.
	At time.Time
	// Reread reports whether Observed was read from Stripe for this decision: see RecordReread.
	Reread bool
}

// Decision is what to do about a product.
type Decision struct {
	Action Action
	// Observed is the state that the decision rests on.
	Observed *catalogv1.Observed
	// Plan is set for Store and Call.
	Plan *Plan
	// Findings are what the rules have found about the plan's calls. Until every finding is settled, no claim is stored
	// and no call is made: see Finding.
	Findings []Finding
	// Report is what the guard judges before the claim is stored: see Judge. It is nil if there is nothing to judge,
	// because the plan has no calls or its version was admitted before.
	Report *guard.Report
	// isApproved reports whether the version was held and has enough approvals.
	isApproved bool
	// approved are the findings that those approvals cover in this plan.
	approved []*catalogv1.Finding
	// Publish reports whether the outcome is to be published without a call: with Unchanged at once, with Store once
	// the state is stored.
	Publish bool
}

// Plan is the calls that make a product equal to its desired state.
type Plan struct {
	Change *catalogv1.ProductChange
	// Calls are in the order in which they must be made.
	Calls []PlannedCall
	// Base is the observed state that the calls start from.
	Base *catalogv1.Observed
	// State is stored before the first call. It has the claim, until ClaimTimeout after At, and the intents of the
	// calls.
	State *catalogv1.Observed
	// At is when the plan was made.
	At time.Time
	// Reread reports whether Base was read from Stripe for this plan.
	Reread bool
}

// Advances reports whether the plan applies a later version than the one applied last.
func (p *Plan) Advances() bool { return p.Base.GetVersion() < p.Change.GetVersion() }

// Decide returns what to do about a product. It modifies none of its arguments.
func (p *Planner) Decide(req Request, seen Seen) Decision {
	d := Decision{Observed: seen.Observed}
	if !seen.Reread {
		if action, ends := p.endsUnplanned(req, seen); ends {
			d.Action, d.Publish = action, action == Unchanged && req.Redelivered
			return d
		}
	}
	// Overlaps begin and end in the write that stores the plan. So a process that dies does not forget them.
	resolution, observed := catalog.ResolveAt(p.Policy, req.Change, seen.Observed, req.Exceptions, seen.At)
	steps := req.filter(resolution.Steps(observed), observed)
	calls := p.withKeys(steps, seen.Observed)
	if !seen.Reread && mustReread(req, calls, seen) {
		d.Action = Reread
		return d
	}
	d.Action = Store
	if len(calls) > 0 {
		d.Action = Call
	}
	d.Plan = p.plan(req, calls, seen, observed)
	d.Findings = Check(Subject{
		Desired: req.Change, Observed: seen.Observed, Calls: calls, Adopted: req.Adopted,
		HoldCreations: p.HoldCreations,
	})
	if hold := p.approvedHold(req, seen.Observed); hold != nil {
		d.isApproved = true
		if req.hasExceptionsOf(hold) {
			d.approved = hold.GetFindings()
		}
	}
	// The guard also judges an overlap that begins or ends without a call.
	hasOverlapChange := observed != seen.Observed
	if (len(calls) > 0 || hasOverlapChange) && !p.isAdmitted(req, seen.Observed) {
		d.Report = new(guard.Inspect(p.Guard, guard.Change{
			Observed: seen.Observed, Desired: resolution.Effective, Steps: steps, After: observed,
		}))
	}
	d.Publish = len(calls) == 0 && req.IsComplete() && (d.Plan.Advances() || req.Redelivered)
	return d
}

// endsUnplanned reports whether nothing needs to be planned for the request, and what to do instead.
func (p *Planner) endsUnplanned(req Request, seen Seen) (action Action, ends bool) {
	o, version := seen.Observed, req.Change.GetVersion()
	// A later state that is held supersedes an earlier one as well.
	known := max(o.GetVersion(), o.GetHold().GetVersion())
	switch {
	case p.IsBusy(o, seen.At):
		return Busy, true
	case known > version && req.Force:
		return Outdated, true
	case known > version:
		return Superseded, true
	case o.GetVersion() == version && !o.GetStale() && o.GetClaim() == nil && !req.Force:
		return Unchanged, true
	default:
		return 0, false
	}
}

// IsBusy reports whether another process has a valid claim on the product.
func (p *Planner) IsBusy(o *catalogv1.Observed, now time.Time) bool {
	c := o.GetClaim()
	return c != nil && c.GetHolder() != p.Holder && now.Before(c.GetUntil().AsTime())
}

// mustReread reports whether the product must be read from Stripe before its calls are planned. A claim that is still
// there was left by a push that died.
func mustReread(req Request, calls []PlannedCall, seen Seen) bool {
	return req.Reread || seen.Observed.GetStale() || seen.Observed.GetClaim() != nil ||
		hasUnknownOutcome(calls, seen.Observed, seen.At)
}

// plan returns the plan that makes the calls. observed is the state that was seen, with its overlaps at that time.
func (p *Planner) plan(req Request, calls []PlannedCall, seen Seen, observed *catalogv1.Observed) *Plan {
	pl := &Plan{
		Change: req.Change, Calls: calls, Base: seen.Observed, State: proto.CloneOf(observed), At: seen.At,
		Reread: seen.Reread,
	}
	// The keys are recorded before the calls: one that was written but not recorded could never be removed.
	catalog.ManageMetadata(pl.State, req.Change)
	catalog.RecordFound(pl.State, req.Change)
	pl.State.Hold = p.approvedHold(req, seen.Observed)
	if len(calls) == 0 {
		pl.State.Claim = nil
		p.recordVersion(req, pl.State)
		return pl
	}
	catalog.RecordStripeEdits(p.Policy, req.Change, pl.State)
	pl.State.AdmittedVersion = req.Change.GetVersion()
	pl.State.Claim = &catalogv1.Claim{
		Holder:  p.Holder,
		Until:   timestamppb.New(seen.At.Add(ClaimTimeout)),
		Version: req.Change.GetVersion(),
	}
	for _, c := range calls {
		catalog.RecordIntents(pl.State, pl.intent(req, c))
	}
	return pl
}

// recordVersion records that a version is applied, unless a part of it was refused.
func (p *Planner) recordVersion(req Request, o *catalogv1.Observed) {
	if !req.IsComplete() {
		return
	}
	catalog.Agree(p.Policy, req.Change, o)
	recordFinished(o, req.Change.GetVersion())
	o.Version = max(o.GetVersion(), req.Change.GetVersion())
}
