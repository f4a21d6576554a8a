package proposal

import (
	"fmt"
	"slices"
	"strings"
)

// productNouns are what tables of products are called, with how likely that is.
var productNouns = map[string]int{
	"product": 10, "plan": 8, "article": 7, "item": 6, "sku": 5, "merchandise": 5, "good": 5, "offer": 4, "offering": 4,
	"membership": 4, "package": 4, "course": 3, "ticket": 3, "service": 2,
}

var (
	variantWords = []string{"variant", "variation", "sku", "edition"}
	// busyWords are words of tables that record what happened to products. They have amounts that are no prices.
	busyWords = strings.Fields(`order cart line invoice basket wishlist checkout payment transaction refund ledger wallet coupon
		discount promotion shipping shipment payout history log audit quote session adjustment backup tmp
		temp old stock inventory`)
	// busyNouns are such words, if the name ends with them.
	busyNouns   = strings.Fields(`credit user customer purchase return draft rule sale review subscription fee account`)
	tenantWords = strings.Fields(`organization organisation tenant company account store shop merchant workspace team`)
)

func isBusy(t *Table) bool {
	w := t.words()
	return anyOf(w, busyWords...) || slices.Contains(busyNouns, last(w)) && !isFee(t)
}

// isFee reports whether a table has fees that customers pay for products, rather than those that were charged to them.
func isFee(t *Table) bool {
	return last(t.words()) == "fee" && currencyColumn(t) != nil && len(moneyColumns(t)) > 0 &&
		!slices.ContainsFunc(t.Columns, func(c *Column) bool { return anyOf(c.words(), busyWords...) })
}

// candidate is a table that may be what is looked for.
type candidate struct {
	table *Table
	score int
}

func sorted(list []candidate) []candidate {
	slices.SortStableFunc(list, func(a, b candidate) int { return b.score - a.score })
	return list
}

func names(list []candidate, limit int) (out []string) {
	for _, c := range list {
		if len(out) < limit {
			out = append(out, c.table.sql())
		}
	}
	return out
}

// chooseProducts chooses the table whose rows are Stripe's products.
func (p *proposer) chooseProducts() error {
	if name := p.answers.ProductsTable; name != "" {
		if p.products = p.db.named(name); p.products == nil {
			return fmt.Errorf("there is no table %s that can be read (--products-table); there are: %s", name,
				strings.Join(p.db.tableNames(), ", "))
		}
		return nil
	}
	named, others := p.productCandidates()
	if len(named) == 0 && len(others) == 0 {
		return fmt.Errorf("no table looks like products: none has names and prices; name it with --products-table. "+
			"There are: %s", strings.Join(p.db.tableNames(), ", "))
	}
	switch {
	case len(named) == 0:
		p.products = others[0].table
		p.ask(Question{
			Kind: AskProducts, Flag: "--products-table", Choices: names(others, 5),
			Text: "No table is called like products. " + p.products.sql() + " is taken: it has names and prices.",
		})
	case len(named) > 1 && named[1].score > named[0].score-5:
		p.products = named[0].table
		p.ask(Question{
			Kind: AskProducts, Flag: "--products-table", Choices: names(named, 5),
			Text: "Several tables may have the products. " + p.products.sql() + " is taken.",
		})
	default:
		p.products = named[0].table
	}
	return nil
}

// productCandidates returns the tables that are called like products, and those that may have them under another name.
func (p *proposer) productCandidates() (named, others []candidate) {
	for _, t := range p.db.Tables {
		if len(t.Key) == 0 || isBusy(t) || anyOf(t.words(), variantWords...) {
			continue
		}
		_, hasName := p.nameSource(t)
		score := 0
		if hasName {
			score += 10
		}
		if t.Rows != 0 {
			score += 3
		}
		hasPrices := len(moneyColumns(t)) > 0
		for _, e := range p.graph.children(t) {
			hasPrices = hasPrices || len(moneyColumns(e.to)) > 0 && !isBusy(e.to)
			if anyOf(e.to.words(), variantWords...) || anyOf(e.to.words(), "price") {
				score += 5
			}
		}
		if hasPrices {
			score += 5
		} else if far := p.stepsToPrices(t); far > 0 {
			hasPrices = true
			score -= 3 * (far - 1)
		}
		noun := productNouns[last(t.words())]
		if k := productKind(t); k != nil && noun == 0 {
			noun = productNouns[words(k.value)[0]] - 1
		}
		if noun > 0 {
			named = append(named, candidate{t, score + 10*noun - len(t.words())})
		} else if hasName && hasPrices {
			if len(moneyColumns(t)) > 0 {
				score += 5
			}
			others = append(others, candidate{t, score - len(t.words())})
		}
	}
	return sorted(named), sorted(others)
}

// stepsToPrices returns how many foreign keys lead from the nearest table with prices to a table, 0 if none do.
func (p *proposer) stepsToPrices(t *Table) (steps int) {
	for _, from := range p.db.Tables {
		if from == t || isBusy(from) || len(moneyColumns(from)) == 0 || len(from.Key) == 0 {
			continue
		}
		way := p.graph.path(from, t, isBusy)
		isUp := !slices.ContainsFunc(way, func(e edge) bool { return !e.up })
		if len(way) > 0 && isUp && (steps == 0 || len(way) < steps) {
			steps = len(way)
		}
	}
	return steps
}

