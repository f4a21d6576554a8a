package catalog

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// PriceMarker is the metadata key under which a Stripe price carries its catalog id: Stripe does not let a price's
// id be chosen.
const PriceMarker = "driftless_price"

// Canonical returns a copy of a product in the form in which Stripe would read it back: defaults written out,
// equal values spelt equally, prices in the order of their ids.
func Canonical(p *catalogv1.Product) *catalogv1.Product {
	if p == nil {
		return nil
	}
	c := proto.CloneOf(p)
	c.Active = proto.Bool(p.Active == nil || p.GetActive())
	c.StatementDescriptor = canonicalDescriptor(p.GetStatementDescriptor())
	if d := c.GetPackageDimensions(); d != nil {
		d.Height, d.Length = canonicalDecimal(d.GetHeight()), canonicalDecimal(d.GetLength())
		d.Weight, d.Width = canonicalDecimal(d.GetWeight()), canonicalDecimal(d.GetWidth())
	}
	for i, price := range c.GetPrices() {
		c.Prices[i] = CanonicalPrice(price)
	}
	slices.SortFunc(c.GetPrices(), func(a, b *catalogv1.Price) int { return strings.Compare(a.GetId(), b.GetId()) })
	return c
}

// CanonicalPrice does for a price what Canonical does for a product.
func CanonicalPrice(p *catalogv1.Price) *catalogv1.Price {
	if p == nil {
		return nil
	}
	c := proto.CloneOf(p)
	c.Active = proto.Bool(p.Active == nil || p.GetActive())
	c.Currency = strings.ToLower(p.GetCurrency())
	c.UnitAmount, c.UnitAmountDecimal = canonicalAmount(p.GetUnitAmount(), p.GetUnitAmountDecimal())
	if c.GetBillingScheme() == "" {
		c.BillingScheme = "per_unit"
		if len(p.GetTiers()) > 0 {
			c.BillingScheme = "tiered"
		}
	}
	if r := c.GetRecurring(); r != nil {
		r.IntervalCount = max(r.GetIntervalCount(), 1)
		if r.GetUsageType() == "" {
			r.UsageType = "licensed"
		}
	}
	c.TaxBehavior = canonicalTaxBehavior(c.GetTaxBehavior())
	canonicalTiers(c.GetTiers())
	canonicalCustom(c.GetCustomUnitAmount())
	for _, o := range c.GetCurrencyOptions() {
		o.UnitAmount, o.UnitAmountDecimal = canonicalAmount(o.GetUnitAmount(), o.GetUnitAmountDecimal())
		o.TaxBehavior = canonicalTaxBehavior(o.GetTaxBehavior())
		canonicalTiers(o.GetTiers())
		canonicalCustom(o.GetCustomUnitAmount())
	}
	return c
}

func canonicalTaxBehavior(s string) string {
	if s == "" {
		return "unspecified"
	}
	return s
}

func canonicalTiers(tiers []*catalogv1.PriceTier) {
	for _, t := range tiers {
		t.UpTo = canonicalDecimal(t.GetUpTo())
		t.UnitAmount, t.UnitAmountDecimal = canonicalAmount(t.GetUnitAmount(), t.GetUnitAmountDecimal())
		t.FlatAmount, t.FlatAmountDecimal = canonicalAmount(t.GetFlatAmount(), t.GetFlatAmountDecimal())
		// A tier's other amount being zero and being absent are the same.
		switch unit := t.GetUnitAmount() + t.GetUnitAmountDecimal(); {
		case t.GetFlatAmount() == "0" && unit == "":
			t.UnitAmount, t.FlatAmount = "0", ""
		case t.GetFlatAmount() == "0":
			t.FlatAmount = ""
		case unit == "0" && t.GetFlatAmount()+t.GetFlatAmountDecimal() != "":
			t.UnitAmount = ""
		}
	}
}

func canonicalCustom(c *catalogv1.CustomUnitAmount) {
	if c == nil {
		return
	}
	c.Minimum, c.Maximum, c.Preset = canonicalDecimal(c.GetMinimum()), canonicalDecimal(c.GetMaximum()), canonicalDecimal(c.GetPreset())
}

// canonicalDescriptor writes a statement descriptor as Stripe stores it: upper case, nothing outside ASCII.
func canonicalDescriptor(s string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if r > 0x7f {
			return -1
		}
		return r
	}, s))
}
