package explain

import (
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

const (
	// maxFields is how many fields an answer has, and maxPrices how many prices are shown of a product that is equal.
	maxFields = 100
	maxPrices = 5
)

// Places are the states of a product in the three places. A nil state means that the place does not have the product.
type Places struct {
	// RowRead reports whether the row was looked at.
	RowRead       bool
	Row, Captured *catalogv1.Product
	Observed      *catalogv1.Observed
	// Differences are between the captured state and Stripe, with amounts in words.
	Differences []*meshv1.Difference
	// PriceID is the price to show. Empty shows the first prices.
	PriceID string
}

// Fields returns the values of the fields that are not the same everywhere, behind those of the prices that are to be
// shown.
func Fields(p Places) []*controlv1.FieldValues {
	v := &values{Places: p}
	for _, id := range v.shownPrices() {
		v.addPrice(id)
	}
	if p.RowRead && p.Row != nil && p.Captured != nil {
		for _, c := range catalog.Changes(p.Captured, p.Row) {
			v.merge(&controlv1.FieldValues{Field: c.Field, Row: c.New, Captured: c.Old, Stripe: c.Old, Differs: true})
		}
	}
	for _, d := range p.Differences {
		v.addDifference(d)
	}
	return v.out[:min(len(v.out), maxFields)]
}

type values struct {
	Places

	out []*controlv1.FieldValues
	// covered are the prices whose amounts are shown already.
	covered []string
}

// shownPrices returns the ids of the catalog's prices to show.
func (v *values) shownPrices() (ids []string) {
	if v.PriceID != "" {
		return []string{v.PriceID}
	}
	for _, p := range [][]*catalogv1.Price{v.Row.GetPrices(), v.Captured.GetPrices()} {
		for _, price := range p {
			if !slices.Contains(ids, price.GetId()) {
				ids = append(ids, price.GetId())
			}
		}
	}
	// The first prices are shown for orientation. Every price that differs follows anyway.
	return ids[:min(len(ids), maxPrices)]
}

func (v *values) addPrice(id string) {
	entry := &controlv1.FieldValues{
		Field:    "prices." + id,
		Row:      priceText(priceOf(v.Row, id)),
		Captured: priceText(priceOf(v.Captured, id)),
		Stripe:   priceText(v.stripePrice(id)),
	}
	entry.Differs = v.RowRead && entry.GetRow() != entry.GetCaptured() || entry.GetCaptured() != entry.GetStripe()
	v.out, v.covered = append(v.out, entry), append(v.covered, entry.GetField())
}

// addDifference adds a difference between the captured state and Stripe.
func (v *values) addDifference(d *meshv1.Difference) {
	entry := &controlv1.FieldValues{
		Field:    d.GetField(),
		Captured: orWords(d.GetCatalog(), d.GetCatalogWords()),
		Stripe:   orWords(d.GetStripe(), d.GetStripeWords()),
		Differs:  true,
	}
	if entry.GetField() == "" {
		entry.Field = "product"
	}
	if v.RowRead {
		entry.Row = entry.GetCaptured()
	}
	v.merge(entry)
}

func orWords(text, words string) string {
	if words != "" {
		return words
	}
	return text
}

// merge adds a field. One that is there already gets Stripe's value: the row's change came first. A field that the
// amount of a shown price covers is left out.
func (v *values) merge(entry *controlv1.FieldValues) {
	for _, price := range v.covered {
		rest, ofPrice := strings.CutPrefix(entry.GetField(), price)
		if ofPrice && slices.Contains([]string{"", ".unit_amount", ".unit_amount_decimal", ".currency"}, rest) {
			return
		}
	}
	if i := slices.IndexFunc(v.out, func(have *controlv1.FieldValues) bool {
		return have.GetField() == entry.GetField()
	}); i >= 0 {
		v.out[i].Stripe = entry.GetStripe()
		return
	}
	v.out = append(v.out, entry)
}

func priceOf(p *catalogv1.Product, id string) *catalogv1.Price {
	i := slices.IndexFunc(p.GetPrices(), func(x *catalogv1.Price) bool { return x.GetId() == id })
	if i < 0 {
		return nil
	}
	return p.GetPrices()[i]
}

// stripePrice returns Stripe's price that stands for one of the catalog's, an active one if there is one. A price that
// is only kept for a while is not it.
func (v *values) stripePrice(id string) (found *catalogv1.Price) {
	if p := StripePrice(v.Observed, id); p != nil {
		return p.GetPrice()
	}
	return nil
}

// StripePrice returns Stripe's price that stands for a price of the catalog, an active one if there is one. A replaced
// price that stays active for a while does not.
func StripePrice(o *catalogv1.Observed, id string) (found *catalogv1.ObservedPrice) {
	for _, held := range o.GetPrices() {
		if held.GetPrice().GetId() != id || catalog.IsKept(held) {
			continue
		}
		if found == nil || held.GetPrice().GetActive() && (!found.GetPrice().GetActive() ||
			held.GetCreated() > found.GetCreated()) {
			found = held
		}
	}
	return found
}

// priceText formats a price, "" for none.
func priceText(p *catalogv1.Price) string {
	switch {
	case p == nil:
		return ""
	case p.Active != nil && !p.GetActive():
		return catalog.FormatPrice(p) + ", archived"
	default:
		return catalog.FormatPrice(p)
	}
}
