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
	// Message states what the field must be.
	Message string
}

func (v Violation) String() string { return v.Field + ": " + v.Message }

// PricePath returns the path of one of a product's prices. It names the price by its id, which helps the reader of a
// message more than its position. A price without an id is named by its position.
func PricePath(p *catalogv1.Product, i int) string {
	if i < len(p.GetPrices()) && p.GetPrices()[i].GetId() != "" {
		return fmt.Sprintf("prices[%q]", Abridged(p.GetPrices()[i].GetId()))
	}
	return fmt.Sprintf("prices[%d]", i)
}

// MaxViolations limits the violations that are collected, since nobody reads more. Collection ends with the first one
// beyond the limit.
const MaxViolations = 100

// MaxParts is the maximum number of tiers and currency options of a price together. Stripe has 135 currencies, and does
// not document how many tiers a price may have.
const MaxParts = 5000

// maxShownCharacters is the maximum number of characters of a value in a message: the maximum length of an id.
const maxShownCharacters = 255

// Abridged returns a value for a message. It cuts a value that is longer than an id may be.
func Abridged(s string) string { return AbridgedTo(s, maxShownCharacters) }

// AbridgedTo returns a text, cut after the given number of characters.
func AbridgedTo(s string, characters int) string {
	n := 0
	for i := range s {
		if n == characters {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// Oversized returns a violation for each list of a product that is too long for any other check.
func Oversized(p *catalogv1.Product) []Violation {
	v := &validator{}
	most := func(path string, n, limit int, what string) {
		if n > max(limit, 1000) {
			v.add(path, fmt.Sprintf("must have at most %d %s, not %d", limit, what, n))
		}
	}
	most("images", len(p.GetImages()), 8, "items")
	most("marketing_features", len(p.GetMarketingFeatures()), 15, "items")
	most("metadata", len(p.GetMetadata()), 50, "keys")
	for i, price := range p.GetPrices() {
		if v.isFull() {
			break
		}
		most(PricePath(p, i)+".metadata", len(price.GetMetadata()), 49, "keys")
		parts := len(price.GetTiers()) + len(price.GetCurrencyOptions())
		for _, option := range price.GetCurrencyOptions() {
			parts += len(option.GetTiers())
		}
		most(PricePath(p, i), parts, MaxParts, "tiers and currency options together")
	}
	return v.violations
}

// Validate checks rules that the annotations of the contract cannot express: rules between fields, currencies, tiers.
// It does not assume that the annotations were checked. It returns at most MaxViolations+1 violations.
func Validate(p *catalogv1.Product) []Violation {
	v := &validator{}
	if d := p.GetStatementDescriptor(); d != "" &&
		!strings.ContainsFunc(d, func(r rune) bool { return r <= unicode.MaxASCII && unicode.IsLetter(r) }) {
		v.add("statement_descriptor", "must contain at least one Latin letter")
	}
	// How often each id and key is used. Each repetition is reported once.
	ids, keys := map[string]int{}, map[string]int{}
	defaultOK := p.GetDefaultPrice() == ""
	for i, price := range p.GetPrices() {
		if price.GetId() == p.GetDefaultPrice() && (price.Active == nil || price.GetActive()) {
			defaultOK = true
		}
		if v.isFull() {
			continue
		}
		path := PricePath(p, i)
		if ids[price.GetId()]++; ids[price.GetId()] == 2 {
			v.add(path+".id", "is used by another price of the product")
		}
		key := LookupKey(price)
		if keys[key]++; keys[key] == 2 {
			v.add(path+".lookup_key", "is used by another price of the product")
		}
		v.price(path, price)
	}
	if !defaultOK {
		v.add("default_price",
			"must be the id of one of the product's active prices, not "+Abridged(p.GetDefaultPrice()))
	}
	return v.violations
}

type validator struct{ violations []Violation }

func (v *validator) isFull() bool { return len(v.violations) > MaxViolations }

func (v *validator) add(field, message string) {
	if v.isFull() {
		return
	}
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
			v.add(path+".recurring", "must be given with tiers: Stripe does not create one-time prices with tiers")
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
		if v.isFull() {
			return
		}
		option, path := p.GetCurrencyOptions()[code], path+".currency_options."+Abridged(code)
		if code == p.GetCurrency() {
			v.add(path, "must not be the price's own currency")
		}
		v.currency(path, code)
		v.oneAmount(path, option)
		if (len(option.GetTiers()) > 0) != (len(p.GetTiers()) > 0) ||
			(option.GetCustomUnitAmount() != nil) != (p.GetCustomUnitAmount() != nil) {
			v.add(path, "must give its amount in the same way as the price: as an amount, tiers or a custom amount")
		}
		if len(option.GetTiers()) > 0 {
			v.tiers(path+".tiers", option.GetTiers())
		}
		v.custom(path+".custom_unit_amount", option.GetCustomUnitAmount())
	}
}

// currency checks the syntax only, and leaves the list of currencies to Stripe. Libraries' tables of ISO 4217 are older
// than Stripe's (XCG, SLE), and Stripe has codes that ISO 4217 lacks (usdc).
func (v *validator) currency(path, code string) {
	if len(code) < 3 || len(code) > 8 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz") != "" {
		v.add(path, fmt.Sprintf("must be a currency code of 3 to 8 letters in lower case, such as eur, not %q",
			Abridged(code)))
	}
}

// oneAmount checks the amount of a price or of one of its currency options.
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
		v.add(path+".unit_amount",
			"exactly one of unit_amount, unit_amount_decimal, custom_unit_amount and tiers must be given")
	}
}

