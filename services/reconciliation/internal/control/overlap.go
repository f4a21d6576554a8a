package control

import (
	"context"
	"slices"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// maxOverlaps is how many replaced prices one answer lists.
const maxOverlaps = 1000

// overlaps returns the replaced prices that stay active for a while, of the named products or of all.
func (c control) overlaps(ctx context.Context, ids []string) (out []*controlv1.Overlap, err error) {
	err = c.Ledger.Overlaps(ctx, ids, maxOverlaps, func(p *ledger.Product) {
		for _, kept := range p.Kept() {
			out = append(out, &controlv1.Overlap{
				ProductId:     p.ID,
				PriceId:       kept.GetPrice().GetId(),
				StripePriceId: kept.GetStripeId(),
				Amount:        catalog.FormatPrice(kept.GetPrice()),
				Until:         kept.GetKeepUntil(),
			})
		}
	})
	slices.SortStableFunc(out, func(a, b *controlv1.Overlap) int {
		return a.GetUntil().AsTime().Compare(b.GetUntil().AsTime())
	})
	return out[:min(len(out), maxOverlaps)], err
}
