package proposal

import (
	"slices"
	"strings"
)

// edge is a reference between two tables, in one of its directions.
type edge struct {
	from, to *Table
	// fromColumns equal toColumns.
	fromColumns, toColumns []string
	// up reports whether from has the foreign key, so that each row has at most one row of to.
	up bool
	// inferred reports whether the reference follows from names only.
	inferred bool
}

func (e edge) reverse() edge {
	return edge{
		from: e.to, to: e.from, fromColumns: e.toColumns, toColumns: e.fromColumns, up: !e.up, inferred: e.inferred,
	}
}

// graph has the references of a database.
type graph struct {
	db    *Database
	edges map[*Table][]edge
}

func newGraph(db *Database) *graph {
	g := &graph{db: db, edges: map[*Table][]edge{}}
	for _, t := range db.Tables {
		declared := map[string]bool{}
		for _, r := range t.References {
			to := db.table(r.Schema, r.Table)
			for _, c := range r.Columns {
				declared[c] = true
			}
			if to != nil && to != t {
				g.add(edge{from: t, to: to, fromColumns: r.Columns, toColumns: r.ToColumns, up: true})
			}
		}
		for _, c := range t.Columns {
			if to := g.inferred(t, c); to != nil && !declared[c.Name] {
				g.add(edge{
					from: t, to: to, fromColumns: []string{c.Name}, toColumns: to.Key, up: true, inferred: true,
				})
			}
		}
	}
	return g
}

func (g *graph) add(e edge) {
	g.edges[e.from] = append(g.edges[e.from], e)
	g.edges[e.to] = append(g.edges[e.to], e.reverse())
}

// inferred returns the table that a column without a foreign key refers to by its name: product_id, productId.
func (g *graph) inferred(t *Table, c *Column) *Table {
	w := c.words()
	if len(w) < 2 || slices.Contains(t.Key, c.Name) && len(t.Key) == 1 {
		return nil
	}
	phrase := strings.Join(w, " ")
	for _, to := range g.db.Tables {
		if to == t || to.Schema != t.Schema || len(to.Key) != 1 {
			continue
		}
		key := to.column(to.Key[0])
		keyWords := strings.Join(key.words(), " ")
		name := last(to.words())
		matches := phrase == name+" "+keyWords || phrase == strings.Join(to.words(), " ")+" "+keyWords ||
			phrase == keyWords && len(key.words()) > 1 && anyOf(key.words(), name)
		if matches && sameKind(key, c) {
			return to
		}
	}
	return nil
}

// sameKind reports whether values of the columns can be compared.
func sameKind(a, b *Column) bool {
	return a.Type == b.Type || a.isInteger() && b.isInteger() || a.isText() && b.isText()
}

func (db *Database) table(schema, name string) *Table {
	for _, t := range db.Tables {
		if t.Schema == schema && t.Name == name {
			return t
		}
	}
	return nil
}

// named returns the table that an operator names: with or without its schema, in any case if that is not ambiguous.
func (db *Database) named(name string) *Table {
	plain := strings.ReplaceAll(name, `"`, "")
	matches := func(fold bool) (found []*Table) {
		for _, t := range db.Tables {
			full := t.Schema + "." + t.Name
			if plain == full || plain == t.Name && t.Visible ||
				fold && (strings.EqualFold(plain, full) || strings.EqualFold(plain, t.Name)) {
				found = append(found, t)
			}
		}
		return found
	}
	for _, fold := range []bool{false, true} {
		if found := matches(fold); len(found) == 1 {
			return found[0]
		}
	}
	return nil
}

// maxCost is how far apart tables may be. A step down costs three: it may repeat rows.
const maxCost = 8

// path returns the cheapest way between two tables, nil if there is none. Tables for which skip reports true are not
// passed.
func (g *graph) path(from, to *Table, skip func(*Table) bool) []edge {
	type state struct {
		path []edge
		cost int
	}
	bestOf := map[*Table]int{from: 0}
	queue := []state{{}}
	at := func(s state) *Table {
		if len(s.path) == 0 {
			return from
		}
		return s.path[len(s.path)-1].to
	}
	var found *state
	for len(queue) > 0 {
		slices.SortStableFunc(queue, func(a, b state) int { return a.cost - b.cost })
		s := queue[0]
		queue = queue[1:]
		if at(s) == to {
			found = &s
			break
		}
		for _, e := range g.edges[at(s)] {
			cost := s.cost + 1
			if !e.up {
				cost += 2
			}
			if known, ok := bestOf[e.to]; cost > maxCost || ok && known <= cost || e.to != to && skip(e.to) {
				continue
			}
			bestOf[e.to] = cost
			queue = append(queue, state{append(slices.Clone(s.path), e), cost})
		}
	}
	if found == nil {
		return nil
	}
	return found.path
}

// children returns the references of other tables to a table.
func (g *graph) children(t *Table) []edge {
	return slices.DeleteFunc(slices.Clone(g.edges[t]), func(e edge) bool { return e.up })
}

// parents returns the references of a table to others.
func (g *graph) parents(t *Table) []edge {
	return slices.DeleteFunc(slices.Clone(g.edges[t]), func(e edge) bool { return !e.up })
}
