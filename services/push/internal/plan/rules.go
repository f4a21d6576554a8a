package plan

import (
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Subject is a plan that the rules judge before any of its calls is made.
type Subject struct {
	Desired  *catalogv1.ProductChange
	Observed *catalogv1.Observed
	Calls    []PlannedCall
	// Adopted reports whether an operator has adopted the product.
	Adopted bool
	// HoldCreations reports whether new products and prices are on hold.
	HoldCreations bool
}

// RuleName names a rule.
type RuleName string

// The rules.
const (
	// LinkedElsewhere refuses a product whose id is Stripe's id of another product of the catalog.
	LinkedElsewhere RuleName = "linked_elsewhere"
	// CreationsOnHold holds what may exist in Stripe under another id, while the account is being adopted.
	CreationsOnHold RuleName = "creations_on_hold"
)

// Finding is what a rule has found about a plan.
type Finding struct {
	Rule RuleName
	// Why is the reason for which the plan is held. It is empty if the rule cannot tell from the plan alone. Then a
	// record decides, which push reads: the link of a Stripe id.
	Why string
}

// rules judge every plan, in this order. A rule that joins them needs nothing else if its findings have a reason.
var rules = []func(Subject) (Finding, bool){mayBeLinked, createsUnadopted}

// Check returns the findings of all rules, in their order. A plan without calls has none.
func Check(s Subject) (findings []Finding) {
	if len(s.Calls) == 0 {
		return nil
	}
	for _, rule := range rules {
		if f, found := rule(s); found {
			findings = append(findings, f)
		}
	}
	return findings
}

// WhyCreationsOnHold is why a product is not created while the account is being adopted.
const WhyCreationsOnHold = "not created because push_create is off: " +
	"adopt the products that Stripe already holds, then switch it on"

// isUnwritten reports whether Driftless has not written the product yet, and no operator has adopted it.
func (s Subject) isUnwritten() bool { return !s.Adopted && !catalog.IsManaged(s.Observed) }

func mayBeLinked(s Subject) (Finding, bool) {
	return Finding{Rule: LinkedElsewhere}, s.isUnwritten()
}

func createsUnadopted(s Subject) (Finding, bool) {
	creates := slices.ContainsFunc(s.Calls,
		func(c PlannedCall) bool { return c.Kind == catalog.CreateProduct || c.Kind == catalog.CreatePrice })
	return Finding{Rule: CreationsOnHold, Why: WhyCreationsOnHold}, s.HoldCreations && s.isUnwritten() && creates
}
