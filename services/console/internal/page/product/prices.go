package product

import (
	"cmp"
	"slices"
	"strings"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// price is a price of the catalog, or one that only Stripe has.
type price struct {
	// id is the catalog's. Empty for a price that is not the catalog's.
	id string
	// amount is in words, as the catalog has it, or Stripe if only Stripe has the price. held is Stripe's, if it is
	// another one.
	amount, held string
	nickname     string
	lookupKey    string
	isDefault    bool
	// state is active, archived, "not in Stripe", or "left the catalog".
	state, tone string
	stripeID    string
	differing   []field
	// earlier are the prices that this one has replaced, latest first.
	earlier []replaced
}

// replaced is a price of Stripe that another one has replaced.
type replaced struct {
	amount, stripeID string
	active           bool
	// by is Stripe's id of the price that replaced it, and at when that was made.
	by string
	at time.Time
	// until is when it is archived, if it stays active for a while.
	until time.Time
	// version is that of the change in the catalog that replaced it. 0 if the history does not have it.
	version uint64
}

// prices returns the product's prices: those of the catalog in its order, those that left it, and those of others.
func prices(f *facts, differing []field) (own, others []price) {
	wanted, observed := f.detail.GetDesired().GetProduct(), f.detail.GetObserved()
	inUse := catalog.PricesInUse(observed)
	used := map[string]bool{}
	for _, id := range priceIDs(f.detail) {
		want, held := priceOf(wanted, id), inUse[id]
		if want == nil && held == nil {
			continue
		}
		p := price{
			id:        id,
			amount:    catalog.FormatPrice(cmp.Or(want, held.GetPrice())),
			nickname:  cmp.Or(want, held.GetPrice()).GetNickname(),
			lookupKey: held.GetPrice().GetLookupKey(),
			isDefault: wanted.GetDefaultPrice() == id ||
				held != nil && held.GetStripeId() == observed.GetProduct().GetDefaultPrice(),
			stripeID: held.GetStripeId(),
		}
		if p.lookupKey == "" && want != nil {
			p.lookupKey = catalog.LookupKey(want)
		}
		if held != nil && catalog.FormatPrice(held.GetPrice()) != p.amount {
			p.held = catalog.FormatPrice(held.GetPrice())
		}
		p.state, p.tone = priceState(want, held)
		for _, d := range differing {
			if d.name == "prices."+id || strings.HasPrefix(d.name, "prices."+id+".") {
				p.differing = append(p.differing, d)
			}
		}
		p.earlier = chain(f, id, held)
		used[p.stripeID] = true
		for _, e := range p.earlier {
			used[e.stripeID] = true
		}
		own = append(own, p)
	}
	for _, held := range observed.GetPrices() {
		if used[held.GetStripeId()] || held.GetPrice().GetId() != "" {
			continue
		}
		state, tone := priceState(nil, held)
		others = append(others, price{
			amount:    catalog.FormatPrice(held.GetPrice()),
			nickname:  held.GetPrice().GetNickname(),
			lookupKey: held.GetPrice().GetLookupKey(),
			isDefault: held.GetStripeId() == observed.GetProduct().GetDefaultPrice(),
			state:     state,
			tone:      tone,
			stripeID:  held.GetStripeId(),
		})
	}
	return own, others
}

// priceState says whether a price can be bought.
func priceState(want *catalogv1.Price, held *catalogv1.ObservedPrice) (state, tone string) {
	switch {
	case held == nil:
		return "not in Stripe yet", "busy"
	case !isActive(held.GetPrice()):
		return "archived", ""
	case want != nil && !isActive(want):
		return "active in Stripe only", "bad"
	}
	return "active", "good"
}

// isActive reports whether a price is active. Absent means true.
func isActive(p *catalogv1.Price) bool { return p.Active == nil || p.GetActive() }

func priceOf(p *catalogv1.Product, id string) *catalogv1.Price {
	i := slices.IndexFunc(p.GetPrices(), func(x *catalogv1.Price) bool { return x.GetId() == id })
	if i < 0 {
		return nil
	}
	return p.GetPrices()[i]
}

// chain returns the prices of Stripe that carried a price of the catalog before the one in use, latest first.
func chain(f *facts, id string, current *catalogv1.ObservedPrice) []replaced {
	var all []*catalogv1.ObservedPrice
	for _, p := range f.detail.GetObserved().GetPrices() {
		if p.GetPrice().GetId() == id && p != current {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *catalogv1.ObservedPrice) int { return cmp.Compare(b.GetCreated(), a.GetCreated()) })
	next := current
	var out []replaced
	for _, p := range all {
		r := replaced{
			amount:   catalog.FormatPrice(p.GetPrice()),
			stripeID: p.GetStripeId(),
			active:   isActive(p.GetPrice()),
			by:       next.GetStripeId(),
		}
		if next.GetCreated() > 0 {
			r.at = time.Unix(next.GetCreated(), 0)
			r.version = replacedBy(f.history, id, next.GetStripeId())
		}
		if p.GetKeepUntil() != nil {
			r.until = p.GetKeepUntil().AsTime()
		}
		out, next = append(out, r), p
	}
	return out
}

// replacedBy returns the version of the change that made a price of Stripe, 0 if the history does not say.
func replacedBy(history []*controlv1.HistoryEntry, id, stripeID string) uint64 {
	for _, e := range history {
		for _, s := range e.GetSteps() {
			if e.GetKind() == "applied" && s.GetObjectId() == stripeID && strings.HasPrefix(s.GetStep(),
				"create price "+id) {
				return e.GetVersion()
			}
		}
	}
	return 0
}
