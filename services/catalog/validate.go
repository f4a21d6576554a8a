package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/shopspring/decimal"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Violation is one way in which a product breaks Stripe's rules.
type Violation struct {
	// Field is a path in Stripe's names: prices["mug-eur"].currency.
	Field string
	// Message says what the field must be.
	Message string
}

func (v Violation) String() string { return v.Field + ": " + v.Message }

// PricePath is the path of one of a product's prices: it names the price by its id, which says more to the reader of a
// message than its position. A price without an id is named by its position.
func PricePath(p *catalogv1.Product, i int) string {
	if i < len(p.GetPrices()) && p.GetPrices()[i].GetId() != "" {
		return fmt.Sprintf("prices[%q]", p.GetPrices()[i].GetId())
	}
	return fmt.Sprintf("prices[%d]", i)
}

// Validate checks what the annotations of the contract cannot say: rules between fields, currencies, tiers. It
// assumes nothing about the annotations having been checked.
func Validate(p *catalogv1.Product) []Violation {
	v := &validator{}
	if d := p.GetStatementDescriptor(); d != "" && !strings.ContainsFunc(d, func(r rune) bool { return r <= unicode.MaxASCII && unicode.IsLetter(r) }) {
		v.add("statement_descriptor", "must hold at least one Latin letter")
	}
	ids, keys := map[string]bool{}, map[string]bool{}
	defaultOK := p.GetDefaultPrice() == ""
	for i, price := range p.GetPrices() {
		path := PricePath(p, i)
		if ids[price.GetId()] {
			v.add(path+".id", "is used by another price of the product")
		}
		ids[price.GetId()] = true
		if key := LookupKey(price); keys[key] {
			v.add(path+".lookup_key", "is used by another price of the product")
		} else {
			keys[key] = true
		}
		if price.GetId() == p.GetDefaultPrice() && (price.Active == nil || price.GetActive()) {
			defaultOK = true
		}
		v.price(path, price)
	}
	if !defaultOK {
		v.add("default_price", "must be the id of one of the product's active prices, not "+p.GetDefaultPrice())
	}
	return v.violations
}

type validator struct{ violations []Violation }

func (v *validator) add(field, message string) {
	v.violations = append(v.violations, Violation{field, message})
}

func (v *validator) price(path string, p *catalogv1.Price) {
	v.currency(path+".currency", p.GetCurrency())
	v.oneAmount(path, p)
	tiered := p.GetBillingScheme() == "tiered" || len(p.GetTiers()) > 0
	if tiered {
		if p.GetBillingScheme() == "per_unit" {
			v.add(path+".billing_scheme", "must be tiered when tiers are given")
		}
		if p.GetTiersMode() == "" {
			v.add(path+".tiers_mode", "must be graduated or volume when tiers are given")
		}
		if p.GetTransformQuantity() != nil {
			v.add(path+".transform_quantity", "cannot be combined with tiers")
		}
		if p.GetRecurring() == nil {
			v.add(path+".recurring", "must be given when tiers are: Stripe makes no one-time price with tiers")
		}
		v.tiers(path+".tiers", p.GetTiers())
	} else if p.GetTiersMode() != "" {
		v.add(path+".tiers_mode", "must be empty without tiers")
	}
	v.recurring(path, p.GetRecurring())
	if p.GetCustomUnitAmount() != nil && p.GetRecurring() != nil {
		v.add(path+".custom_unit_amount", "cannot be combined with recurring")
	}
	v.custom(path+".custom_unit_amount", p.GetCustomUnitAmount())
	for _, code := range slices.Sorted(maps.Keys(p.GetCurrencyOptions())) {
		option, path := p.GetCurrencyOptions()[code], path+".currency_options."+code
		if code == p.GetCurrency() {
			v.add(path, "must not be the price's own currency")
		}
		v.currency(path, code)
		v.oneAmount(path, option)
		if (len(option.GetTiers()) > 0) != (len(p.GetTiers()) > 0) || (option.GetCustomUnitAmount() != nil) != (p.GetCustomUnitAmount() != nil) {
			v.add(path, "must give its amount in the same way as the price: as an amount, tiers or a custom amount")
		}
		if len(option.GetTiers()) > 0 {
			v.tiers(path+".tiers", option.GetTiers())
		}
		v.custom(path+".custom_unit_amount", option.GetCustomUnitAmount())
	}
}

