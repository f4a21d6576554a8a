package proposal

import (
	"slices"
	"strings"
)

// nameSource says where a table's names are: in a column, or in one of a table of translations.
type nameSource struct {
	column *Column
	// translation leads to the table of translations, nil if the names are in the table itself.
	translation *edge
	language    *Column
}

// nameSource returns where the names of a table's rows are.
func (p *proposer) nameSource(t *Table) (nameSource, bool) {
	if c := nameColumn(t); c != nil {
		return nameSource{column: c}, true
	}
	for _, e := range p.graph.children(t) {
		c, language := nameColumn(e.to), languageColumn(e.to)
		if c != nil && language != nil {
			return nameSource{column: c, translation: &e, language: language}, true
		}
	}
	return nameSource{}, false
}

// proposeProducts makes the query of the products.
func (p *proposer) proposeProducts() {
	t := p.products
	s := newSelection(t)
	p.productsQuery = s
	p.findParent()
	why := "the primary key"
	if len(t.Key) > 1 {
		why += " has several columns"
	}
	s.add(s.id(t), "id", why)
	p.addName()
	owners := []*Table{t}
	if p.parent != nil {
		s.join(*p.parent, false, "")
		owners = append(owners, p.parent.to)
	}
	p.addActive(s, owners, "products")
	p.addDescription(owners)
	p.addImages(owners)
	if c := skuColumn(t); c != nil {
		s.add("jsonb_build_object("+literal(c.Name)+", "+s.column(t, c.Name)+")", "metadata", "")
	}
	if p.kind != nil {
		s.filter(p.kind.condition(s.aliases[t] + "."))
	}
	for _, owner := range owners {
		s.exclude(owner)
	}
	p.out.Products = s.String()
}

// findParent finds the table that products are variants of.
func (p *proposer) findParent() {
	t := p.products
	_, hasName := p.nameSource(t)
	if hasName && !anyOf(t.words(), variantWords...) {
		return
	}
	for _, e := range p.graph.parents(t) {
		if _, ok := p.nameSource(e.to); ok && productNouns[last(e.to.words())] > 0 {
			p.parent = &e
			p.useReference(e)
			return
		}
	}
	if hasName || !anyOf(t.words(), variantWords...) {
		return
	}
	// Variants without names have those of their only parent that has some, whatever it is called.
	var named []edge
	for _, e := range p.graph.parents(t) {
		if _, ok := p.nameSource(e.to); ok && !anyOf(e.to.words(), tenantWords...) {
			named = append(named, e)
		}
	}
	if len(named) == 1 {
		p.parent = &named[0]
		p.useReference(named[0])
	}
}

func (p *proposer) addName() {
	s, t := p.productsQuery, p.products
	own, hasOwn := p.nameSource(t)
	var above nameSource
	if p.parent != nil {
		s.join(*p.parent, false, "")
		above, _ = p.nameSource(p.parent.to)
	}
	p.askWhichName(own)
	switch {
	case p.parent != nil && hasOwn && own.translation == nil:
		s.add(p.text(p.parent.to, above)+" || ' (' || "+p.text(t, own)+" || ')'", "name",
			"the name of "+p.parent.to.sql()+", and that of the variant")
	case hasOwn:
		s.add(p.text(t, own), "name", "")
	case p.parent != nil && skuColumn(t) != nil:
		s.add(p.text(p.parent.to, above)+" || coalesce(' (' || "+s.column(t, skuColumn(t).Name)+" || ')', '')", "name",
			"")
	case p.parent != nil:
		s.add(p.text(p.parent.to, above), "name", "")
	default:
		s.add("NULL::text", "name", "QUESTION (name)")
		p.ask(Question{
			Kind: AskName,
			Text: "No column of " + t.sql() + " is called like a name. name is NULL, and Driftless refuses such " +
				"products. Write the column instead." + textsOf(t),
		})
	}
}

// askWhichName asks which name is meant if a table has several of another kind.
func (p *proposer) askWhichName(own nameSource) {
	if own.column == nil || own.translation != nil || nameScore(p.products, own.column) != otherName {
		return
	}
	var others []string
	for _, c := range p.products.Columns {
		if c != own.column && nameScore(p.products, c) == otherName {
			others = append(others, ident(c.Name))
		}
	}
	if len(others) > 0 {
		p.ask(Question{
			Kind: AskName,
			Text: p.products.sql() + " has several names. " + ident(own.column.Name) + " is taken, and not " +
				strings.Join(others, ", ") + ". Write another column if customers know products by that.",
		})
	}
}

