package ledger

import (
	"slices"
	"time"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// resolve derives the differences, and what the policy and operators' decisions say about each.
func (l *Ledger) resolve(p *Product) {
	l.loadFieldNames(p)
	var x catalog.Exceptions
	for _, d := range p.open {
		switch {
		case d.Decided == CatalogSide:
			x.Overwrite = append(x.Overwrite, p.Field(d))
		case !d.isActive() || d.Decided == StripeSide:
			x.Leave = append(x.Leave, p.Field(d))
		}
	}
	var r catalog.Resolution
	r, p.current = catalog.ResolveAt(l.policy, p.Desired, p.Observed, x, l.now().Add(-overlapDelay))
	p.effective, p.Decisions = r.Effective, r.Decisions
	p.Differs = len(p.Steps()) > 0 ||
		slices.ContainsFunc(r.Decisions, func(d catalog.Decision) bool { return d.Action == catalog.WriteBack })
	if action, ok := extraActions[l.extras]; ok && isExtra(p) {
		p.Decisions = append(p.Decisions, catalog.Decision{
			Difference: catalog.Difference{Kind: catalog.Extra, Stripe: p.Observed.GetProduct().GetName()},
			Action:     action,
		})
		p.Differs = action != catalog.Report
	}
	for _, d := range l.extraPrices(p) {
		p.Decisions = append(p.Decisions, d)
		p.Differs = p.Differs || d.Action == catalog.WriteBack
	}
	p.Decisions = p.storedDecisions(p.Decisions)
	p.hasDifferences = len(p.Decisions) > 0
}

// Extras says what is done about active products in Stripe that the catalog never had.
type Extras string

// The values of Extras. Empty means ExtrasIgnore.
const (
	ExtrasIgnore  Extras = "ignore"
	ExtrasReport  Extras = "report"
	ExtrasArchive Extras = "archive"
	ExtrasImport  Extras = "import"
)

// extraActions are the actions of the settings of extras. Archiving an extra repairs Stripe. Importing it is a
// write-back.
var extraActions = map[Extras]catalog.Action{
	ExtrasReport:  catalog.Report,
	ExtrasArchive: catalog.Repair,
	ExtrasImport:  catalog.WriteBack,
}

// isExtra reports whether a product is active in Stripe and the catalog never had it. If push has written the product,
// the ledger has yet to receive its desired state.
func isExtra(p *Product) bool {
	o := p.Observed
	return p.Desired == nil && o.GetProduct().GetActive() && o.GetVersion() == 0 && o.GetClaim() == nil &&
		len(o.GetIntents()) == 0
}

// deriveState derives the product's state. It reports whether that closes an open dead letter.
func (l *Ledger) deriveState(p *Product) (closes bool, err error) {
	l.resolve(p)
	if !p.hasDifferences {
		p.DiffersSince = time.Time{}
	} else if p.DiffersSince.IsZero() {
		p.DiffersSince = l.now()
	}
	if p.deadVersion != nil &&
		(p.desiredVersion > *p.deadVersion || !p.Differs && p.Observed.GetVersion() >= *p.deadVersion) {
		p.deadVersion, closes = nil, true
	}
	return closes, p.on(p.condition(), l.now(), time.Time{})
}

// condition returns the event that describes what is known of both sides.
func (p *Product) condition() productEvent {
	isIgnored := p.hasDifferences && len(p.open) > 0 &&
		!slices.ContainsFunc(p.Decisions, func(d catalog.Decision) bool { return !p.isIgnored(d.Field) })
	onlyStripe := p.Desired == nil && p.Observed.GetProduct() != nil
	switch {
	case p.deadVersion != nil, p.deadUnversioned && !p.Differs:
		// A product that differs and is dead without a version stays repairable: it may drift, and a repair may close
		// the letter.
		return productDead
	case p.Hold() != nil && p.hasDifferences && !isIgnored:
		return productHeld
	case onlyStripe && isIgnored:
		return productExtraIgnored
	case onlyStripe && p.hasDifferences:
		return productExtraDiffers
	case onlyStripe:
		return productExtraAgrees
	case !p.hasDifferences, isIgnored:
		return productAgrees
	default:
		return productDiffers
	}
}

// hasUntrackedDifference reports whether something differs that is not open drift.
func (p *Product) hasUntrackedDifference() bool {
	return slices.ContainsFunc(p.Decisions, func(x catalog.Decision) bool {
		return !slices.ContainsFunc(p.open, func(d *Drift) bool { return d.Field == x.Field })
	})
}

// isApplied reports whether push has applied the version that the ledger knows, and has not claimed the product.
func (p *Product) isApplied() bool {
	return p.Observed.GetVersion() == p.desiredVersion && p.Observed.GetClaim() == nil
}

// isIgnored reports whether an operator has dismissed the difference of a field.
func (p *Product) isIgnored(field string) bool {
	return slices.ContainsFunc(p.open, func(d *Drift) bool { return d.Field == field && d.State == Ignored })
}
