package proposal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// noPrices is a prices query for products whose prices are not known.
const noPrices = `SELECT NULL::text AS id, NULL::text AS product, NULL::text AS currency, NULL::bigint AS unit_amount
WHERE false
`

// proposePrices makes the query of the prices.
func (p *proposer) proposePrices() {
	if p.prices == nil {
		p.out.Prices = noPrices
		return
	}
	p.out.PricesTable = p.prices.sql()
	if p.attributes != nil {
		p.pricesQuery = p.selectAttributes(p.attributes)
		p.out.Prices = p.pricesQuery.String()
		return
	}
	var parts []string
	for _, m := range p.amounts {
		s := p.selectPrices(m)
		if p.pricesQuery == nil {
			p.pricesQuery = s
		}
		parts = append(parts, s.String())
	}
	p.out.Prices = strings.Join(parts, "UNION ALL\n")
	for _, c := range p.prices.Columns {
		if isSalePrice(c) {
			p.ask(Question{
				Kind: AskLists,
				Text: p.prices.sql() + "." + ident(c.Name) +
					" may replace the price at times. The prices query does not " +
					"use it.",
			})
		}
	}
}

// selectPrices selects the prices of one column with amounts.
func (p *proposer) selectPrices(m money) *selection {
	t := p.prices
	s := newSelection(t)
	product := p.joinWay(s)
	c := p.chooseCurrency(s, m)
	var suffix string
	switch {
	case c.constant != "" && m.interval != "":
		suffix = c.constant + "-" + m.interval
	case c.constant != "":
		suffix = c.constant
	case m.interval != "":
		suffix = m.interval
	default:
		suffix = "price"
	}
	id := s.id(t)
	switch {
	case t == p.products || len(p.amounts) > 1:
		id += " || " + literal("-"+suffix)
		s.add(id, "id", "also the lookup key in Stripe")
	case len(t.Key) == 0:
		s.add("NULL::text", "id", "QUESTION (prices): the table has no primary key")
		p.ask(Question{Kind: AskPrices, Text: t.sql() + " has no primary key, so its prices have no ids. Driftless " +
			"refuses them. Write an expression that identifies a price."})
	default:
		s.add(id, "id", "also the lookup key in Stripe")
	}
	s.add(product, "product", "")
	s.add(c.expression, "currency", c.why)
	p.addAmount(s, m, c)
	if t != p.products {
		sellers := []*Table{t}
		if c.table != nil && c.table != t && c.table != p.products {
			// A price in a sales channel that is closed is not on sale.
			sellers = append(sellers, c.table)
		}
		p.addActive(s, sellers, "prices")
		p.addNickname(s)
	}
	p.addRecurring(s, m)
	s.exclude(t)
	if t == p.products && p.kind != nil {
		s.filter(p.kind.condition(s.aliases[t] + "."))
	}
	if !m.column.NotNull {
		s.filter(s.column(t, m.column.Name) + " IS NOT NULL")
	}
	p.limitToNow(s)
	return s
}

// joinWay joins the tables between prices and products, and returns the id of the product.
func (p *proposer) joinWay(s *selection) string {
	if len(p.way) == 0 {
		return s.id(p.products)
	}
	for i, e := range p.way {
		p.useReference(e)
		if !e.up {
			p.askRepeated(e)
		}
		if i == len(p.way)-1 && len(p.products.Key) == 1 && slices.Equal(e.toColumns, p.products.Key) {
			return s.column(e.from, e.fromColumns[0])
		}
		s.join(e, false, "")
		s.exclude(e.to)
	}
	return s.id(p.products)
}

// askRepeated asks about a step that may have several rows for each price.
func (p *proposer) askRepeated(e edge) {
	unique, proved := e.to.isUnique(e.toColumns)
	if proved {
		return
	}
	text := "A row of " + e.from.sql() + " may have several rows of " + e.to.sql() +
		". Prices would then be returned " +
		"several times, and Driftless refuses their products."
	if unique {
		p.notef("each row of %s has at most one row of %s now, but no constraint says so", e.from.sql(), e.to.sql())
		return
	}
	p.ask(Question{Kind: AskRepeated, Text: text})
}

// currency is how the prices query gets the currency.
type currency struct {
	// expression of the column, and constant if it is the same for all prices.
	expression, constant, why string
	// column is the column that has it, if there is one, of the table.
	column *Column
	table  *Table
}

