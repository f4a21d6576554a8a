package plan

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
)

const (
	// maxFindings and maxFindingBytes bound what a hold records. The observed state must fit a message of NATS.
	maxFindings     = 100
	maxFindingBytes = 32 << 10
	// maxDescribed is the maximum number of findings that a description writes out.
	maxDescribed = 3
)

// RulesHash identifies the rules of the guard. It is never 0.
func (p *Planner) RulesHash() uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%+v", p.Guard)
	return h.Sum64() | 1
}

// isAdmitted reports whether the guard needs no judgement of a version. It was approved, or some of its calls may have
// been made. Without the parts that Stripe refused it is another plan than the one that was judged.
func (p *Planner) isAdmitted(req Request, o *catalogv1.Observed) bool {
	version := req.Change.GetVersion()
	hasBegun := version > 0 && o.GetAdmittedVersion() == version
	approved := p.approvedHold(req, o)
	return req.IsComplete() && (hasBegun || approved != nil && req.hasExceptionsOf(approved))
}

// hasExceptionsOf reports whether a hold is of a request with the same exceptions. Other exceptions are other calls,
// and nobody has approved those.
func (r Request) hasExceptionsOf(hold *catalogv1.Hold) bool {
	return slices.Equal(hold.GetOverwrite(), r.Exceptions.Overwrite) &&
		slices.Equal(hold.GetLeave(), r.Exceptions.Leave)
}

// approvedHold returns the hold of the request's version if it is approved, else nil.
func (p *Planner) approvedHold(req Request, o *catalogv1.Observed) *catalogv1.Hold {
	hold := o.GetHold()
	if hold == nil || hold.GetVersion() != req.Change.GetVersion() || !p.isApproved(hold) {
		return nil
	}
	approved := proto.CloneOf(hold)
	approved.Approved = true
	return approved
}

// isApproved reports whether enough people have approved a hold. Fewer may be needed by now than when they did.
func (p *Planner) isApproved(hold *catalogv1.Hold) bool {
	return hold.GetApproved() || len(hold.GetApprovals()) >= max(p.Guard.Approvers, 1)
}

// recordFinished records in place that all calls of a version are made.
func recordFinished(o *catalogv1.Observed, version uint64) {
	if o.GetAdmittedVersion() <= version {
		o.AdmittedVersion = 0
	}
	if o.GetHold().GetVersion() <= version {
		o.Hold = nil
	}
}

// NeedsGuard reports whether the account's record of the guard decides about a plan, or has to forget its product.
func (d Decision) NeedsGuard() bool {
	if d.Observed.GetHold() != nil {
		return true
	}
	return d.Report != nil && (len(d.Report.Findings) > 0 || len(d.Plan.Change.GetViolations()) > 0 ||
		d.Report.Counted.Archived || len(d.Report.Counted.Prices) > 0 || len(d.Report.Counted.Currencies) > 0)
}

// NeedsTotals reports whether Judge needs the account's totals.
func (p *Planner) NeedsTotals(d Decision, record *meshv1.Guard) bool {
	return d.Report != nil && len(d.own(record)) == 0 &&
		guard.NeedsTotals(record, p.Guard, d.Report.Counted, d.Plan.At)
}

// own returns the findings of the rules that need no count.
func (d Decision) own(record *meshv1.Guard) []guard.Finding {
	return guard.Judge(record, *d.Report, d.Plan.Change.GetViolations(), d.Plan.At)
}

// unlessApproved returns the findings of a plan, none if those that a hold would record are approved. The approval of a
// change covers what is left of it when Stripe refuses a part, and not what only the rest would lead to.
func (d Decision) unlessApproved(findings []guard.Finding) []guard.Finding {
	for _, found := range recorded(findings) {
		if !slices.ContainsFunc(d.approved, func(a *catalogv1.Finding) bool { return isSameFinding(a, found) }) {
			return findings
		}
	}
	return nil
}

// isSameFinding reports whether two findings about the same version are about the same danger. Their messages may
// differ: counts go on, and a product that is half made has other prices.
func isSameFinding(a, b *catalogv1.Finding) bool {
	if a.GetRule() != b.GetRule() || a.GetPriceId() != b.GetPriceId() {
		return false
	}
	return a.GetPriceId() == "" || a.GetBefore() == b.GetBefore() && a.GetAfter() == b.GetAfter()
}

