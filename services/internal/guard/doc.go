// Package guard finds changes that are dangerous to make without a person's approval: prices at a hundredth, products
// without anything to sell, a shop that is archived. Push asks it about the calls that it is about to make, and
// `driftless plan` about those that a change would lead to.
//
// Two kinds of rules exist. Inspect has those that look at one product. Admit has those that count changes of the
// account within an hour. Both are pure: they do no I/O and read no clock.
package guard

import (
	"fmt"
	"slices"
	"strings"
)

// Rule names a rule in settings, records, metrics and messages.
type Rule string

// The rules.
const (
	// AmountChange holds a price that becomes dearer or cheaper than allowed.
	AmountChange Rule = "amount_change"
	// ZeroAmount holds a price that becomes free.
	ZeroAmount Rule = "zero_amount"
	// NoActivePrice holds a product on sale that would have no active price left.
	NoActivePrice Rule = "no_active_price"
	// NoDefaultPrice holds a product on sale that would lose its default price.
	NoDefaultPrice Rule = "no_default_price"
	// ReplacedPrices holds products once too many of the account's prices were replaced or archived within an hour.
	ReplacedPrices Rule = "replaced_prices"
	// LostCurrency holds products once too many lost their prices in a currency within an hour.
	LostCurrency Rule = "lost_currency"
	// ArchivedProducts holds products once too many were archived within an hour.
	ArchivedProducts Rule = "archived_products"
	// FailedCheck holds products that violate a check of the operator: see Check.
	FailedCheck Rule = "check"
)

// Rules returns every rule, in the order in which findings are reported.
func Rules() []Rule {
	return []Rule{
		AmountChange, ZeroAmount, NoActivePrice, NoDefaultPrice, ReplacedPrices, LostCurrency, ArchivedProducts,
		FailedCheck,
	}
}

// Check returns the rule of one of the operator's checks: "check:margin".
func Check(name string) Rule { return FailedCheck + ":" + Rule(name) }

// Kind returns the rule without the name of a check. It is what a metric is labelled with.
func (r Rule) Kind() Rule {
	kind, _, _ := strings.Cut(string(r), ":")
	return Rule(kind)
}

// ParseRule checks a rule that a person names.
func ParseRule(s string) (Rule, error) {
	if r := Rule(s); slices.Contains(Rules(), r.Kind()) {
		return r, nil
	}
	names := make([]string, 0, len(Rules()))
	for _, r := range Rules() {
		names = append(names, string(r))
	}
	return "", fmt.Errorf("there is no rule %q: the rules are %s, and check:NAME for a check of catalog.checks", s,
		strings.Join(names, ", "))
}

// Config sets the rules of one account. The zero value switches all of them off.
type Config struct {
	// AmountChange is the largest change of a price, in percent of the amount before. 0 switches the rule off.
	AmountChange float64
	// ZeroAmount, NoActivePrice and NoDefaultPrice switch the rules of these names on.
	ZeroAmount, NoActivePrice, NoDefaultPrice bool
	// Prices limits ReplacedPrices, Currencies LostCurrency, and Products ArchivedProducts.
	Prices, Currencies, Products Limit
	// Approvers is how many different people must approve a held change. 0 means 1.
	Approvers int
}

// Limit says how many changes are allowed within an hour.
type Limit struct {
	// Share is the part of all that may change, between 0 and 1. 0 switches the rule off.
	Share float64
	// Least is how many may change whatever the share.
	Least uint64
}

// allowed returns how many of a total may change within an hour.
func (l Limit) allowed(total uint64) uint64 { return max(l.Least, uint64(l.Share*float64(total))) }

// Finding is a dangerous part of a change.
type Finding struct {
	Rule Rule
	// Price is the catalog's id of the price concerned. It is empty if the finding is about the product.
	Price string
	// Before and After are what the price costs, "14.00 EUR / month". They are empty where there is nothing.
	Before, After string
	// Message says what is wrong in a sentence without a full stop.
	Message string
}
