package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/forecast"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// GitHub takes comments of 65,536 characters. The limits below are in bytes, and leave room for the text around the
// lists.
const (
	maxMarkdownTable   = 20 << 10
	maxMarkdownDetails = 24 << 10
	maxMarkdownNotes   = 12 << 10
	// maxMarkdownItems is the maximum number of rows of the table, of products in the details, and of notes.
	maxMarkdownItems = 100
	// maxMarkdownText bounds a text of a product in characters. Each may need six bytes here.
	maxMarkdownText = 160
	// maxMarkdownNote bounds a note in characters, so that the first one always fits.
	maxMarkdownNote = 1800
	// maxMarkdownLines bounds the lines about a product.
	maxMarkdownLines = 20
)

// previewMarkdown writes a comment for a pull request. The held products come first.
type previewMarkdown struct {
	io.Writer

	prices, products markdownList
}

func newPreviewMarkdown(w io.Writer) *previewMarkdown {
	return &previewMarkdown{
		Writer:   w,
		prices:   markdownList{maxBytes: maxMarkdownTable},
		products: markdownList{maxBytes: maxMarkdownDetails},
	}
}

// markdownList collects items of bounded number and size. Those that matter most come first.
type markdownList struct {
	maxBytes      int
	first, others []string
	added         int
}

// add adds an item. The list keeps no more items of a kind than it can show.
func (l *markdownList) add(item string, first bool) {
	l.added++
	list := &l.others
	if first {
		list = &l.first
	}
	if len(*list) < maxMarkdownItems {
		*list = append(*list, item)
	}
}

// write writes the items that fit, and returns how many it left out.
func (l *markdownList) write(out *bytes.Buffer) (left int) {
	begun, written := out.Len(), 0
	for _, items := range [][]string{l.first, l.others} {
		for _, item := range items {
			if written < maxMarkdownItems && out.Len()-begun+len(item) <= l.maxBytes {
				out.WriteString(item)
				written++
			}
		}
	}
	return l.added - written
}

func (w *previewMarkdown) begin(*previewSummary) error { return nil }

func (w *previewMarkdown) product(p forecast.Product) error {
	for _, c := range p.Prices {
		percent := c.Percent
		if percent != "" {
			percent += " %"
		}
		row := []string{
			code(p.GetProductId()), code(c.ID), c.Verb, code(c.Before), code(c.After), code(percent),
			code(strings.Join(c.Rules, ", ")),
		}
		w.prices.add("| "+strings.Join(row, " | ")+" |\n", len(c.Rules) > 0)
	}
	item, err := markdownProduct(p)
	if err != nil {
		return err
	}
	w.products.add(item, p.IsHeld())
	return nil
}

// markdownProduct returns an item about a product, with a list of what is done.
func markdownProduct(p forecast.Product) (string, error) {
	var item, text bytes.Buffer
	sayf(&item, "- %s %s\n", productVerdict(p), code(p.GetProductId()))
	if err := (&previewText{planPrinter: planPrinter{Writer: &text}}).product(p); err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")[1:]
	for i, line := range lines {
		if i == maxMarkdownLines {
			sayf(&item, "  - and %s\n", countOf(len(lines)-i, "more line", "more lines"))
			break
		}
		indent := len(line) - len(strings.TrimLeft(line, " "))
		sayf(&item, "%s- %s\n", strings.Repeat("  ", max(indent/4, 1)), code(strings.TrimSpace(line)))
	}
	return item.String(), nil
}

// productVerdict says what becomes of a product.
func productVerdict(p forecast.Product) string {
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
	if w.prices.added > 0 {
		out.WriteString(
			"\n| product | price | | old | new | change | held by |\n|---|---|---|---|---|---|---|\n")
		if left := w.prices.write(&out); left > 0 {
			sayf(&out, "\nand %s.\n", countOf(left, "more price", "more prices"))
		}
	}
	if w.products.added > 0 {
		sayf(&out, "\n<details><summary>%s</summary>\n\n", countOf(s.Products, "product", "products"))
		if left := w.products.write(&out); left > 0 {
			sayf(&out, "- and %s\n", countOf(left, "more product", "more products"))
		}
		out.WriteString("\n</details>\n")
	}
	markdownNotes(&out, s)
	_, err := w.Write(out.Bytes())
	return wrapWrite(err)
}

// markdownNotes writes the sentences below the summary. Why something is unknown is never left out.
func markdownNotes(out *bytes.Buffer, s *previewSummary) {
	notes := markdownList{maxBytes: maxMarkdownNotes}
	for _, note := range s.notes() {
		notes.add("- "+codeUpTo(note, maxMarkdownNote)+"\n", note == s.unknownNote())
	}
	if notes.added == 0 {
		return
	}
	out.WriteString("\n")
	if left := notes.write(out); left > 0 {
		sayf(out, "- and %s: -o json has all\n", countOf(left, "more note", "more notes"))
	}
}

// code returns a text that Markdown shows as it is. A long one is cut.
func code(s string) string { return codeUpTo(s, maxMarkdownText) }

// codeUpTo is code for texts of another length in characters.
func codeUpTo(s string, most int) string {
	runes := []rune(visible.Text(s))
	if len(runes) > most {
		runes = append(runes[:most:most], []rune("...")...)
	}
	return codeWhole(string(runes))
}

// codeWhole returns a text that Markdown shows as it is. Everything but letters, digits and spaces is a character
// reference, which has no meaning to Markdown. In code GitHub makes no links and mentions nobody.
func codeWhole(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString("<code>")
	for _, r := range s {
		plain := r == ' ' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
		if plain {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "&#%d;", r)
	}
	b.WriteString("</code>")
	return b.String()
}
