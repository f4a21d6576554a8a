package catalog

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Limits, in bytes, for prices that Driftless can do without. The state of a product, with the prices that the catalog
// sells at, must fit one NATS message: 1 MiB by default.
const (
	maxArchivedBytes = 256 << 10
	maxForeignBytes  = 256 << 10
)

// ownPrefix is the prefix of Driftless's own metadata keys.
const ownPrefix = "driftless_"

// prune drops, in place, the prices that no later desired state, policy or import can need. Without it a shop that
// makes a price for each sale, or changes an amount each day, would fill the message that holds the product.
//
// These are kept:
//   - all active prices with Driftless's mark, and the default price;
//   - the latest archived price of each mark and structure;
//   - the active prices of others.
//
// Diff of the kept state equals Diff of the full state, up to the two limits. Beyond them the oldest prices are
// dropped, and Driftless creates an archived price that is wanted again instead of reusing it.
func prune(o *catalogv1.Observed) {
	if len(o.GetPrices()) == 0 {
		return
	}
	byDefault := o.GetProduct().GetDefaultPrice()
	var archived, others []*catalogv1.ObservedPrice
	drop := map[*catalogv1.ObservedPrice]bool{}
	for _, p := range o.GetPrices() {
		switch active, marked := p.GetPrice().GetActive(), IsMarked(p); {
		case p.GetStripeId() == byDefault, active && marked:
		case marked:
			archived = append(archived, p)
		case !active, p.GetUnlisted() > 0:
			drop[p] = true
		default:
			others = append(others, p)
		}
	}
	dropDuplicates(archived, drop)
	dropBeyondLimit(archived, maxArchivedBytes, drop)
	if dropBeyondLimit(others, maxForeignBytes, drop) {
		o.Whole = false
	}
	if len(drop) > 0 {
		o.Prices = slices.DeleteFunc(o.Prices, func(p *catalogv1.ObservedPrice) bool { return drop[p] })
	}
}

// IsMarked reports whether a price carries Driftless's mark, has carried it, or will carry it.
func IsMarked(p *catalogv1.ObservedPrice) bool {
	return p.GetPrice().GetId() != "" || p.GetAdoptedAs() != "" || len(p.GetManagedMetadata()) > 0
}

// isDroppable reports whether an unknown price need not be recorded, because prune would drop it at once.
func isDroppable(o *catalogv1.Observed, p *catalogv1.ObservedPrice) bool {
	return !p.GetPrice().GetActive() && !IsMarked(p) && p.GetStripeId() != o.GetProduct().GetDefaultPrice()
}

// latestFirst is the order in which Diff prefers archived prices, and in which they are kept.
func latestFirst(a, b *catalogv1.ObservedPrice) int {
	return cmp.Or(cmp.Compare(b.GetCreated(), a.GetCreated()), strings.Compare(a.GetStripeId(), b.GetStripeId()))
}

// dropDuplicates drops archived prices that Diff could use in the same way, except the one that Diff
// would choose.
func dropDuplicates(archived []*catalogv1.ObservedPrice, drop map[*catalogv1.ObservedPrice]bool) {
	slices.SortFunc(archived, latestFirst)
	kept := map[string]bool{}
	for _, p := range archived {
		use := reuseKey(p)
		if kept[use] {
			drop[p] = true
		}
		kept[use] = true
	}
}

// reuseKey returns a key. It is equal for two archived prices exactly if each catalog price that could reuse one could
// also reuse the other.
func reuseKey(p *catalogv1.ObservedPrice) string {
	price := canonicalPrice(p.GetPrice())
	parts := []string{cmp.Or(price.GetId(), p.GetStripeId()), price.GetTaxBehavior()}
	for _, f := range priceIdentity {
		parts = append(parts, f.name)
		for _, s := range f.write(price) {
			parts = append(parts, strings.Join(s.names(), ".")+"="+s.value)
		}
	}
	for _, s := range currencyOptionsSettings(price.GetCurrencyOptions()) {
		parts = append(parts, strings.Join(s.names(), ".")+"="+s.value)
	}
	// Any other mark of Driftless concerns this price alone.
	for key := range price.GetMetadata() {
		if strings.HasPrefix(key, ownPrefix) && key != PriceMarker {
			parts = append(parts, p.GetStripeId())
		}
	}
	return strings.Join(parts, "\x00")
}

// dropBeyondLimit drops the oldest prices once the later ones exceed a number of bytes, and reports whether it dropped
// any. Dropping is incremental: the result equals that of one call with all prices.
func dropBeyondLimit(prices []*catalogv1.ObservedPrice, most int,
	drop map[*catalogv1.ObservedPrice]bool,
) (dropped bool) {
	slices.SortFunc(prices, latestFirst)
	size := 0
	for _, p := range prices {
		if drop[p] {
			continue
		}
		if size += proto.Size(p); size > most {
			drop[p], dropped = true, true
		}
	}
	return dropped
}
