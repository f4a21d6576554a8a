package proposal

import (
	"fmt"
	"regexp"
)

// The kinds of questions.
const (
	AskProducts    = "products"    // which table has the products
	AskProductPer  = "product_per" // whether a product or its variant is Stripe's product
	AskPrices      = "prices"      // which table and column has the amounts
	AskCurrency    = "currency"    // in which currency amounts are
	AskUnit        = "unit"        // whether amounts are in major or minor units
	AskInterval    = "interval"    // whether and how often prices recur
	AskActive      = "active"      // which products are on sale
	AskLanguage    = "language"    // which translation counts
	AskName        = "name"        // what a product is called
	AskTenant      = "tenant"      // whose products these are
	AskReference   = "reference"   // what a column without a foreign key refers to
	AskRepeated    = "repeated"    // whether a join repeats prices
	AskLists       = "lists"       // when other prices apply
	AskOtherPrices = "other_prices"
	AskPublication = "publication" // where products are published
	AskWatch       = "watch"       // which rows concern a product
	AskFractions   = "fractions"   // whether fractions of a cent are meant
	AskQuery       = "query"       // why the queries cannot be used
)

// Question is something that the tables do not say.
type Question struct {
	Kind string `json:"kind"`
	// Text says what is not known, why it matters, and what the proposal does meanwhile.
	Text string `json:"text"`
	// Flag of `driftless init` answers it, "" if the file must be edited.
	Flag string `json:"flag"`
	// Choices are likely answers.
	Choices []string `json:"choices"`
}

// Answers are what the operator knows. Empty values are not known.
type Answers struct {
	// ProductsTable and PricesTable name tables, with or without their schema.
	ProductsTable, PricesTable string
	// AmountColumn is the column of the prices table with the amounts.
	AmountColumn string
	// AmountUnit is UnitMajor or UnitMinor.
	AmountUnit string
	// Currency of all amounts, as "eur".
	Currency string
	// Interval of prices: "once", "day", "week", "month" or "year".
	Interval string
	// Language of the texts, as the tables write it.
	Language string
	// Account names the account, for the publication. Role is the role that the SQL grants to.
	Account, Role string
}

// check refuses an answer that no proposal can have.
func (a Answers) check() error {
	if a.AmountUnit != "" && a.AmountUnit != UnitMajor && a.AmountUnit != UnitMinor {
		return fmt.Errorf("the unit of amounts (--amount-unit) is %s or %s, not %q", UnitMajor, UnitMinor, a.AmountUnit)
	}
	if _, ok := intervalValues[a.Interval]; a.Interval != "" && !ok {
		return fmt.Errorf("the interval (--interval) is once, day, week, month or year, not %q", a.Interval)
	}
	if a.Currency != "" && !currencyCode.MatchString(a.Currency) {
		return fmt.Errorf("a currency (--currency) has three letters, as eur, not %q", a.Currency)
	}
	return nil
}

var currencyCode = regexp.MustCompile(`^[A-Za-z]{3}$`)

// Units of amounts: euros, or cents.
const (
	UnitMajor = "major"
	UnitMinor = "minor"
)

// Proposal is a mapping for the tables of a database.
type Proposal struct {
	// Products, Prices and Watch are a mapping: see config.Mapping.
	Products, Prices string
	Watch            []Watch
	Questions        []Question
	// Notes say why the proposal is as it is.
	Notes []string
	// ProductsTable and PricesTable are those that were chosen.
	ProductsTable, PricesTable string
	// SQL has the statements that the tables' owner runs.
	SQL string
	// YAML is the configuration file.
	YAML string

	render func() string
}

// Ask adds a question that came up afterwards.
func (p *Proposal) Ask(q Question) {
	p.Questions = append(p.Questions, q)
	p.YAML = p.render()
}

// Watch is a watched table.
type Watch struct {
	Table string
	// ProductID is a column, and Products a query. One of them is set.
	ProductID, Products string
	// Where limits the rows that concern products, "" if all may.
	Where string
	// columns are those that the log must have of an old row.
	columns []string
	table   *Table
}

// Asks reports whether the proposal has a question of the kind.
func (p *Proposal) Asks(kind string) bool {
	for _, q := range p.Questions {
		if q.Kind == kind {
			return true
		}
	}
	return false
}
