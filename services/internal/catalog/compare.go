package catalog

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Difference is one difference between a product in Stripe and in the catalog.
type Difference struct {
	Kind Kind
	// Field is a path in Stripe's names: "description", "metadata.color", "prices.mug-eur.nickname",
	// "prices.mug-eur.currency_options.usd".
	Field string
	// Price is the catalog's id of the price concerned. It is empty for the product's own fields.
	Price string
	// Catalog and Stripe are both values as text, empty for none. Lists and hashes are written "a, b" and "x=a, y=b". A
	// default price without Driftless's mark is written as Stripe's id.
	Catalog, Stripe string
}

func priceField(price, name string) string { return "prices." + price + "." + name }

// Compare lists the fields that Diff would change, in the order of Diff's steps. It returns none exactly when Diff
// returns no steps, and leaves alone what Diff leaves alone.
func Compare(desired *catalogv1.ProductChange, observed *catalogv1.Observed) []Difference {
	steps, d := diff(desired, observed)
	return compare(steps, d, desired)
}

// compare renders the drafts of a product as differences.
func compare(steps []draft, d *differ, desired *catalogv1.ProductChange) []Difference {
	if len(steps) == 0 {
		return nil
	}
	if steps[0].Kind == CreateProduct {
		return []Difference{{Kind: Missing, Catalog: desired.GetProduct().GetName()}}
	}
	c := &comparer{differ: d, created: map[string]bool{}}
	for _, s := range steps {
		if s.Kind == CreatePrice {
			c.created[s.PriceID] = true
		}
	}
	for _, s := range steps {
		switch s.Kind {
		case CreateProduct:
		case UpdateProduct:
			c.addProduct(s)
		case CreatePrice:
			c.addCreatedPrice(s.PriceID)
		case UpdatePrice:
			c.addUpdatedPrice(s)
		}
	}
	if len(c.differences) == 0 {
		c.differences = c.markDifferences
	}
	return c.differences
}

// comparer converts the steps of one product to differences.
type comparer struct {
	*differ
	// created are the catalog's ids of the prices that a step creates.
	created     map[string]bool
	differences []Difference
	// markDifferences are differences in Driftless's own marks. Compare returns them only if there is nothing else.
	markDifferences []Difference
}

func (c *comparer) add(d Difference) {
	into := &c.differences
	if d.FieldOf() == "metadata."+AbsenceMarker {
		into = &c.markDifferences
	}
	for i, f := range *into {
		if f.Kind == d.Kind && f.Field == d.Field {
			// Several Stripe prices carry the id of one catalog price.
			if f.Stripe != d.Stripe {
				(*into)[i].Stripe += ", " + d.Stripe
			}
			return
		}
	}
	*into = append(*into, d)
}

func (c *comparer) addProduct(s draft) {
	for _, group := range groupByField(s.settings) {
		name, field := group.name, group.field
		d := Difference{Kind: FieldDiffers, Field: field, Catalog: group.text()}
		switch name {
		case "active":
			d.Stripe = strconv.FormatBool(c.have.GetActive())
			d.Kind = archivedWhere(d.Catalog)
		case "default_price":
			d.Kind, d.Stripe = WrongDefaultPrice, c.priceName(c.have.GetDefaultPrice())
			if s := group.settings[0]; s.priceRef != "" {
				d.Catalog = s.priceRef
			} else {
				d.Catalog = c.priceName(s.value)
			}
			if d.Catalog == d.Stripe {
				// The default only follows a price that another one replaces, which reports the difference. If the
				// price was kept, there may be no other difference.
				d.Stripe = c.have.GetDefaultPrice()
				c.markDifferences = append(c.markDifferences, d)
				continue
			}
		case "metadata":
			d.Stripe = c.have.GetMetadata()[strings.TrimPrefix(field, "metadata.")]
		default:
			d.Stripe = productText(name, c.have)
		}
		c.add(d)
	}
}

// archivedWhere returns the kind of a difference in active for the value that the catalog wants.
func archivedWhere(wanted string) Kind {
	if wanted == "true" {
		return ArchivedInStripe
	}
	return ArchivedInCatalog
}

// priceName returns the catalog's id of one of the product's Stripe prices, or Stripe's id if it has none.
func (d *differ) priceName(stripeID string) string {
	for _, h := range d.observedPrices {
		if h.GetStripeId() == stripeID && h.GetPrice().GetId() != "" {
			return h.GetPrice().GetId()
		}
	}
	return stripeID
}

// predecessor returns the Stripe price that represents a catalog price, whether or not it fits. It returns nil if there
// is none.
func (d *differ) predecessor(id string) *catalogv1.ObservedPrice {
	for _, h := range d.observedPrices {
		if h.GetPrice().GetId() == id {
			return h
		}
	}
	return nil
}

func (d *differ) wantedPrice(id string) *catalogv1.Price {
	for _, p := range d.want.GetPrices() {
		if p.GetId() == id {
			return p
		}
	}
	return nil
}

