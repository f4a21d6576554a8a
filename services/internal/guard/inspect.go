package guard

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Change is what push is about to do to one product.
type Change struct {
	// Observed is the product in Stripe.
	Observed *catalogv1.Observed
	// Desired is the state that Stripe shall have: Resolution.Effective.
	Desired *catalogv1.ProductChange
	// Steps are the calls: Resolution.Steps.
	Steps []catalog.Step
	// After is Observed with the overlaps that the change begins or gives up: see catalog.ResolveAt. Nil means none.
	After *catalogv1.Observed
}

// Report is what the rules find in a change.
type Report struct {
	// Findings are those of the rules that look at one product, in the order of Rules.
	Findings []Finding
	// Counted is what the rules count that limit changes of the account.
	Counted Counted
}

// Counted is what a change counts for in the rules with a limit.
type Counted struct {
	// Product is the product's id.
	Product string
	// Archived means that the change archives the product.
	Archived bool
	// Prices are Stripe's ids of the active prices that the change replaces or archives, now or when their overlap
	// ends. A price counts once, when it is replaced. The product stays on sale.
	Prices []string
	// Currencies are those in which the product has active prices before the change, and none after it.
	Currencies []string
}

// Inspect applies the rules that look at one product, and says what the others count. It finds nothing in the first
// sync of a product, in one that is not on sale in Stripe and stays so, and in new prices. A product that is archived
// only counts for ArchivedProducts.
func Inspect(cfg Config, c Change) Report {
	s := newSale(c)
	report := Report{Counted: Counted{Product: c.Observed.GetProductId()}}
	if !s.active {
		return report
	}
	if s.archived {
		report.Counted.Archived = true
		return report
	}
	if !isWritten(c.Observed) {
		return report
	}
	for _, p := range s.pairs() {
		if f, ok := cfg.compare(p); ok {
			report.Findings = append(report.Findings, f)
		}
	}
	order := Rules()
	slices.SortStableFunc(report.Findings, func(a, b Finding) int {
		return cmp.Compare(slices.Index(order, a.Rule), slices.Index(order, b.Rule))
	})
	switch {
	case cfg.NoActivePrice && len(s.before) > 0 && len(s.after) == 0:
		report.Findings = append(report.Findings, Finding{
			Rule: NoActivePrice, Before: describe(s.before),
			Message: "the product is on sale and would have no active price",
		})
	case cfg.NoDefaultPrice && s.losesDefault():
		report.Findings = append(report.Findings, Finding{
			Rule: NoDefaultPrice, Message: "the product is on sale and would have no default price",
		})
	}
	report.Counted.Prices = s.taken()
	report.Counted.Currencies = lost(s.before, s.after)
	return report
}

// isWritten reports whether Driftless has written the product, or an operator has adopted it. The first sync may have
// ended after the call that made the product. Then no price has a mark yet.
func isWritten(o *catalogv1.Observed) bool {
	made := len(o.GetIntents()) > 0 && !o.GetFound()
	return made || catalog.IsManaged(o) || len(catalog.MarkedIDs(o)) > 0
}

// sale is a change with its prices before and after.
type sale struct {
	Change
	// active means that the product is on sale in Stripe or the change puts it on sale. The call that does so may have
	// been made before, with a lost answer. archived means that the change takes the product off sale.
	active, archived bool
	// before and after are the active prices, in canonical form.
	before, after []*catalogv1.Price
	// wanted are the desired prices by the catalog's id, in canonical form.
	wanted map[string]*catalogv1.Price
	// retired are Stripe's ids of the prices that the change archives.
	retired map[string]bool
	// unarchived are Stripe's ids of the archived prices that the change puts on sale again.
	unarchived map[string]bool
	// again are Stripe's ids of the existing prices that the change sells at again, by the catalog's id.
	again map[string]string
}