// maxIntervalCount is the maximum interval that Stripe allows between two payments.
var maxIntervalCount = map[string]uint32{"day": 1095, "week": 156, "month": 36, "year": 3}

func (v *validator) recurring(path string, r *catalogv1.Recurring) {
	if r == nil {
		return
	}
	if limit, known := maxIntervalCount[r.GetInterval()]; known && r.GetIntervalCount() > limit {
		v.add(path+".recurring.interval_count",
			fmt.Sprintf("must be at most %d for interval %s: Stripe allows at most three years", limit,
				r.GetInterval()))
	}
	if r.GetMeter() != "" && r.GetUsageType() != "metered" {
		v.add(path+".recurring.usage_type", "must be metered when a meter is given")
	}
	switch {
	case r.GetAggregateUsage() == "":
	case r.GetUsageType() != "metered":
		v.add(path+".recurring.aggregate_usage", "must be empty unless usage_type is metered")
	case r.GetMeter() != "":
		v.add(path+".recurring.aggregate_usage",
			"must be empty when a meter is given: the meter defines how usage is aggregated")
	}
}

func (v *validator) tiers(path string, tiers []*catalogv1.PriceTier) {
	if len(tiers) == 0 {
		v.add(path, "must not be empty when billing_scheme is tiered")
	}
	previous := decimal.Zero
	for i, t := range tiers {
		if v.isFull() {
			return
		}
		path := fmt.Sprintf("%s[%d]", path, i)
		last := i == len(tiers)-1
		switch {
		case last && t.GetUpTo() != "":
			v.add(path+".up_to", "must be empty on the last tier: it has no end")
		case !last && t.GetUpTo() == "":
			v.add(path+".up_to", "may be empty only on the last tier")
		case !last:
			upTo, ok := parseDecimal(t.GetUpTo())
			if !ok || !upTo.GreaterThan(previous) {
				v.add(path+".up_to", "must be greater than that of the previous tier")
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
	// A bound that is missing or not a number limits nothing.
	above := func(a, b string) bool {
		x, ok1 := parseDecimal(a)
		y, ok2 := parseDecimal(b)
		return ok1 && ok2 && x.GreaterThan(y)
	}
	if above(c.GetMinimum(), c.GetMaximum()) {
		v.add(path+".maximum", "must not be less than the minimum")
	}
	if above(c.GetMinimum(), c.GetPreset()) || above(c.GetPreset(), c.GetMaximum()) {
		v.add(path+".preset", "must lie between the minimum and the maximum")
	}
}
