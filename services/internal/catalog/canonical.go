package catalog

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Canonical returns a copy of a product in the form that Stripe would return: defaults written out, equal values spelt
// equally, prices in the order of their ids.
func Canonical(p *catalogv1.Product) *catalogv1.Product {
	return proto.CloneOf(canonicalProduct(p))
}

// CanonicalPrice returns a copy of a price in the form that Stripe would return.
func CanonicalPrice(p *catalogv1.Price) *catalogv1.Price {
	return proto.CloneOf(canonicalPrice(p))
}

// canonicalProduct shares with the product everything that is already canonical. Diff only reads, so it need not copy
// everything.
func canonicalProduct(p *catalogv1.Product) *catalogv1.Product {
	if p == nil {
		return nil
	}
	c := &catalogv1.Product{}
	for _, f := range productTable {
		copyField(c, p, f.Name)
	}
	c.Active = defaultTrue(p.Active)
	c.StatementDescriptor = canonicalDescriptor(p.GetStatementDescriptor())
	if d := p.GetPackageDimensions(); d != nil {
		c.PackageDimensions = &catalogv1.PackageDimensions{
			Height: canonicalDecimal(d.GetHeight()), Length: canonicalDecimal(d.GetLength()),
			Weight: canonicalDecimal(d.GetWeight()), Width: canonicalDecimal(d.GetWidth()),
		}
	}
	if len(p.GetPrices()) > 0 {
		c.Prices = make([]*catalogv1.Price, len(p.GetPrices()))
	}
	for i, price := range p.GetPrices() {
		c.Prices[i] = canonicalPrice(price)
	}
	slices.SortFunc(c.GetPrices(), func(a, b *catalogv1.Price) int { return strings.Compare(a.GetId(), b.GetId()) })
	return c
}

// canonicalPrice shares with the price everything that is already canonical.
func canonicalPrice(p *catalogv1.Price) *catalogv1.Price {
	if p == nil {
		return nil
	}
	c := &catalogv1.Price{}
	for _, f := range priceTable {
		copyField(c, p, f.Name)
	}
	c.Active = defaultTrue(p.Active)
	c.Currency = strings.ToLower(p.GetCurrency())
	c.Tiers, c.CustomUnitAmount = canonicalTiers(p.GetTiers()), canonicalCustom(p.GetCustomUnitAmount())
	c.TaxBehavior = canonicalTaxBehavior(p.GetTaxBehavior())
	c.UnitAmount, c.UnitAmountDecimal = canonicalAmount(p.GetUnitAmount(), p.GetUnitAmountDecimal())
	if c.GetBillingScheme() == "" {
		c.BillingScheme = "per_unit"
		if len(p.GetTiers()) > 0 {
			c.BillingScheme = "tiered"
		}
	}
	c.Recurring = canonicalRecurring(p.GetRecurring())
	c.CurrencyOptions = nil
	if len(p.GetCurrencyOptions()) > 0 {
		c.CurrencyOptions = make(map[string]*catalogv1.CurrencyOption, len(p.GetCurrencyOptions()))
	}
	for code, o := range p.GetCurrencyOptions() {
		option := &catalogv1.CurrencyOption{
			TaxBehavior: canonicalTaxBehavior(o.GetTaxBehavior()), Tiers: canonicalTiers(o.GetTiers()),
			CustomUnitAmount: canonicalCustom(o.GetCustomUnitAmount()),
		}
		option.UnitAmount, option.UnitAmountDecimal = canonicalAmount(o.GetUnitAmount(), o.GetUnitAmountDecimal())
		c.CurrencyOptions[code] = option
	}
	return c
}

// canonicalRecurring writes out Stripe's defaults, except for lenient parts: an absent lenient part is no value, and
// neither is an empty aggregate_usage.
func canonicalRecurring(r *catalogv1.Recurring) *catalogv1.Recurring {
	if r == nil {
		return nil
	}
	c := &catalogv1.Recurring{
		Interval:        r.GetInterval(),
		IntervalCount:   max(r.GetIntervalCount(), 1),
		UsageType:       cmp.Or(r.GetUsageType(), "licensed"),
		Meter:           r.GetMeter(),
		TrialPeriodDays: r.TrialPeriodDays,
	}
	if r.GetAggregateUsage() != "" {
		c.AggregateUsage = r.AggregateUsage
	}
	return c
}

func defaultTrue(b *bool) *bool {
	if b == nil {
		return new(true)
	}
	return b
}

func canonicalTaxBehavior(s string) string { return cmp.Or(s, "unspecified") }

func canonicalTiers(tiers []*catalogv1.PriceTier) []*catalogv1.PriceTier {
	if len(tiers) == 0 {
		return nil
	}
	out := make([]*catalogv1.PriceTier, len(tiers))
	for i, t := range tiers {
		c := &catalogv1.PriceTier{UpTo: canonicalDecimal(t.GetUpTo())}
		c.UnitAmount, c.UnitAmountDecimal = canonicalAmount(t.GetUnitAmount(), t.GetUnitAmountDecimal())
		c.FlatAmount, c.FlatAmountDecimal = canonicalAmount(t.GetFlatAmount(), t.GetFlatAmountDecimal())
		// In a tier, another amount of zero equals an absent one.
		switch unit := c.GetUnitAmount() + c.GetUnitAmountDecimal(); {
		case c.GetFlatAmount() == "0" && unit == "":
			c.UnitAmount, c.FlatAmount = "0", ""
		case c.GetFlatAmount() == "0":
			c.FlatAmount = ""
		case unit == "0" && c.GetFlatAmount()+c.GetFlatAmountDecimal() != "":
			c.UnitAmount = ""
		}
		out[i] = c
	}
	return out
}

func canonicalCustom(c *catalogv1.CustomUnitAmount) *catalogv1.CustomUnitAmount {
	if c == nil {
		return nil
	}
	return &catalogv1.CustomUnitAmount{
		Minimum: canonicalDecimal(c.GetMinimum()), Maximum: canonicalDecimal(c.GetMaximum()),
		Preset: canonicalDecimal(c.GetPreset()),
	}
}

// canonicalDescriptor returns a statement descriptor as Stripe stores it: upper case, ASCII only.
func canonicalDescriptor(s string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if r > 0x7f {
			return -1
		}
		return r
	}, s))
}