func newSale(c Change) *sale {
	s := &sale{
		Change:     c,
		wanted:     map[string]*catalogv1.Price{},
		retired:    map[string]bool{},
		unarchived: map[string]bool{},
		again:      map[string]string{},
	}
	s.active = c.Observed.GetProduct() != nil && !c.Observed.GetDeleted() && isActive(c.Observed.GetProduct())
	for _, p := range c.Desired.GetProduct().GetPrices() {
		s.wanted[p.GetId()] = catalog.CanonicalPrice(p)
	}
	var created []*catalogv1.Price
	for _, step := range c.Steps {
		active, _ := step.Param("active")
		switch step.Kind {
		case catalog.UpdateProduct:
			s.archived = s.archived || active == "false"
			s.active = s.active || active == "true"
		case catalog.UpdatePrice:
			s.retired[step.StripePriceID] = s.retired[step.StripePriceID] || active == "false"
			// A price can have two steps: the first unarchives it, and the last clears its mark.
			s.unarchived[step.StripePriceID] = s.unarchived[step.StripePriceID] || active == "true" &&
				!catalog.FindPrice(c.Observed, step.StripePriceID).GetPrice().GetActive()
		case catalog.CreatePrice:
			created = append(created, s.wanted[step.PriceID])
		case catalog.CreateProduct:
		}
	}
	maps.DeleteFunc(s.retired, func(_ string, retired bool) bool { return !retired })
	for _, p := range c.Observed.GetPrices() {
		price := catalog.CanonicalPrice(p.GetPrice())
		if isActive(price) {
			s.before = append(s.before, price)
		}
		if (isActive(price) || s.unarchived[p.GetStripeId()]) && !s.retired[p.GetStripeId()] {
			s.after = append(s.after, price)
		}
	}
	s.after = append(s.after, created...)
	return s
}

func isActive(x interface{ GetActive() bool }) bool { return x.GetActive() }

// losesDefault reports whether the change clears the default price.
func (s *sale) losesDefault() bool {
	return s.Observed.GetProduct().GetDefaultPrice() != "" &&
		slices.ContainsFunc(s.Steps, func(step catalog.Step) bool {
			return step.Kind == catalog.UpdateProduct && slices.ContainsFunc(step.Params, func(p catalog.Param) bool {
				return p.Name == "default_price" && p.Value == "" && p.PriceRef == ""
			})
		})
}

// lost returns the currencies that only the prices before have.
func lost(before, after []*catalogv1.Price) []string {
	currencies := func(prices []*catalogv1.Price) map[string]bool {
		out := map[string]bool{}
		for _, p := range prices {
			out[p.GetCurrency()] = true
			for currency := range p.GetCurrencyOptions() {
				out[currency] = true
			}
		}
		return out
	}
	gone := currencies(before)
	for currency := range currencies(after) {
		delete(gone, currency)
	}
	return slices.Sorted(maps.Keys(gone))
}

