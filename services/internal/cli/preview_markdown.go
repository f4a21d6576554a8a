package cli

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/forecast"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

const (
	// maxMarkdownPrices and maxMarkdownProducts bound the rows of the table and the products in the details.
	maxMarkdownPrices   = 100
	maxMarkdownProducts = 100
	// maxMarkdownDetails bounds the details in bytes. GitHub takes comments of 65,536 characters, and each character of
	// a text may need six here.
	maxMarkdownDetails = 24 << 10
	maxMarkdownTable   = 24 << 10
	// maxMarkdownText bounds a text in characters.
	maxMarkdownText = 160
)

// previewMarkdown writes a comment for a pull request. The held products come first.
type previewMarkdown struct {
	io.Writer

	prices   [][]string
	held     []bool
	products int
	details  bytes.Buffer
	shown    int
}

func (w *previewMarkdown) begin(*previewSummary) error { return nil }

func (w *previewMarkdown) product(p forecast.Product) error {
	w.products++
	for _, c := range p.Prices {
		if len(w.prices) >= maxMarkdownPrices && !p.IsHeld() {
			break
		}
		if len(w.prices) >= 2*maxMarkdownPrices {
			break
		}
		percent := c.Percent
		if percent != "" {
			percent += " %"
		}
		w.prices = append(w.prices, []string{
			code(p.GetProductId()), code(c.ID), c.Verb, code(c.Before), code(c.After), code(percent),
			code(strings.Join(c.Rules, ", ")),
		})
		w.held = append(w.held, len(c.Rules) > 0)
	}
	if w.shown >= maxMarkdownProducts || w.details.Len() > maxMarkdownDetails {
		return nil
	}
	w.shown++
	sayf(&w.details, "- %s %s\n", strings.TrimSpace(sign(p)), code(p.GetProductId()))
	var text bytes.Buffer
	if err := (&previewText{planPrinter: planPrinter{Writer: &text}}).product(p); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	const maxLines = 20
	for i, line := range lines[1:] {
		if i == maxLines {
			sayf(&w.details, "  - and %s\n", countOf(len(lines)-1-i, "more line", "more lines"))
			break
		}
		indent := len(line) - len(strings.TrimLeft(line, " "))
		sayf(&w.details, "%s- %s\n", strings.Repeat("  ", max(indent/4, 1)), code(strings.TrimSpace(line)))
	}
	return nil
}

// sign returns what is done to a product, in a word.
func sign(p forecast.Product) string {
	switch {
	case p.GetRefused() != "" && len(p.GetSteps()) == 0:
		return "refused"
	case p.GetRefused() != "":
		return "refused, " + productVerb(p) + " as published last"
	case p.IsHeld():
		return "**held**, " + productVerb(p)
	case len(p.GetSteps()) == 0:
		return "report"
	default:
		return productVerb(p)
	}
}

func (w *previewMarkdown) end(s *previewSummary) error {
	var out bytes.Buffer
	sayf(&out, "### Driftless: %s\n\n", code(s.Title))
	if s.Products == 0 {
		sayf(&out, "No changes in Stripe. %s compared.\n", countOf(s.After, "product", "products"))
	} else {
		sayf(&out, "**%s** of %s.\n", s.plan(), countOf(s.After, "product", "products"))
	}
	if s.Held > 0 {
		sayf(&out, "\n> The guard would hold %s until somebody approves.\n",
			countOf(s.Held, "product", "products"))
	}
	w.table(&out, s)
	if w.shown > 0 {
		sayf(&out, "\n<details><summary>%s</summary>\n\n", countOf(s.Products, "product", "products"))
		out.Write(w.details.Bytes())
		if more := w.products - w.shown; more > 0 {
			sayf(&out, "- and %s\n", countOf(more, "more product", "more products"))
		}
		out.WriteString("\n</details>\n")
	}
	if notes := s.notes(); len(notes) > 0 {
		out.WriteString("\n")
		for _, note := range notes {
			sayf(&out, "- %s\n", code(note))
		}
	}
	_, err := w.Write(out.Bytes())
	return wrapWrite(err)
}

// table writes the changes of prices, the held ones first.
func (w *previewMarkdown) table(out *bytes.Buffer, s *previewSummary) {
	if len(w.prices) == 0 {
		return
	}
	order := make([]int, len(w.prices))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case w.held[a] == w.held[b]:
			return 0
		case w.held[a]:
			return -1
		default:
			return 1
		}
	})
	out.WriteString("\n| product | price | | old | new | change | held by |\n|---|---|---|---|---|---|---|\n")
	begun, rows := out.Len(), 0
	for _, i := range order {
		if rows == maxMarkdownPrices || out.Len()-begun > maxMarkdownTable {
			break
		}
		rows++
		sayf(out, "| %s |\n", strings.Join(w.prices[i], " | "))
	}
	if more := s.Prices - rows; more > 0 {
		sayf(out, "\nand %s.\n", countOf(more, "more price", "more prices"))
	}
}

// code returns a text that Markdown shows as it is. Everything but letters, digits and spaces is a character reference,
// which has no meaning to Markdown. In code GitHub makes no links and mentions nobody.
func code(s string) string {
	if s == "" {
		return ""
	}
	runes := []rune(visible.Text(s))
	if len(runes) > maxMarkdownText {
		runes = append(runes[:maxMarkdownText:maxMarkdownText], []rune("...")...)
	}
	var b strings.Builder
	b.WriteString("<code>")
	for _, r := range runes {
		plain := r == ' ' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
		if plain {
			b.WriteRune(r)
			continue
		}
		sayf(&b, "&#%d;", r)
	}
	b.WriteString("</code>")
	return b.String()
}
