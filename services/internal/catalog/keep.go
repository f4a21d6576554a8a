package catalog

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Bounds on what is kept of prices that need not be known, in bytes. What is known of a product must fit one NATS
// message, 1 MiB by default, together with the prices that the catalog sells at.
const (
	keptArchived = 256 << 10
	keptOthers   = 256 << 10
)

// ownPrefix is how the keys of metadata begin that are Driftless's own.
const ownPrefix = "driftless_"

// keep drops, in place, the prices that no later desired state, policy or import can ask for. A shop that makes a price
// for each sale, or changes an amount each day, would otherwise fill the message that holds the product.
//
// Kept are all active prices with Driftless's mark, the default price, of the archived ones with the mark the latest of
// each structure, and the active ones of others. Diff of what is kept equals Diff of everything, up to the two bounds.
// Beyond them the oldest go: an archived price that is wanted again is made anew instead of taken up.
func keep(o *catalogv1.Observed) {
	if len(o.GetPrices()) == 0 {
		return
	}
	byDefault := o.GetProduct().GetDefaultPrice()
	var archived, others []*catalogv1.ObservedPrice
	drop := map[*catalogv1.ObservedPrice]bool{}
	for _, p := range o.GetPrices() {
		switch active, marked := p.GetPrice().GetActive(), Owned(p); {
		case p.GetStripeId() == byDefault, active && marked:
		case marked:
			archived = append(archived, p)
		case !active, p.GetUnlisted() > 0:
			drop[p] = true
		default:
			others = append(others, p)
		}
	}
	dropTwins(archived, drop)
	dropBeyond(archived, keptArchived, drop)
	if dropBeyond(others, keptOthers, drop) {
		o.Whole = false
	}
	if len(drop) > 0 {
		o.Prices = slices.DeleteFunc(o.Prices, func(p *catalogv1.ObservedPrice) bool { return drop[p] })
	}
}

// Owned reports whether a price carries Driftless's mark, or has carried it, or is about to.
func Owned(p *catalogv1.ObservedPrice) bool {
	return p.GetPrice().GetId() != "" || p.GetAdoptedAs() != "" || len(p.GetManagedMetadata()) > 0
}

// needless reports whether a price that is not known yet need not become so: keep would drop it at once.
func needless(o *catalogv1.Observed, p *catalogv1.ObservedPrice) bool {
	return !p.GetPrice().GetActive() && !Owned(p) && p.GetStripeId() != o.GetProduct().GetDefaultPrice()
}

// latestFirst is the order in which Diff prefers archived prices, and in which they are kept.
func latestFirst(a, b *catalogv1.ObservedPrice) int {
	return cmp.Or(cmp.Compare(b.GetCreated(), a.GetCreated()), strings.Compare(a.GetStripeId(), b.GetStripeId()))
}

// dropTwins drops, of archived prices of one id that Diff could put to the same use, all but the one that it would
// choose.
func dropTwins(archived []*catalogv1.ObservedPrice, drop map[*catalogv1.ObservedPrice]bool) {
	slices.SortFunc(archived, latestFirst)
	kept := map[string]bool{}
	for _, p := range archived {
		use := usableAs(p)
		if kept[use] {
			drop[p] = true
		}
		kept[use] = true
	}
}

// usableAs is the same for two archived prices exactly if any price of the catalog's that could take up one could take
// up the other.
func usableAs(p *catalogv1.ObservedPrice) string {
	price := canonicalPrice(p.GetPrice())
	parts := []string{cmp.Or(price.GetId(), p.GetStripeId()), price.GetTaxBehavior()}
	for _, f := range priceIdentity {
		parts = append(parts, f.name)
		for _, s := range f.write(price) {
			parts = append(parts, strings.Join(s.names(), ".")+"="+s.value)
		}
	}
	for _, s := range currencyOptions(price.GetCurrencyOptions()) {
		parts = append(parts, strings.Join(s.names(), ".")+"="+s.value)
	}
	// Any other mark of Driftless's is about this very price.
	for key := range price.GetMetadata() {
		if strings.HasPrefix(key, ownPrefix) && key != PriceMarker {
			parts = append(parts, p.GetStripeId())
		}
	}
	return strings.Join(parts, "\x00")
}

// dropBeyond drops the oldest of the prices once the later ones fill a number of bytes. It reports whether any was
// dropped. What is kept of what was kept before and of later prices is what would be kept of them all.
func dropBeyond(prices []*catalogv1.ObservedPrice, most int, drop map[*catalogv1.ObservedPrice]bool) (dropped bool) {
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
