package proposal

import (
	"regexp"
	"slices"
	"strings"
)

// proposeWatch makes a line for each table that the queries read.
func (p *proposer) proposeWatch() {
	seen := map[*Table]bool{}
	add := func(t *Table, path []edge) {
		if seen[t] {
			return
		}
		seen[t] = true
		w, ok := p.watch(t, path)
		if !ok {
			p.ask(Question{
				Kind: AskWatch,
				Text: "Columns of " + t.sql() +
					" have names that a query under watch cannot use. Changes of it are seen " +
					"only when the tables are compared.",
			})
			return
		}
		p.limit(&w)
		p.out.Watch = append(p.out.Watch, w)
	}
	for _, t := range p.productsQuery.order {
		add(t, reversed(p.productsQuery.via[t]))
	}
	if p.pricesQuery == nil {
		return
	}
	for _, t := range p.pricesQuery.order {
		via := p.pricesQuery.via[t]
		// A table on the way has its own way to the products.
		shared := 0
		for shared < len(via) && shared < len(p.way) && via[shared].to == p.way[shared].to {
			shared++
		}
		add(t, append(reversed(via[shared:]), p.way[shared:]...))
	}
}

// limit limits a table that holds other things, too.
func (p *proposer) limit(w *Watch) {
	switch a := p.attributes; {
	case p.kind != nil && w.table == p.products:
		w.Where = p.kind.condition("")
		w.columns = append(slices.Clone(w.columns), p.kind.column.Name)
	case a != nil && w.table == a.up.from:
		w.Where = ident(a.key.Name) + " = " + literal(a.price)
		w.columns = append(slices.Clone(w.columns), a.key.Name)
	}
}

func reversed(path []edge) []edge {
	var out []edge
	for _, e := range slices.Backward(path) {
		out = append(out, e.reverse())
	}
	return out
}

var parameterName = regexp.MustCompile(`^[A-Za-z_]\w*$`)

// watch returns which products a row of a table concerns. path leads from the table to the products.
func (p *proposer) watch(t *Table, path []edge) (Watch, bool) {
	w := Watch{Table: t.sql(), table: t}
	key := p.products.Key
	if len(path) == 0 {
		w.columns = key
		if len(key) == 1 {
			w.ProductID = ident(key[0])
			return w, true
		}
		parts := make([]string, len(key))
		for i, k := range key {
			parts[i] = ident(k) + "::text"
		}
		w.ProductID = strings.Join(parts, " || '-' || ")
		return w, true
	}
	w.columns = path[0].fromColumns
	end := path[len(path)-1]
	// A reference to the products' key holds the id itself.
	holdsID := len(key) == 1 && slices.Equal(end.toColumns, key)
	if holdsID && len(path) == 1 {
		w.ProductID = ident(end.fromColumns[0])
		return w, true
	}
	for _, c := range w.columns {
		if !parameterName.MatchString(c) {
			return w, false
		}
	}
	w.Products = p.watchQuery(path, holdsID)
	return w, true
}

// watchQuery returns the query for the products that a row concerns. Tables that only pass a value on are left out.
func (p *proposer) watchQuery(path []edge, holdsID bool) string {
	first, rest := path[0], path[1:]
	// The values of the row equal columns of the table at.
	at, columns := first.to, first.toColumns
	for len(rest) > 0 && slices.Equal(rest[0].fromColumns, columns) && (len(rest) > 1 || !holdsID) {
		at, columns, rest = rest[0].to, rest[0].toColumns, rest[1:]
	}
	s := newSelection(at)
	id := ""
	for i, e := range rest {
		if i == len(rest)-1 && holdsID {
			id = s.column(e.from, e.fromColumns[0])
			break
		}
		s.join(e, false, "")
	}
	if id == "" {
		id = s.id(p.products)
	}
	for i, c := range columns {
		s.filter(s.column(at, c) + " = @" + first.fromColumns[i])
	}
	lines := append([]string{"SELECT " + id, "FROM " + at.sql() + " " + s.aliases[at]}, s.joins...)
	return strings.Join(append(lines, "WHERE "+strings.Join(s.where, " AND ")), "\n")
}