// currency checks the syntax only: which currencies there are is for Stripe to say. Libraries' tables of ISO 4217 lag behind
// it (XCG, SLE), and Stripe has codes that are not of ISO 4217 (usdc).
func (v *validator) currency(path, code string) {
	if len(code) < 3 || len(code) > 8 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz") != "" {
		v.add(path, fmt.Sprintf("must be a currency code of 3 to 8 letters in lower case, such as eur, not %q", code))
	}
}

// oneAmount checks a price or one of its currency options.
func (v *validator) oneAmount(path string, p interface {
	GetUnitAmount() string
	GetUnitAmountDecimal() string
	GetCustomUnitAmount() *catalogv1.CustomUnitAmount
	GetTiers() []*catalogv1.PriceTier
},
) {
	amounts := 0
	for _, given := range []bool{
		p.GetUnitAmount() != "", p.GetUnitAmountDecimal() != "", p.GetCustomUnitAmount() != nil, len(p.GetTiers()) > 0,
	} {
		if given {
			amounts++
		}
	}
	if amounts != 1 {
		v.add(path+".unit_amount", "exactly one of unit_amount, unit_amount_decimal, custom_unit_amount and tiers must be given")
	}
}

// longestRecurrence is how far apart Stripe lets two payments lie.
var longestRecurrence = map[string]uint32{"day": 1095, "week": 156, "month": 36, "year": 3}

func (v *validator) recurring(path string, r *catalogv1.Recurring) {
	if r == nil {
		return
	}
	if limit, known := longestRecurrence[r.GetInterval()]; known && r.GetIntervalCount() > limit {
		v.add(path+".recurring.interval_count", fmt.Sprintf("must be at most %d for interval %s: three years in all", limit, r.GetInterval()))
	}
	if r.GetMeter() != "" && r.GetUsageType() != "metered" {
		v.add(path+".recurring.usage_type", "must be metered when a meter is given")
	}
	switch {
	case r.GetAggregateUsage() == "":
	case r.GetUsageType() != "metered":
		v.add(path+".recurring.aggregate_usage", "must be empty unless usage_type is metered")
	case r.GetMeter() != "":
		v.add(path+".recurring.aggregate_usage", "must be empty when a meter is given: the meter says how usage is aggregated")
	}
}

func (v *validator) tiers(path string, tiers []*catalogv1.PriceTier) {
	if len(tiers) == 0 {
		v.add(path, "must not be empty when billing_scheme is tiered")
	}
	previous := decimal.Zero
	for i, t := range tiers {
		path := fmt.Sprintf("%s[%d]", path, i)
		last := i == len(tiers)-1
		switch {
		case last && t.GetUpTo() != "":
			v.add(path+".up_to", "must be empty on the last tier: it has no end")
		case !last && t.GetUpTo() == "":
			v.add(path+".up_to", "may be empty on the last tier only")
		case !last:
			upTo, err := decimal.NewFromString(t.GetUpTo())
			if err != nil || !upTo.GreaterThan(previous) {
				v.add(path+".up_to", "must be greater than the tier before")
			}
			previous = upTo
		}
		if t.GetUnitAmount() != "" && t.GetUnitAmountDecimal() != "" {
			v.add(path+".unit_amount", "only one of unit_amount and unit_amount_decimal may be given")
		}
		if t.GetFlatAmount() != "" && t.GetFlatAmountDecimal() != "" {
			v.add(path+".flat_amount", "only one of flat_amount and flat_amount_decimal may be given")
		}
		if t.GetUnitAmount()+t.GetUnitAmountDecimal()+t.GetFlatAmount()+t.GetFlatAmountDecimal() == "" {
			v.add(path+".unit_amount", "a tier needs a unit amount or a flat amount")
		}
	}
}

func (v *validator) custom(path string, c *catalogv1.CustomUnitAmount) {
	// A bound that is not given, or is no number, bounds nothing.
	above := func(a, b string) bool {
		x, err1 := decimal.NewFromString(a)
		y, err2 := decimal.NewFromString(b)
		return err1 == nil && err2 == nil && x.GreaterThan(y)
	}
	if above(c.GetMinimum(), c.GetMaximum()) {
		v.add(path+".maximum", "must not be less than the minimum")
	}
	if above(c.GetMinimum(), c.GetPreset()) || above(c.GetPreset(), c.GetMaximum()) {
		v.add(path+".preset", "must lie between the minimum and the maximum")
	}
}