// textsOf names the columns that may be names.
func textsOf(t *Table) string {
	var texts []string
	for _, c := range t.Columns {
		if c.isText() && !c.Sample.URLs {
			texts = append(texts, ident(c.Name))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return " Its columns with text are " + strings.Join(texts, ", ") + "."
}

// text returns a name, and joins the translation if it is one.
func (p *proposer) text(t *Table, from nameSource) string {
	s := p.productsQuery
	if from.translation == nil {
		return s.column(t, from.column.Name)
	}
	to := from.translation.to
	language := p.chooseLanguage(to, from.language)
	s.join(*from.translation, true, "%s."+ident(from.language.Name)+" = "+literal(language))
	p.useReference(*from.translation)
	return s.column(to, from.column.Name)
}

// chooseLanguage returns the language of the texts.
func (p *proposer) chooseLanguage(t *Table, c *Column) string {
	values, all := t.values(c)
	if chosen := p.answers.Language; chosen != "" {
		if all && !slices.Contains(values, chosen) {
			p.ask(Question{
				Kind: AskLanguage, Flag: "--language", Choices: values,
				Text: t.sql() + " has no texts in " + literal(chosen) + ", so products have no names, and Driftless " +
					"refuses them.",
			})
		}
		return chosen
	}
	if len(values) == 1 && all {
		p.notef("%s has texts in one language: %s", t.sql(), values[0])
		return values[0]
	}
	chosen := "en"
	if len(values) > 0 {
		chosen = values[0]
	}
	p.ask(Question{
		Kind: AskLanguage, Flag: "--language", Choices: values,
		Text: "Names have several languages. Those in " + literal(chosen) + " are taken. Products without such a " +
			"translation have no name, and Driftless refuses them.",
	})
	return chosen
}

// addActive adds whether the rows are on sale, as far as the tables say it.
func (p *proposer) addActive(s *selection, owners []*Table, query string) {
	var conditions, why []string
	for _, t := range owners {
		flags, unknown := activity(t)
		for _, f := range flags {
			conditions = append(conditions, s.flag(t, f))
			if f.why != "" {
				why = append(why, f.why)
			}
		}
		for _, c := range unknown {
			values, _ := t.values(c)
			text := t.sql() + "." + ident(c.Name) + " may say whether the " + query +
				" are on sale, and the query does " +
				"not use it"
			if len(values) > 0 {
				text += " (values: " + strings.Join(values, ", ") + ")"
			}
			p.ask(Question{Kind: AskActive, Text: text + ". Add it to active if it does."})
		}
	}
	if len(conditions) == 0 && query == "products" {
		p.askFlags(owners)
	}
	if len(conditions) > 0 {
		s.add(strings.Join(conditions, " AND "), "active", strings.Join(slices.Compact(why), "; "))
	}
}

// askFlags asks about booleans if no column says whether products are on sale.
func (p *proposer) askFlags(owners []*Table) {
	for _, t := range owners {
		var names []string
		for _, c := range unexplainedFlags(t) {
			names = append(names, ident(c.Name))
		}
		if _, unknown := activity(t); len(names) == 0 || len(unknown) > 0 {
			continue
		}
		p.ask(Question{
			Kind: AskActive,
			Text: "No column says whether the products are on sale, so all of them are. If " + t.sql() + "." +
				strings.Join(names, " or ") + " says it, add it as active.",
		})
	}
}

func (p *proposer) addDescription(owners []*Table) {
	s := p.productsQuery
	for _, t := range owners {
		c, of := descriptionColumn(t), t
		if c == nil {
			if from, ok := p.nameSource(t); ok && from.translation != nil && s.reads(from.translation.to) {
				of = from.translation.to
				c = descriptionColumn(of)
			}
		}
		if c != nil {
			s.add("nullif("+s.column(of, c.Name)+", '')", "description", "")
			return
		}
	}
}

func (p *proposer) addImages(owners []*Table) {
	for _, t := range owners {
		for _, c := range t.Columns {
			if c.isText() && c.Sample.URLs && anyOf(c.words(), "image", "photo", "picture", "thumbnail") {
				p.productsQuery.add("ARRAY["+p.productsQuery.column(t, c.Name)+"::text]", "images", "")
				return
			}
		}
	}
}

// useReference asks about a reference that has no foreign key.
func (p *proposer) useReference(e edge) {
	if !e.inferred {
		return
	}
	from := e
	if !e.up {
		from = e.reverse()
	}
	p.ask(Question{
		Kind: AskReference,
		Text: from.from.sql() + "." + ident(from.fromColumns[0]) + " is taken to refer to " + from.to.sql() + "." +
			ident(from.toColumns[0]) + " because of its name: there is no foreign key.",
	})
}