// describe writes what the prices of a product cost: "14.00 EUR, 120.00 EUR / year and 3 more".
func describe(prices []*catalogv1.Price) string {
	const shown = 3
	var words []string
	for _, p := range prices[:min(shown, len(prices))] {
		words = append(words, catalog.FormatPrice(p))
	}
	text := strings.Join(words, ", ")
	if more := len(prices) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// compare applies the rules on amounts to a price.
func (cfg Config) compare(p pair) (Finding, bool) {
	if cfg.AmountChange <= 0 && !cfg.ZeroAmount {
		return Finding{}, false
	}
	f := Finding{
		Price: p.after.GetId(), Before: catalog.FormatPrice(p.before), After: catalog.FormatPrice(p.after),
	}
	worst := move{}
	before, after := tariffs(p.before), tariffs(p.after)
	for _, currency := range slices.Sorted(maps.Keys(before)) {
		b := before[currency]
		a, ok := after[currency]
		if !ok {
			continue
		}
		for _, m := range b.moves(a, p.factor()) {
			if m.becomesFree() && cfg.ZeroAmount {
				f.Rule = ZeroAmount
				f.Message = fmt.Sprintf("price %s would be free%s: %s", f.Price, m.of(), m.amounts(f, p))
				return f, true
			}
			if m.exceeds(worst) {
				worst = m
			}
		}
	}
	if cfg.AmountChange > 0 && worst.percent().GreaterThan(decimal.NewFromFloat(cfg.AmountChange)) {
		f.Rule = AmountChange
		f.Message = fmt.Sprintf("price %s would change by %s%s: %s; the limit is %s %%", f.Price, worst.words(),
			worst.of(), worst.amounts(f, p), decimal.NewFromFloat(cfg.AmountChange))
		return f, true
	}
	return Finding{}, false
}

// factor returns how many times longer the interval of the later price is, 1 if they cannot be compared.
func (p pair) factor() decimal.Decimal {
	before, after := days(p.before.GetRecurring()), days(p.after.GetRecurring())
	if before.IsZero() || after.IsZero() {
		return decimal.NewFromInt(1)
	}
	return after.Div(before)
}

// minimum is the least that a customer can choose to pay. An amount that the customer does not choose is compared with
// it as well.
const minimum = "the minimum"

// move is how the cost of a quantity, or a bound of an amount that the customer chooses, changes.
type move struct {
	currency string
	units    uint64
	// bound is what changes if it is not the cost: minimum or "the preset".
	bound string
	// from and to are for the same length of time.
	from, to decimal.Decimal
	// asked is the amount of the later price as it is asked for.
	asked decimal.Decimal
}

// moves compares two tariffs of one currency. factor is how many times longer the later interval is.
func (t tariff) moves(after tariff, factor decimal.Decimal) (out []move) {
	for _, units := range quantities(t, after) {
		from, ok := t.cost(units)
		to, also := after.cost(units)
		if ok && also {
			out = append(out, move{currency: t.currency, units: units, from: from, to: to.Div(factor), asked: to})
		}
	}
	if t.custom == nil && after.custom == nil {
		return out
	}
	compare := func(bound string, from, to decimal.Decimal) {
		out = append(out, move{currency: t.currency, units: 1, bound: bound, from: from, to: to, asked: to})
	}
	from, ok := t.leastCost()
	to, also := after.leastCost()
	if ok && also {
		compare(minimum, from, to)
	}
	from, ok = amount(t.custom.GetPreset(), "")
	to, also = amount(after.custom.GetPreset(), "")
	if ok && also {
		compare("the preset", from, to)
	}
	return out
}

// becomesFree reports whether something that had a price has none, or the customer may choose that it has none.
func (m move) becomesFree() bool {
	return (m.bound == "" || m.bound == minimum) && m.from.IsPositive() && m.to.IsZero()
}

// never is more than every percentage that a limit can have. It stands for a price that was free.
var never = decimal.New(1, 12)

// percent returns the change in percent of the amount before, whatever its direction.
func (m move) percent() decimal.Decimal {
	switch {
	case m.from.Equal(m.to):
		return decimal.Decimal{}
	case m.from.IsZero():
		return never
	default:
		return m.to.Sub(m.from).Abs().Mul(decimal.NewFromInt(100)).Div(m.from)
	}
}

func (m move) exceeds(other move) bool { return m.percent().GreaterThan(other.percent()) }

// words writes the change: "-99 %", "+150 %".
func (m move) words() string {
	if m.from.IsZero() {
		return "more than 100 %, from free"
	}
	sign := "+"
	if m.to.LessThan(m.from) {
		sign = "-"
	}
	places := int32(0)
	if m.percent().LessThan(decimal.NewFromInt(10)) {
		places = 1
	}
	return sign + m.percent().Round(places).String() + " %"
}

// of names what changes where it is not the cost of one unit: " for 100 units", " at the minimum".
func (m move) of() string {
	switch {
	case m.bound != "":
		return " at " + m.bound
	case m.units > 1:
		return fmt.Sprintf(" for %d units", m.units)
	default:
		return ""
	}
}

// amounts writes both sides: what the prices cost where that says it all, else the amounts that differ.
func (m move) amounts(f Finding, p pair) string {
	plain := m.bound == "" && len(p.before.GetTiers()) == 0 && len(p.after.GetTiers()) == 0
	if plain && m.units == 1 && m.currency == p.before.GetCurrency() && m.currency == p.after.GetCurrency() {
		return f.Before + " to " + f.After
	}
	return catalog.FormatAmount(m.from.String(), m.currency) + " to " + catalog.FormatAmount(m.asked.String(),
		m.currency)
}
