package reconciliation

import (
	"context"
	"fmt"
	"slices"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// maxImportReads is how often a product whose default price is not among its prices is read again. After that an
// operator has to decide.
const maxImportReads = 6

// inGrace reports whether the grace period of a product is not over, and postpones its import until then. In that time
// the author of the product adds its prices and its default price.
func (r *reconciler) inGrace(p *ledger.Product) bool {
	p.Postpone = max(r.GracePeriod-r.Now().Sub(p.DriftedAt), 0)
	return p.Postpone > 0
}

// prepareImport has a product read together with its prices before anything of it is imported, because events report
// them one by one and in any order. It reports whether the import must wait, and why it is impossible.
func (r *reconciler) prepareImport(ctx context.Context, p *ledger.Product,
	id string,
) (wait bool, cannot string, err error) {
	switch why := catalog.ImportBlocker(p.Observed); {
	case why == "":
		return false, "", nil
	case p.Repairs >= maxImportReads:
		return true, fmt.Sprintf("product %s cannot be imported: %s", p.ID, why), nil
	default:
		return true, "", r.commandRead(ctx, p, id)
	}
}

// pricesToImport returns those of the fields to be written back that are prices as a whole. They were created in Stripe
// after their product was imported.
func pricesToImport(p *ledger.Product, fields []string) (prices []string) {
	for _, x := range catalog.ExtraPrices(p.Desired, p.Observed) {
		if slices.Contains(fields, x.Field) {
			prices = append(prices, x.Field)
		}
	}
	return prices
}

// withoutUnread removes prices that have yet to be read from the fields to be written back, and has them read.
func (r *reconciler) withoutUnread(
	ctx context.Context, p *ledger.Product, fields []string, id string,
) (rest []string, cannot string, err error) {
	prices := pricesToImport(p, fields)
	if len(prices) == 0 {
		return fields, "", nil
	}
	wait, cannot, err := r.prepareImport(ctx, p, id)
	if !wait || err != nil {
		return fields, "", err
	}
	rest = slices.DeleteFunc(slices.Clone(fields), func(f string) bool { return slices.Contains(prices, f) })
	if len(rest) > 0 {
		// The other fields do not wait for the prices.
		cannot = ""
	}
	return rest, cannot, nil
}
