package catalog

import (
	"slices"
	"strings"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Verb is the operation on a product or a price as a whole.
type Verb string

// The verbs. Replaced means that another price replaces one that differs in a field that Stripe never changes.
const (
	Created    Verb = "create"
	Updated    Verb = "update"
	Archived   Verb = "archive"
	Unarchived Verb = "unarchive"
	Replaced   Verb = "replace"
)

// Planned is the effect of Diff's steps on the product, or on one of its prices, in terms for people.
type Planned struct {
	Verb Verb
	// Price is the catalog's id of the price concerned. It is empty if the entry is about the product.
	Price string
	// Before and After are what a price costs, "14.00 EUR / month", or the name of a product. They are empty where
	// there is nothing.
	Before, After string
	// KeptUntil is until when the price that is replaced stays active. It is zero if it is archived at once.
	KeptUntil time.Time
	// Retired are the prices in Stripe that nobody can buy any more afterwards: the price that is replaced or archived.
	// For a product that is archived they are its active prices without an entry of their own.
	Retired []RetiredPrice
	// Differences are the fields that change. A new product has all fields that it gets, and a new price has none.
	Differences []Difference
}

// RetiredPrice is a price in Stripe that nobody can buy any more.
type RetiredPrice struct {
	StripeID string
	// Recurring reports whether subscriptions may have the price.
	Recurring bool
}

// Outline describes what Diff would do: the product first, then its prices in the order of their differences. It is
// empty exactly when Diff is.
func Outline(desired *catalogv1.ProductChange, observed *catalogv1.Observed) []Planned {
	steps, d := diff(desired, observed)
	if len(steps) == 0 {
		return nil
	}
	if steps[0].Kind == CreateProduct {
		return d.outlineNew(steps[0])
	}
	return d.outline(compare(steps, d, desired))
}

func (d *differ) outlineNew(step draft) []Planned {
	product := Planned{Verb: Created, After: d.want.GetName()}
	for _, g := range groupByField(step.settings) {
		if g.name != "default_price_data" && g.name != "id" {
			product.Differences = append(product.Differences, Difference{
				Kind:    FieldDiffers,
				Field:   g.field,
				Catalog: g.text(),
			})
		}
	}
	if id := d.want.GetDefaultPrice(); id != "" && d.managed("default_price") {
		product.Differences = append(product.Differences, Difference{
			Kind:    WrongDefaultPrice,
			Field:   "default_price",
			Catalog: id,
		})
	}
	out := []Planned{product}
	for _, p := range d.want.GetPrices() {
		if p = d.leaveUnmanaged(p); p.GetActive() {
			out = append(out, Planned{Verb: Created, Price: p.GetId(), After: FormatPrice(p)})
		}
	}
	return out
}

func (d *differ) outline(differences []Difference) []Planned {
	product := Planned{Verb: Updated, Before: d.have.GetName(), After: d.want.GetName()}
	if d.want == nil || !d.managed("name") {
		product.After = product.Before
	}
	var prices []Planned
	for _, x := range differences {
		if x.Price == "" {
			switch x.Kind {
			case ArchivedInCatalog:
				product.Verb = Archived
			case ArchivedInStripe:
				product.Verb = Unarchived
			default:
				product.Differences = append(product.Differences, x)
			}
			continue
		}
		kind := x.Kind.info()
		i := slices.IndexFunc(prices, func(c Planned) bool { return c.Price == x.Price && c.Verb == kind.verb })
		if i < 0 {
			i = len(prices)
			prices = append(prices, d.outlinePrice(x))
		}
		if !kind.bare {
			prices[i].Differences = append(prices[i].Differences, x)
		}
	}
	if product.Verb == Updated && len(product.Differences) == 0 {
		return prices
	}
	if product.Verb == Archived {
		product.Retired = d.activePrices(prices)
	}
	return append([]Planned{product}, prices...)
}

func (d *differ) outlinePrice(x Difference) Planned {
	c := Planned{Verb: x.Kind.info().verb, Price: x.Price}
	if want := d.wantedPrice(x.Price); want != nil && c.Verb != Archived {
		c.After = FormatPrice(d.leaveUnmanaged(want))
	}
	if inStripe := d.predecessor(x.Price); inStripe != nil && c.Verb != Created {
		c.Before = FormatPrice(inStripe.GetPrice())
		if c.Verb == Replaced && d.kept[inStripe.GetStripeId()] {
			c.KeptUntil = inStripe.GetKeepUntil().AsTime()
		}
		if c.Verb == Replaced || c.Verb == Archived {
			c.Retired = []RetiredPrice{retired(inStripe)}
		}
	}
	return c
}

// activePrices returns the product's active prices in Stripe, without those that the entries retire.
func (d *differ) activePrices(entries []Planned) (out []RetiredPrice) {
	for _, p := range d.observedPrices {
		if p.GetPrice().GetActive() && !slices.ContainsFunc(entries, func(e Planned) bool {
			return slices.Contains(e.Retired, retired(p))
		}) {
			out = append(out, retired(p))
		}
	}
	return out
}

func retired(p *catalogv1.ObservedPrice) RetiredPrice {
	return RetiredPrice{StripeID: p.GetStripeId(), Recurring: p.GetPrice().GetRecurring() != nil}
}

// FieldOf returns the field of a difference without the price that it belongs to: "nickname".
func (x Difference) FieldOf() string {
	if x.Price == "" {
		return x.Field
	}
	return strings.TrimPrefix(x.Field, "prices."+x.Price+".")
}