func (db *Database) tableNames() (out []string) {
	for _, t := range db.Tables {
		out = append(out, t.sql())
	}
	slices.Sort(out)
	const most = 30
	if len(out) > most {
		out = append(out[:most], "...")
	}
	return out
}

// choosePrices chooses the table with the amounts, and the way from it to the products.
func (p *proposer) choosePrices() error {
	if name := p.answers.PricesTable; name != "" {
		t := p.db.named(name)
		if t == nil {
			return fmt.Errorf("there is no table %s that can be read (--prices-table)", name)
		}
		way, ok := p.wayToProducts(t)
		if !ok {
			return fmt.Errorf("no foreign keys lead from %s (--prices-table) to %s", t.sql(), p.products.sql())
		}
		p.prices, p.way = t, way
		if a := p.findAttributes(); a != nil && a.up.from == t {
			p.attributes = a
			return nil
		}
		return p.chooseAmounts()
	}
	var found []candidate
	for _, t := range p.db.Tables {
		var score int
		w := t.words()
		switch {
		case len(moneyColumns(t)) == 0 || t != p.products && (isBusy(t) || len(t.Key) == 0):
			continue
		case last(w) == "price" || last(w) == "tariff":
			score = 40
		case anyOf(w, "price"), last(w) == "listing" && anyOf(w, variantWords...):
			score = 35
		case last(w) == "listing":
			score = 25
		case isFee(t):
			score = 20
		case t == p.products:
			score = 30
		case anyOf(w, variantWords...):
			score = 28
		default:
			score = 10
		}
		way, ok := p.wayToProducts(t)
		if ok {
			found = append(found, candidate{t, score - len(way)})
		}
	}
	found = sorted(found)
	if a := p.findAttributes(); a != nil && (len(found) == 0 || found[0].score < 15) {
		p.attributes, p.prices, p.way = a, a.up.from, []edge{a.up}
		return nil
	}
	if len(found) == 0 {
		p.ask(Question{
			Kind: AskPrices, Flag: "--prices-table",
			Text: "No table with amounts is connected with " + p.products.sql() +
				" by foreign keys. The prices query " +
				"returns nothing, so products get no prices.",
		})
		return nil
	}
	p.prices = found[0].table
	p.way, _ = p.wayToProducts(p.prices)
	if len(found) > 1 && found[1].score >= found[0].score-8 || found[0].score < 15 {
		p.ask(Question{
			Kind: AskPrices, Flag: "--prices-table", Choices: names(found, 5),
			Text: "It is not certain which table has the prices. " + p.prices.sql() + " is taken.",
		})
	}
	return p.chooseAmounts()
}

// wayToProducts returns the references from a table to the products. There are none for the products themselves.
func (p *proposer) wayToProducts(t *Table) ([]edge, bool) {
	if t == p.products {
		return nil, true
	}
	way := p.graph.path(t, p.products, isBusy)
	return shortened(way), way != nil
}

// shortened leaves out tables that only pass a value on. A foreign key proves that they have its row.
func shortened(way []edge) []edge {
	var out []edge
	for _, e := range way {
		if n := len(out); n > 0 && slices.Equal(out[n-1].toColumns, e.fromColumns) && softDeletion(e.from) == nil &&
			goneStatus(e.from) == nil {
			before := out[n-1]
			out[n-1] = edge{
				from:        before.from,
				to:          e.to,
				fromColumns: before.fromColumns,
				toColumns:   e.toColumns,
				up:          before.up && e.up,
				inferred:    before.inferred || e.inferred,
			}
			continue
		}
		out = append(out, e)
	}
	return out
}

// chooseAmounts chooses the columns with the amounts.
func (p *proposer) chooseAmounts() error {
	all := moneyColumns(p.prices)
	if name := p.answers.AmountColumn; name != "" {
		c := p.prices.column(name)
		if c == nil {
			return fmt.Errorf("%s has no column %s (--amount-column)", p.prices.sql(), name)
		}
		p.amounts = []money{{column: c}}
		return nil
	}
	if len(all) == 0 {
		return fmt.Errorf("%s has no column that looks like an amount: name it with --amount-column", p.prices.sql())
	}
	special := slices.DeleteFunc(slices.Clone(all), func(m money) bool { return m.currency == "" && m.interval == "" })
	if len(special) > 1 || len(special) == 1 && len(all) == 1 {
		p.amounts = special
		return nil
	}
	p.amounts = all[:1]
	if len(all) > 1 {
		var choices []string
		for _, m := range all {
			choices = append(choices, m.column.Name)
		}
		p.ask(Question{
			Kind: AskPrices, Flag: "--amount-column", Choices: choices,
			Text: p.prices.sql() + " has several columns with amounts. " + ident(all[0].column.Name) + " is taken.",
		})
	}
	return nil
}
