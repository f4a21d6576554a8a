package catalog

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Kind of a difference.
type Kind string

// The kinds, with the field that a difference of the kind names:
//
//	missing              ""                   the catalog has the product, and Stripe does not
//	                     prices.ID            Stripe has no active price that carries the id
//	extra                ""                   the product is in Stripe only (found by Extra, not by Compare)
//	                     prices.ID            a second active price carries the id of one of the catalog's
//	field                any other            the values differ
//	price_structure      prices.ID.FIELD      what Stripe never changes differs: another price must take its place
//	default_price        default_price        another price is the default
//	archived_in_stripe   active               archived in Stripe, active in the catalog
//	                     prices.ID.active
//	archived_in_catalog  active               active in Stripe, archived in the catalog or gone from it
//	                     prices.ID.active
const (
	Missing           Kind = "missing"
	Extra             Kind = "extra"
	FieldDiffers      Kind = "field"
	PriceStructure    Kind = "price_structure"
	WrongDefaultPrice Kind = "default_price"
	ArchivedInStripe  Kind = "archived_in_stripe"
	ArchivedInCatalog Kind = "archived_in_catalog"
)

// Difference is one thing in which Stripe is not as the catalog wants it.
type Difference struct {
	Kind Kind
	// Field in Stripe's names: "description", "metadata.color", "prices.mug-eur.nickname",
	// "prices.mug-eur.currency_options.usd".
	Field string
	// Price is the catalog's id of the price concerned, empty for the product's own fields.
	Price string
	// Catalog and Stripe are both values as text, empty for none. Lists and hashes are written "a, b" and "x=a, y=b"; a
	// default price of nobody's mark as Stripe's id.
	Catalog, Stripe string
}

func priceField(price, name string) string { return "prices." + price + "." + name }

// Compare says field by field what Diff would change: it returns none exactly when Diff returns no steps. It leaves
// alone what Diff leaves alone. The order is that of Diff's steps.
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
			c.product(s)
		case CreatePrice:
			c.createdPrice(s.PriceID)
		case UpdatePrice:
			c.updatedPrice(s)
		}
	}
	if len(c.found) == 0 {
		c.found = c.marks
	}
	return c.found
}

// comparer turns the steps of one product into differences.
type comparer struct {
	*differ
	// created are the catalog's ids of prices for which there is a step that makes them.
	created map[string]bool
	found   []Difference
	// marks are differences in what Driftless writes for itself: they are told only if there is nothing else.
	marks []Difference
}

func (c *comparer) add(d Difference) {
	if d.FieldOf() == "metadata."+AbsenceMarker {
		c.marks = append(c.marks, d)
		return
	}
	for i, f := range c.found {
		if f.Kind == d.Kind && f.Field == d.Field {
			// Twins of one price.
			if f.Stripe != d.Stripe {
				c.found[i].Stripe += ", " + d.Stripe
			}
			return
		}
	}
	c.found = append(c.found, d)
}

func (c *comparer) product(s draft) {
	for _, group := range grouped(s.settings) {
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
				// It only follows a price that another takes the place of.
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

// archivedWhere is the kind of a difference in active, by what the catalog wants.
func archivedWhere(wanted string) Kind {
	if wanted == "true" {
		return ArchivedInStripe
	}
	return ArchivedInCatalog
}

// priceName is the catalog's id of one of the product's Stripe prices, or else Stripe's.
func (d *differ) priceName(stripeID string) string {
	for _, h := range d.held {
		if h.GetStripeId() == stripeID && h.GetPrice().GetId() != "" {
			return h.GetPrice().GetId()
		}
	}
	return stripeID
}

// predecessor is the Stripe price that stands for a catalog's price, whether or not it fits; nil if there is none.
func (d *differ) predecessor(id string) *catalogv1.ObservedPrice {
	for _, h := range d.held {
		if h.GetPrice().GetId() == id {
			return h
		}
	}
	return nil
}

func (d *differ) wanted(id string) *catalogv1.Price {
	for _, p := range d.want.GetPrices() {
		if p.GetId() == id {
			return p
		}
	}
	return nil
}

func (c *comparer) createdPrice(id string) {
	want, held := c.leaveUnmanaged(c.wanted(id)), c.predecessor(id)
	if held == nil || !held.GetPrice().GetActive() {
		c.add(Difference{Kind: Missing, Field: "prices." + id, Price: id, Catalog: describePrice(want)})
		return
	}
	have := held.GetPrice()
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

func (c *comparer) updatedPrice(s draft) {
	id := s.PriceID
	var have *catalogv1.Price
	for _, h := range c.held {
		if h.GetStripeId() == s.StripePriceID {
			have = h.GetPrice()
		}
	}
	if active, ok := s.gives("active"); ok && active == "false" {
		switch want := c.wanted(id); {
		case c.created[id]:
			// It gives way to the price that takes its place.
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
	for _, group := range grouped(s.settings) {
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
			d.Catalog = optionText(currency, c.leaveUnmanaged(c.wanted(id)).GetCurrencyOptions()[currency])
			d.Stripe = optionText(currency, have.GetCurrencyOptions()[currency])
		default:
			d.Stripe = priceText(group.name, have)
		}
		c.add(d)
	}
}

// productText writes one of the product's fields, other than metadata and default_price.
func productText(name string, p *catalogv1.Product) string {
	for _, f := range productFields {
		if f.name == name {
			return valueText(f.write(p), 1)
		}
	}
	return ""
}

// priceText writes one of a price's fields, other than metadata.
func priceText(name string, p *catalogv1.Price) string {
	switch name {
	case "active":
		return strconv.FormatBool(p.GetActive())
	case "lookup_key":
		return p.GetLookupKey()
	case "nickname":
		return p.GetNickname()
	case "tax_behavior":
		return p.GetTaxBehavior()
	case "currency_options":
		return valueText(currencyOptions(p.GetCurrencyOptions()), 1)
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
	return valueText(currencyOption(currency, o), 2)
}

// describePrice says in a few words what a price costs.
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
