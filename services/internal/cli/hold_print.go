package cli

import (
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// heldAdvice says what an operator does about held changes.
const heldAdvice = "Held changes wait for a person: `driftless approve PRODUCT --reason TEXT` makes one, " +
	"`driftless reject PRODUCT --reason TEXT` shows how to undo it."

// maxFindings is how many findings of one product are printed.
const maxFindings = 10

// printHold writes why the guard holds a change, since when, who has approved it, and what releases it.
func (p *planPrinter) printHold(id string, h *catalogv1.Hold) {
	since := ""
	if h.GetSince() != nil {
		since = ", since " + ago(h.GetSince())
	}
	sayf(p, "    held by the guard%s:\n", since)
	for _, f := range h.GetFindings()[:min(len(h.GetFindings()), maxFindings)] {
		sayf(p, "        %s\n", findingLine(f))
	}
	if more := len(h.GetFindings()) - maxFindings; more > 0 {
		sayf(p, "        and %d more\n", more)
	}
	for _, a := range h.GetApprovals() {
		sayf(p, "        approved by %s %s: %s\n", a.GetActor(), ago(a.GetAt()), a.GetReason())
	}
	sayf(p, "        driftless approve %s --reason TEXT\n", visible.Argument(id))
}

// findingLine describes a finding: "amount_change: price mug-eur would change by -99 %: ...". It adds what the price
// costs before and after, unless the message says that.
func findingLine(f *catalogv1.Finding) string {
	line := f.GetRule() + ": " + f.GetMessage()
	if f.GetMessage() == "" && f.GetPriceId() != "" {
		line += "price " + f.GetPriceId()
	}
	if f.GetBefore() == "" && f.GetAfter() == "" ||
		strings.Contains(f.GetMessage(), f.GetBefore()) && strings.Contains(f.GetMessage(), f.GetAfter()) &&
			f.GetAfter() != "" {
		return line
	}
	return line + " (" + orNothing(f.GetBefore()) + " -> " + orNothing(f.GetAfter()) + ")"
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// printHeld writes how many products the guard holds, by rule, and which rules let everything pass.
func printHeld(w io.Writer, s *controlv1.GetStatusResponse) {
	if s.GetHeld() > 0 {
		sayf(w, "%s: the guard holds %s:\n", careful.paint("HELD"), countOf(s.GetHeld(), "product", "products"))
		for _, h := range s.GetHeldBy() {
			sayf(w, "- %d by %s, the first since %s\n", h.GetCount(), h.GetRule(), ago(h.GetSince()))
		}
		sayf(w, "Check `driftless plan`, then run `driftless approve PRODUCT --reason TEXT`, or fix the catalog: "+
			"`driftless reject PRODUCT --reason TEXT` shows how.\n\n")
	}
	open := s.GetGuard().GetApproved()
	now := s.GetEquality().GetAt()
	for _, rule := range slices.Sorted(maps.Keys(open)) {
		if now != nil && !open[rule].AsTime().After(now.AsTime()) {
			continue
		}
		which, end := "every rule of the guard", ""
		if rule != "" {
			which, end = "the rule "+rule, " --rule "+rule
		}
		sayf(w, "APPROVED: %s lets every change pass until %s. `driftless approve%s --for 0s --reason TEXT` ends that.\n\n",
			which, formatClock(open[rule].AsTime(), time.TimeOnly), end)
	}
}

// onlyHeld reports whether a plan has held products, and no others.
func onlyHeld(plan *controlv1.PlanResponse) bool {
	return len(plan.GetProducts()) > 0 && !slices.ContainsFunc(plan.GetProducts(),
		func(p *controlv1.ProductPlan) bool { return !p.GetHeld() })
}

// heldLine says in one line why the guard holds a product's change.
func heldLine(p *controlv1.ProductPlan) string {
	line := "held by the guard"
	if findings := p.GetHold().GetFindings(); len(findings) > 0 {
		line += " (" + findingLine(findings[0]) + ")"
	}
	return line + ": driftless approve " + visible.Argument(p.GetProductId()) + " --reason TEXT"
}