func (c *comparer) addCreatedPrice(id string) {
	want, inStripe := c.leaveUnmanaged(c.wantedPrice(id)), c.predecessor(id)
	if inStripe == nil || !inStripe.GetPrice().GetActive() {
		c.add(Difference{Kind: Missing, Field: "prices." + id, Price: id, Catalog: describePrice(want)})
		return
	}
	have := inStripe.GetPrice()
	structure := func(name, catalog, stripe string) {
		c.add(Difference{
			Kind:    PriceStructure,
			Field:   priceField(id, name),
			Price:   id,
			Catalog: catalog,
			Stripe:  stripe,
		})
	}
	for _, f := range priceIdentity {
		if w, h := f.write(want), f.write(have); !slices.Equal(w, h) {
			structure(f.name, valueText(w, 1), valueText(h, 1))
		}
	}
	if have.GetTaxBehavior() != "unspecified" && have.GetTaxBehavior() != want.GetTaxBehavior() {
		structure("tax_behavior", want.GetTaxBehavior(), have.GetTaxBehavior())
	}
	for _, currency := range slices.Sorted(maps.Keys(have.GetCurrencyOptions())) {
		h, w := have.GetCurrencyOptions()[currency], want.GetCurrencyOptions()[currency]
		if w == nil {
			structure("currency_options."+currency, "", optionText(currency, h))
		} else if h.GetTaxBehavior() != "unspecified" && h.GetTaxBehavior() != w.GetTaxBehavior() {
			structure("currency_options."+currency, w.GetTaxBehavior(), h.GetTaxBehavior())
		}
	}
}

func (c *comparer) addUpdatedPrice(s draft) {
	id := s.PriceID
	var have *catalogv1.Price
	for _, h := range c.observedPrices {
		if h.GetStripeId() == s.StripePriceID {
			have = h.GetPrice()
		}
	}
	if active, ok := s.value("active"); ok && active == "false" {
		switch want := c.wantedPrice(id); {
		case c.created[id]:
			// The price that replaces it reports the difference.
		case want != nil && c.leaveUnmanaged(want).GetActive():
			c.add(Difference{Kind: Extra, Field: "prices." + id, Price: id, Stripe: s.StripePriceID})
		default:
			c.add(Difference{
				Kind:    ArchivedInCatalog,
				Field:   priceField(id, "active"),
				Price:   id,
				Catalog: "false",
				Stripe:  "true",
			})
		}
		return
	}
	for _, group := range groupByField(s.settings) {
		d := Difference{Kind: FieldDiffers, Field: priceField(id, group.field), Price: id, Catalog: group.text()}
		switch group.name {
		case "transfer_lookup_key":
			continue
		case "active":
			d.Kind, d.Stripe = ArchivedInStripe, "false"
		case "metadata":
			d.Stripe = have.GetMetadata()[strings.TrimPrefix(group.field, "metadata.")]
		case "currency_options":
			currency := strings.TrimPrefix(group.field, "currency_options.")
			d.Catalog = optionText(currency, c.leaveUnmanaged(c.wantedPrice(id)).GetCurrencyOptions()[currency])
			d.Stripe = optionText(currency, have.GetCurrencyOptions()[currency])
		default:
			d.Stripe = priceText(group.name, have)
		}
		c.add(d)
	}
}

// productText returns one of the product's fields as text, except metadata and default_price.
func productText(name string, p *catalogv1.Product) string {
	for _, f := range productFields {
		if f.name == name {
			return valueText(f.write(p), 1)
		}
	}
	return ""
}

// priceText returns one of a price's fields as text, except metadata.
func priceText(name string, p *catalogv1.Price) string {
	switch name {
	case "active":
		return strconv.FormatBool(p.GetActive())
	case "lookup_key":
		return p.GetLookupKey()
	case "tax_behavior":
		return p.GetTaxBehavior()
	case "currency_options":
		return valueText(currencyOptionsSettings(p.GetCurrencyOptions()), 1)
	}
	for _, f := range priceTexts {
		if f.name == name {
			return f.text(p)
		}
	}
	for _, f := range priceIdentity {
		if f.name == name {
			return valueText(f.write(p), 1)
		}
	}
	return ""
}

func optionText(currency string, o *catalogv1.CurrencyOption) string {
	if o == nil {
		return ""
	}
	return valueText(currencyOptionSettings(currency, o), 2)
}

// describePrice returns a short text of what a price costs.
func describePrice(p *catalogv1.Price) string {
	var parts []string
	for _, name := range []string{"unit_amount", "custom_unit_amount", "tiers"} {
		if text := priceText(name, p); text != "" {
			parts = append(parts, text)
		}
	}
	parts = append(parts, p.GetCurrency())
	if r := p.GetRecurring(); r != nil {
		parts = append(parts, "every", strconv.FormatUint(uint64(r.GetIntervalCount()), 10), r.GetInterval())
	}
	return strings.Join(parts, " ")
}
