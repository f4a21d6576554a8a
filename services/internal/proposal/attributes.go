package proposal

import "slices"

// kind is a value that the rows of a table have that are products, if the table has other rows, too.
type kind struct {
	column *Column
	value  string
	// others are values that look like products, too.
	others []string
}

func (k kind) condition(alias string) string {
	return alias + ident(k.column.Name) + " = " + literal(k.value)
}

// productKind returns which rows of a table are products, nil if no column says that there are others.
func productKind(t *Table) *kind {
	for _, c := range t.Columns {
		if !c.isWord() || last(c.words()) != "type" && last(c.words()) != "kind" {
			continue
		}
		values, _ := t.values(c)
		var out *kind
		var others []string
		for _, v := range values {
			switch w := words(v); {
			case len(w) == 1 && productNouns[w[0]] >= 5 && len(values) > 1 && !anyOf(t.words(), w[0]):
				out = &kind{column: c, value: v}
			case len(w) > 1 && productNouns[w[0]] >= 5:
				others = append(others, v)
			}
		}
		if out != nil {
			out.others = others
			return out
		}
	}
	return nil
}

// attributes is a table that has a row for each attribute of a product (EAV), with the attribute that is the price.
type attributes struct {
	// up leads from the table to the products.
	up         edge
	key, value *Column
	price      string
}

// findAttributes returns the attributes of products that have a price, nil if there are none.
func (p *proposer) findAttributes() *attributes {
	for _, e := range p.graph.children(p.products) {
		var out attributes
		for _, c := range e.to.Columns {
			switch {
			case c.isText() && (last(c.words()) == "key" || last(c.words()) == "attribute"):
				out.key = c
			case c.isText() && last(c.words()) == "value":
				out.value = c
			}
		}
		if out.key == nil || out.value == nil {
			continue
		}
		values, _ := e.to.values(out.key)
		i := slices.IndexFunc(values, func(v string) bool { return is(words(v), "price", "unit price", "amount") })
		if i >= 0 {
			out.up, out.price = e.reverse(), values[i]
			return &out
		}
	}
	return nil
}

// selectAttributes selects the prices among attributes.
func (p *proposer) selectAttributes(a *attributes) *selection {
	t := a.up.from
	s := newSelection(t)
	p.useReference(a.up)
	c := p.chooseCurrency(s, money{column: a.value})
	suffix := c.constant
	if suffix == "" {
		suffix = "price"
	}
	product := s.column(t, a.up.fromColumns[0])
	s.add(product+" || "+literal("-"+suffix), "id", "also the lookup key in Stripe")
	s.add(product, "product", "")
	s.add(c.expression, "currency", c.why)
	unit, factor, why := p.answers.AmountUnit, "", ""
	if unit == "" {
		unit = UnitMajor
		why = "QUESTION (unit): read as major units"
		p.askUnit(a.value, unit)
	}
	if unit == UnitMajor {
		factor = c.factor(s)
	}
	s.add(s.column(t, a.value.Name)+"::numeric"+factor, "unit_amount", why)
	s.filter(s.column(t, a.key.Name) + " = " + literal(a.price))
	s.filter(s.column(t, a.value.Name) + " <> ''")
	return s
}
