package proposal

import (
	"fmt"
	"regexp"
	"strings"
)

// lineWidth is the width of comments.
const lineWidth = 110

// renderYAML returns the configuration file.
func (p *proposer) renderYAML() string {
	var b strings.Builder
	b.WriteString("# Made by `driftless init` from the tables of database " + oneLine(p.db.Name) +
		". It is a start: read it,\n" +
		"# change it, and look at the products with `driftless preview` before anything is sent.\n" +
		"# docs/mapping.md explains the keys, and docs/fields.md has the other fields of Stripe.\n")
	if n := len(p.out.Questions); n > 0 {
		b.WriteString("#\n# The tables do not say everything. Answer these questions, and remove them:\n")
		for _, q := range p.out.Questions {
			text := "QUESTION (" + q.Kind + "): " + q.Text
			if q.Flag != "" {
				text += " Answer: " + q.Flag
				if len(q.Choices) > 0 {
					text += " " + strings.Join(q.Choices, "|")
				}
			}
			comment(&b, "", text)
		}
	}
	for _, n := range p.out.Notes {
		comment(&b, "", "Note: "+n+".")
	}
	b.WriteString("\ncatalog:\n")
	if p.usesTime {
		b.WriteString("  # Time alone changes prices, so the tables are compared often.\n  reread_every: 15m\n")
	}
	block(&b, "products", p.out.Products)
	if p.prices == nil {
		b.WriteString("  # QUESTION (prices): this query returns no prices.\n")
	}
	block(&b, "prices", p.out.Prices)
	b.WriteString("  # Each line says which products a changed row concerns.\n  watch:\n")
	for _, w := range p.out.Watch {
		where := ""
		if w.Where != "" {
			where = ", where: " + scalar(w.Where)
		}
		if w.ProductID != "" {
			fmt.Fprintf(&b, "    - {table: %s%s, product_id: %s}\n", scalar(w.Table), where, scalar(w.ProductID))
			continue
		}
		fmt.Fprintf(&b, "    - table: %s\n      products: |\n", scalar(w.Table))
		for line := range strings.SplitSeq(w.Products, "\n") {
			b.WriteString("        " + line + "\n")
		}
		if w.Where != "" {
			b.WriteString("      where: " + scalar(w.Where) + "\n")
		}
	}
	return b.String()
}

// comment writes a text as comments of limited width.
func comment(b *strings.Builder, indent, text string) {
	line := indent + "# -"
	for word := range strings.FieldsSeq(oneLine(text)) {
		if len(line)+1+len(word) > lineWidth {
			b.WriteString(line + "\n")
			line = indent + "#  "
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

// block writes a query as a block.
func block(b *strings.Builder, key, query string) {
	b.WriteString("  " + key + ": |\n")
	for line := range strings.Lines(query) {
		b.WriteString("    " + line)
	}
}

var plainScalar = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// scalar writes a text as a value of a flow mapping. Words that YAML reads as something else are quoted.
func scalar(text string) string {
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
	default:
		if plainScalar.MatchString(text) {
			return text
		}
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// oneLine keeps a text from ending a comment.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text)
}