// chooseCurrency finds the currency: in the name of the column, in a column that is near, or by an answer.
func (p *proposer) chooseCurrency(s *selection, m money) currency {
	if m.currency != "" {
		return currency{expression: literal(m.currency), constant: m.currency}
	}
	if c := currencyColumn(p.prices); c != nil {
		return p.currencyFrom(s, p.prices, c)
	}
	// A table above one of those that lead to the products may have it, as a sales channel.
	tables := []*Table{p.prices}
	for _, e := range p.way {
		tables = append(tables, e.to)
	}
	for _, t := range tables {
		if c := currencyColumn(t); c != nil && s.reads(t) {
			return p.currencyFrom(s, t, c)
		}
		for _, e := range p.graph.parents(t) {
			c := currencyColumn(e.to)
			if c == nil {
				continue
			}
			if !s.reads(t) {
				s.join(p.way[len(p.way)-1], false, "")
			}
			if !s.reads(e.to) {
				s.join(e, false, "")
				p.useReference(e)
			}
			return p.currencyFrom(s, e.to, c)
		}
	}
	if constant := strings.ToLower(p.answers.Currency); constant != "" {
		return currency{expression: literal(constant), constant: constant}
	}
	p.ask(Question{
		Kind: AskCurrency, Flag: "--currency",
		Text: "No column has a currency. currency is NULL, and Driftless refuses such prices.",
	})
	return currency{expression: "NULL::text", why: "QUESTION (currency)"}
}

func (p *proposer) currencyFrom(s *selection, t *Table, c *Column) currency {
	return currency{expression: s.column(t, c.Name), column: c, table: t}
}

// Currencies without a minor unit, and with three decimal places (https://docs.stripe.com/currencies#zero-decimal).
var (
	zeroDecimal = strings.Fields("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
	threePlaces = strings.Fields("bhd jod kwd omr tnd")
)

// factor returns by what amounts in major units are multiplied.
func (c currency) factor(s *selection) string {
	switch {
	case slices.Contains(zeroDecimal, c.constant):
		return ""
	case slices.Contains(threePlaces, c.constant):
		return " * 1000"
	case c.column == nil:
		return " * 100"
	}
	values, all := c.table.values(c.column)
	if all && len(values) > 0 && (len(c.column.Labels) > 0 || c.column.NotNull) &&
		!anyOf(lower(values), zeroDecimal...) &&
		!anyOf(lower(values), threePlaces...) && len(c.column.Labels) > 0 {
		return " * 100"
	}
	return fmt.Sprintf(` * CASE
      WHEN lower(%[1]s::text) IN (%[2]s) THEN 1 -- no minor unit
      WHEN lower(%[1]s::text) IN (%[3]s) THEN 1000
      ELSE 100
    END`, s.column(c.table, c.column.Name), quoteAll(zeroDecimal), quoteAll(threePlaces))
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = strings.ToLower(v)
	}
	return out
}

func quoteAll(list []string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = literal(v)
	}
	return strings.Join(out, ", ")
}

// addAmount adds the amount in minor units. Nothing is rounded: Driftless refuses fractions of a cent, and says so.
func (p *proposer) addAmount(s *selection, m money, c currency) {
	column := s.column(p.prices, m.column.Name)
	unit, proved := unitOf(m.column)
	if p.answers.AmountUnit != "" {
		unit, proved = p.answers.AmountUnit, true
	}
	if !proved {
		p.askUnit(m.column, unit)
	}
	switch {
	case m.column.isFloat():
		// The text of a floating-point number has no digits beyond its precision.
		column += "::text::numeric"
	case m.column.Type == "money", m.column.isText():
		column += "::numeric"
	}
	if unit == UnitMinor {
		why := ""
		if !proved {
			why = "QUESTION (unit): read as minor units (cents)"
		}
		s.add(column, "unit_amount", why)
		return
	}
	field, why := "unit_amount", "major units to cents"
	if m.column.Sample.Places > 2 {
		field, why = "unit_amount_decimal", "QUESTION (fractions)"
		p.ask(Question{
			Kind: AskFractions,
			Text: "Amounts have up to " + strconv.Itoa(m.column.Sample.Places) +
				" decimal places. They are sent with their " +
				"fractions (unit_amount_decimal). Write round(...) AS unit_amount if fractions of a cent are not meant.",
		})
	}
	if !proved {
		why = "QUESTION (unit): read as major units"
	}
	s.add(column+c.factor(s), field, why)
}

func (p *proposer) askUnit(c *Column, unit string) {
	words := "minor units (cents)"
	if unit == UnitMajor {
		words = "major units, like euros"
	}
	example := ""
	if len(c.Sample.Values) > 0 {
		example = " A value is " + c.Sample.Values[0] + "."
	}
	p.ask(Question{
		Kind: AskUnit, Flag: "--amount-unit", Choices: []string{UnitMinor, UnitMajor},
		Text: "Whether " + p.prices.sql() + "." + ident(c.Name) +
			" is in minor units (cents) or in major units is not " +
			"certain." + example + " It is read as " + words + ".",
	})
}

// addNickname adds what distinguishes the prices of a product: the price's own name, or that of the variant.
func (p *proposer) addNickname(s *selection) {
	for _, t := range s.order {
		c := nameColumn(t)
		if c == nil && anyOf(t.words(), variantWords...) {
			c = skuColumn(t)
		}
		onWay := t == p.prices || slices.ContainsFunc(p.way, func(e edge) bool { return e.to == t })
		if c != nil && onWay && t != p.products {
			s.add(s.column(t, c.Name), "nickname", "")
			return
		}
	}
}
