package proposal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// proposer is one call of Propose.
type proposer struct {
	db      *Database
	answers Answers
	graph   *graph
	out     *Proposal

	// products has Stripe's products, and parent what they are variants of, if they are.
	products *Table
	parent   *edge
	// prices has the amounts. way leads from it to products, and is empty if they are the same table.
	prices  *Table
	way     []edge
	amounts []money
	// kind says which rows of products are products, nil if all are. attributes has the prices, if they are attributes.
	kind       *kind
	attributes *attributes
	// usesTime reports whether a query depends on the time.
	usesTime bool

	productsQuery, pricesQuery *selection
}

// Propose proposes a mapping. It returns an error if there is nothing to begin with, or an answer names nothing.
func Propose(db *Database, answers Answers) (*Proposal, error) {
	if len(db.Tables) == 0 {
		return nil, errors.New("the database has no tables that the role may read, beside those of Postgres and Driftless: " +
			"name a schema (--schema) or another role; without tables of your own, use the built-in ones (docs/mapping.md)")
	}
	if err := answers.check(); err != nil {
		return nil, err
	}
	p := &proposer{db: db, answers: answers, graph: newGraph(db), out: &Proposal{}}
	if err := p.chooseProducts(); err != nil {
		return nil, err
	}
	p.kind = productKind(p.products)
	if len(p.products.Key) == 0 {
		return nil, fmt.Errorf(
			"table %s has no primary key, so its products have no ids: add one, or name another table "+
				"with --products-table", p.products.sql())
	}
	if err := p.choosePrices(); err != nil {
		return nil, err
	}
	p.out.ProductsTable = p.products.sql()
	p.askProductPer()
	p.proposeProducts()
	p.proposePrices()
	p.askOthers()
	p.askOtherAmounts()
	p.proposeWatch()
	p.out.SQL = p.renderSQL()
	p.out.render = p.renderYAML
	p.out.YAML = p.renderYAML()
	return p.out, nil
}

func (p *proposer) ask(q Question) {
	if !slices.ContainsFunc(p.out.Questions, func(x Question) bool { return x.Kind == q.Kind && x.Text == q.Text }) {
		p.out.Questions = append(p.out.Questions, q)
	}
}

func (p *proposer) notef(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(p.out.Notes, text) {
		p.out.Notes = append(p.out.Notes, text)
	}
}

// askProductPer asks whether variants are products, unless the operator chose the table.
func (p *proposer) askProductPer() {
	if p.answers.ProductsTable != "" {
		return
	}
	for _, e := range p.graph.children(p.products) {
		if !anyOf(e.to.words(), variantWords...) || len(e.to.Key) == 0 || isBusy(e.to) ||
			anyOf(e.to.words(), "translation", "price", "option", "value") {
			continue
		}
		p.ask(Question{
			Kind: AskProductPer, Flag: "--products-table", Choices: []string{p.products.sql(), e.to.sql()},
			Text: "Each row of " + p.products.sql() +
				" is a product in Stripe, and all its variants are prices of it. A " +
				"checkout shows the product's name, so variants with names of their own are better products: " +
				"--products-table " + e.to.sql() + ".",
		})
		return
	}
}

// askOthers asks about tables that seem to matter and that the proposal does not use.
func (p *proposer) askOthers() {
	if p.kind != nil && len(p.kind.others) > 0 {
		p.ask(Question{
			Kind: AskOtherPrices,
			Text: "Rows of " + p.products.sql() + " with " + ident(p.kind.column.Name) + " " +
				strings.Join(p.kind.others, ", ") +
				" may have prices of their own. The prices query does not return them. " +
				"docs/cookbook.md has a recipe.",
		})
	}
	owners := []*Table{p.products}
	if p.parent != nil {
		owners = append(owners, p.parent.to)
	}
	for _, t := range owners {
		for _, e := range p.graph.children(t) {
			if p.uses(e.to) || isBusy(e.to) || anyOf(e.to.words(), variantWords...) && !anyOf(e.to.words(), "listing") {
				continue
			}
			p.askOther(e.to)
		}
		p.askTenant(t)
	}
}

func (p *proposer) askOther(t *Table) {
	if flags, _ := activity(t); len(flags) > 0 && !anyOf(t.words(), "price", "translation") {
		p.ask(Question{
			Kind: AskPublication,
			Text: "Whether a product is on sale may depend on " + t.sql() + " (" + strings.Join(columnsOf(flags),
				", ") +
				"), which the queries do not use. Add it to active, or leave it out if it does not matter.",
		})
	}
	for _, c := range t.Columns {
		if c.isJSON() && anyOf(t.words(), "charge", "tier", "price", "fee", "rate") && t != p.prices {
			p.ask(Question{
				Kind: AskOtherPrices,
				Text: t.sql() + " may have more prices, in the JSON of " + ident(c.Name) +
					". The prices query does not " +
					"return them. docs/cookbook.md has recipes for tiers and usage.",
			})
		}
	}
}

// rateWords are words of tables that have prices of another kind, as for rent.
var rateWords = strings.Fields("price tariff rate fee charge rental subscription")

// askOtherAmounts asks about further tables with amounts of products, which no query reads.
func (p *proposer) askOtherAmounts() {
	for _, t := range p.db.Tables {
		if p.uses(t) || isBusy(t) || len(t.Key) == 0 || !anyOf(t.words(), rateWords...) {
			continue
		}
		amounts := moneyColumns(t)
		way := p.graph.path(t, p.products, isBusy)
		if len(amounts) == 0 || len(way) == 0 || slices.ContainsFunc(way, func(e edge) bool { return !e.up }) {
			continue
		}
		p.ask(Question{
			Kind: AskOtherPrices,
			Text: t.sql() + " may have more prices (" + ident(amounts[0].column.Name) +
				"). The prices query does not return them. Add them with UNION ALL, and watch the table.",
		})
	}
}

func columnsOf(flags []flag) (out []string) {
	for _, f := range flags {
		out = append(out, idents(f.columns)...)
	}
	return out
}

func (p *proposer) askTenant(t *Table) {
	for _, c := range t.Columns {
		w := c.words()
		if len(w) != 2 || w[1] != "id" || !slices.Contains(tenantWords, w[0]) {
			continue
		}
		if t.Complete && !c.Sample.Many && len(c.Sample.Values) == 1 {
			p.notef("%s.%s has one value, so the query does not compare it", t.sql(), ident(c.Name))
			continue
		}
		p.ask(Question{
			Kind: AskTenant,
			Text: "Products belong to tenants (" + ident(c.Name) +
				"), and the queries return those of all. If each has " +
				"a Stripe account, add a condition for each account: docs/cookbook.md, tenants.",
		})
	}
}

// uses reports whether one of the queries reads a table.
func (p *proposer) uses(t *Table) bool {
	return p.productsQuery.reads(t) || p.pricesQuery.reads(t)
}
