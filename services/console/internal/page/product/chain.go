package product

import (
	"slices"
	"strconv"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// replaced is a price of Stripe that another one has replaced.
type replaced struct {
	// amount is its own, and next that of the price that replaced it.
	amount, next string
	stripeID     string
	active       bool
	// by is Stripe's id of the price that replaced it, and at when that was. at is zero if that is not known.
	by string
	at time.Time
	// until is when it is archived, if it stays active for a while.
	until time.Time
	// why says what made the next price. version is that of the change in the catalog, 0 if it is not known.
	why     string
	version uint64
	// request and trace are those of the call to Stripe. Empty if they are not known.
	request, trace string
}

// chainOf returns the prices of Stripe that carried a price of the catalog before the one in use, latest first.
func chainOf(f *facts, id, current string) []replaced {
	i := slices.IndexFunc(f.chains.GetChains(), func(c *controlv1.PriceChain) bool { return c.GetPriceId() == id })
	if i < 0 {
		return nil
	}
	all := f.chains.GetChains()[i].GetPrices()
	var out []replaced
	for j, p := range all {
		if p.GetStripePriceId() == current {
			continue
		}
		r := replaced{
			amount:   p.GetAmount(),
			stripeID: p.GetStripePriceId(),
			active:   p.GetActive(),
			by:       p.GetReplacedBy(),
		}
		if p.GetReplacedAt() != nil {
			r.at = p.GetReplacedAt().AsTime()
		}
		if p.GetKeepUntil() != nil {
			r.until = p.GetKeepUntil().AsTime()
		}
		if j+1 < len(all) {
			r.next = all[j+1].GetAmount()
			r.explain(all[j+1].GetOrigin(), f.history)
		}
		out = append(out, r)
	}
	slices.Reverse(out)
	return out
}

// explain says why a price was replaced, from the call that made the next one.
func (r *replaced) explain(next *controlv1.PriceOrigin, history []*controlv1.HistoryEntry) {
	if next == nil {
		r.why = "Why is not known: no call of Driftless is known that made the next price."
		return
	}
	r.version, r.request, r.trace = next.GetVersion(), next.GetStripeRequestId(), next.GetTraceId()
	r.why = "Changed in the catalog"
	for _, e := range history {
		if e.GetKind() != "catalog_change" || e.GetVersion() != r.version {
			continue
		}
		if e.GetActor() != "" {
			r.why += " by " + e.GetActor()
		}
		if e.GetReason() != "" {
			r.why += ": " + strconv.Quote(e.GetReason())
		}
		return
	}
}

// chainsSince returns from when on replaced prices are complete. It is zero if all of them are known, because all
// prices were made later.
func (f *facts) chainsSince() time.Time {
	from := f.chains.GetKnownFrom()
	// Stripe's times have whole seconds.
	first := from.AsTime().Truncate(time.Second)
	for _, c := range f.chains.GetChains() {
		for _, p := range c.GetPrices() {
			if from != nil && (p.GetCreatedAt() == nil || p.GetCreatedAt().AsTime().Before(first)) {
				return from.AsTime()
			}
		}
	}
	return time.Time{}
}
