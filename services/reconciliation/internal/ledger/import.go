package ledger

import (
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// extraPrices returns the prices that were created in Stripe since their product was imported, with the action for
// each. The setting to archive extras covers products only: it leaves prices of others alone.
func (l *Ledger) extraPrices(p *Product) (out []catalog.Decision) {
	action, ok := extraActions[l.extras]
	if !ok || action == catalog.Repair {
		return nil
	}
	for _, d := range catalog.ExtraPrices(p.Desired, p.Observed) {
		out = append(out, catalog.Decision{Difference: d, Action: action})
	}
	return out
}

// isExtraPrice reports whether a difference is one that extraPrices finds, as opposed to a second price of the
// catalog's.
func isExtraPrice(p *Product, d catalog.Difference) bool {
	if d.Kind != catalog.Extra || d.Field == "" {
		return false
	}
	extra := catalog.ExtraPrices(p.Desired, p.Observed)
	return slices.ContainsFunc(extra, func(x catalog.Difference) bool { return cleanKey(x.Field) == d.Field })
}

// becameWhole reports whether a product has just been read together with its prices, which an import waits for.
func becameWhole(before, now *catalogv1.Observed) bool { return now.GetWhole() && !before.GetWhole() }

// hasPendingImport reports whether a part of the product waits to be imported.
func (p *Product) hasPendingImport() bool {
	return slices.ContainsFunc(p.open, func(d *Drift) bool {
		return d.Kind == catalog.Extra && d.isActive() && d.takesStripe()
	})
}
