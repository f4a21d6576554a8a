package proposal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// selection is a query under construction.
type selection struct {
	root    *Table
	aliases map[*Table]string
	joins   []string
	// via are the references from root to each joined table.
	via   map[*Table][]edge
	order []*Table
	where []string
	items []item
}

// item is a column of the result.
type item struct{ expression, name, why string }

// taken are words of two letters that cannot be aliases.
var taken = strings.Fields("as at by do go if in is no of on or to")

func newSelection(root *Table) *selection {
	s := &selection{root: root, aliases: map[*Table]string{}, via: map[*Table][]edge{root: {}}}
	s.name(root)
	return s
}

// name gives a table an alias of its initials.
func (s *selection) name(t *Table) {
	var letters []byte
	for _, w := range t.words() {
		if w[0] >= 'a' && w[0] <= 'z' {
			letters = append(letters, w[0])
		}
	}
	initials := cmp.Or(string(letters), "t")
	isTaken := func(alias string) bool {
		if slices.Contains(taken, alias) || slices.Contains(reserved, alias) {
			return true
		}
		for _, a := range s.aliases {
			if a == alias {
				return true
			}
		}
		return false
	}
	alias := initials
	for n := 2; isTaken(alias); n++ {
		alias = fmt.Sprintf("%s%d", initials, n)
	}
	s.aliases[t] = alias
	s.order = append(s.order, t)
}

// reads reports whether the query reads a table. A nil selection reads none.
func (s *selection) reads(t *Table) bool { return s != nil && s.aliases[t] != "" }

// join joins a table, unless it is joined already. extra is a further condition with %s for the alias.
func (s *selection) join(e edge, isLeft bool, extra string) {
	if s.aliases[e.to] != "" {
		return
	}
	s.name(e.to)
	s.via[e.to] = append(slices.Clone(s.via[e.from]), e)
	var on []string
	for i := range e.fromColumns {
		on = append(on, s.column(e.to, e.toColumns[i])+" = "+s.column(e.from, e.fromColumns[i]))
	}
	if extra != "" {
		on = append(on, fmt.Sprintf(extra, s.aliases[e.to]))
	}
	kind := "JOIN "
	if isLeft {
		kind = "LEFT JOIN "
	}
	s.joins = append(s.joins, kind+e.to.sql()+" "+s.aliases[e.to]+" ON "+strings.Join(on, " AND "))
}

func (s *selection) column(t *Table, name string) string { return s.aliases[t] + "." + ident(name) }

// flag returns a condition of a table's columns.
func (s *selection) flag(t *Table, f flag) string {
	return strings.ReplaceAll(f.sql, "%s", s.aliases[t])
}

// exclude leaves out rows that are deleted.
func (s *selection) exclude(t *Table) {
	for _, f := range []*flag{softDeletion(t), goneStatus(t)} {
		if f != nil {
			s.filter(s.flag(t, *f))
		}
	}
}

func (s *selection) filter(condition string) {
	if !slices.Contains(s.where, condition) {
		s.where = append(s.where, condition)
	}
}

func (s *selection) add(expression, name, why string) {
	s.items = append(s.items, item{expression, name, why})
}

// String returns the query, with comments.
func (s *selection) String() string {
	var b strings.Builder
	b.WriteString("SELECT\n")
	for i, it := range s.items {
		b.WriteString("  " + it.expression)
		if !strings.HasSuffix(it.expression, "."+it.name) {
			b.WriteString(" AS " + it.name)
		}
		if i < len(s.items)-1 {
			b.WriteString(",")
		}
		if it.why != "" {
			b.WriteString(" -- " + oneLine(it.why))
		}
		b.WriteString("\n")
	}
	b.WriteString("FROM " + s.root.sql() + " " + s.aliases[s.root] + "\n")
	for _, j := range s.joins {
		b.WriteString(j + "\n")
	}
	if len(s.where) > 0 {
		b.WriteString("WHERE " + strings.Join(s.where, "\n  AND ") + "\n")
	}
	return b.String()
}

// id returns the id of a table's rows.
func (s *selection) id(t *Table) string {
	if len(t.Key) == 1 {
		return s.column(t, t.Key[0])
	}
	parts := make([]string, len(t.Key))
	for i, k := range t.Key {
		parts[i] = s.column(t, k) + "::text"
	}
	return strings.Join(parts, " || '-' || ")
}