// Judge asks the guard about a plan, and returns why it is held. None of its calls may then be made. Without findings
// the plan counts as made in the account's record, which Judge edits in place. If all findings were approved, it does
// not count. totals may be nil if NeedsTotals reports false.
func (p *Planner) Judge(d Decision, record *meshv1.Guard, totals *guard.Totals) []guard.Finding {
	product := d.Observed.GetProductId()
	if d.Report == nil {
		guard.Release(record, product)
		return nil
	}
	if findings := d.own(record); len(findings) > 0 {
		guard.Release(record, product)
		return d.unlessApproved(findings)
	}
	findings := d.unlessApproved(guard.Admit(record, p.Guard, d.Report.Counted, totals, d.Plan.At))
	if len(findings) == 0 {
		guard.Release(record, product)
	}
	return findings
}

// Release records in the plan's state that a hold ends because the plan is no longer held. A hold that was approved
// does not end in this way.
func (p *Planner) Release(d Decision) {
	d.Plan.State.Released = nil
	if hold := d.Observed.GetHold(); hold != nil && !p.isApproved(hold) {
		d.Plan.State.Released = &catalogv1.Release{
			HeldVersion: hold.GetVersion(),
			HeldSince:   hold.GetSince(),
			Version:     d.Plan.Change.GetVersion(),
			CommittedAt: d.Plan.Change.GetCommittedAt(),
		}
	}
}

// Hold returns the observed state that records why a plan is held. It has no claim, and none of the plan's intents.
// isNew reports whether the product was not held before for the same version and the same rules. A hold that was
// approved has ended: what is held now is another plan of its version, and needs approvals of its own.
func Hold(req Request, d Decision, findings []guard.Finding) (o *catalogv1.Observed, isNew bool) {
	o = proto.CloneOf(d.Observed)
	before := d.Observed.GetHold()
	if d.isApproved {
		before = nil
	}
	hold := &catalogv1.Hold{
		Version:   req.Change.GetVersion(),
		Since:     timestamppb.New(d.Plan.At),
		Findings:  recorded(findings),
		Overwrite: req.Exceptions.Overwrite,
		Leave:     req.Exceptions.Leave,
	}
	if before != nil {
		hold.Since = before.GetSince()
	}
	if before.GetVersion() == hold.GetVersion() && req.hasExceptionsOf(before) {
		hold.Approvals = before.GetApprovals()
	}
	o.Hold, o.Released = hold, nil
	return o, before == nil || before.GetVersion() != hold.GetVersion() ||
		!slices.Equal(HeldBy(before), HeldBy(hold))
}

func recorded(findings []guard.Finding) (out []*catalogv1.Finding) {
	size := 0
	for _, f := range findings[:min(len(findings), maxFindings)] {
		finding := &catalogv1.Finding{
			Rule: string(f.Rule), PriceId: f.Price, Before: f.Before, After: f.After, Message: f.Message,
		}
		if size += proto.Size(finding); size > maxFindingBytes && len(out) > 0 {
			return out
		}
		out = append(out, finding)
	}
	return out
}

// HeldBy returns the rules that hold a product, in order of their names.
func HeldBy(hold *catalogv1.Hold) []string {
	rules := map[string]bool{}
	for _, f := range hold.GetFindings() {
		rules[f.GetRule()] = true
	}
	return slices.Sorted(maps.Keys(rules))
}

// DescribeHold writes why a product is held, in one line.
func DescribeHold(hold *catalogv1.Hold) string {
	var words []string
	for _, f := range hold.GetFindings()[:min(len(hold.GetFindings()), maxDescribed)] {
		words = append(words, f.GetMessage())
	}
	text := strings.Join(words, "; ")
	if more := len(hold.GetFindings()) - maxDescribed; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// Approval is what became of an approval.
type Approval int

const (
	// NotHeld means that the version is not held.
	NotHeld Approval = iota
	// Repeated means that the person has approved the version before.
	Repeated
	// Added means that the approval is recorded.
	Added
)

// Approve adds a person's approval of a held version, in place. number is the position of the person's approval, from
// 1, and needed how many it takes.
func (p *Planner) Approve(o *catalogv1.Observed, version uint64, actor, reason string,
	at time.Time,
) (result Approval, number, needed int) {
	hold := o.GetHold()
	if hold == nil || hold.GetVersion() != version {
		return NotHeld, 0, 0
	}
	needed = max(p.Guard.Approvers, 1)
	if i := slices.IndexFunc(hold.GetApprovals(), func(a *catalogv1.Approval) bool {
		return a.GetActor() == actor
	}); i >= 0 {
		return Repeated, i + 1, needed
	}
	hold.Approvals = append(hold.Approvals,
		&catalogv1.Approval{Actor: actor, Reason: reason, At: timestamppb.New(at)})
	hold.Approved = p.isApproved(hold)
	return Added, len(hold.GetApprovals()), needed
}
