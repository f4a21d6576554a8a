package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/forecast"
)

// previewed returns a product that a preview found. Each character of its texts needs six bytes in Markdown.
func previewed(id string, textLength int, held bool) forecast.Product {
	long := strings.Repeat("|", textLength)
	p := forecast.Product{
		ProductPlan: &controlv1.ProductPlan{
			ProductId: id,
			Refused:   strings.Repeat(long+"\n", 2),
			Changes:   []*controlv1.PlannedChange{{Verb: "update", Before: long, After: long}},
		},
		Prices: []forecast.PriceChange{{ID: id + "-eur", Verb: "replace", Before: long, After: long}},
	}
	if held {
		p.Refused, p.Hold = "", &catalogv1.Hold{Findings: []*catalogv1.Finding{{Rule: "zero_amount", Message: long}}}
		p.Prices[0].Rules = []string{"zero_amount"}
	}
	return p
}

func markdownOf(t *testing.T, s *previewSummary, products ...forecast.Product) string {
	t.Helper()
	var out bytes.Buffer
	w := newPreviewMarkdown(&out)
	require.NoError(t, w.begin(s))
	for _, p := range products {
		require.NoError(t, w.product(p))
		s.add(p)
	}
	require.NoError(t, w.end(s))
	return out.String()
}

func TestPreviewMarkdown_ShowsHeldProductsFirst(t *testing.T) {
	t.Parallel()
	var products []forecast.Product
	for i := range 2 * maxMarkdownItems {
		products = append(products, previewed(fmt.Sprint("p", i), 1, false))
	}
	products = append(products, previewed("last", 1, true))
	out := markdownOf(t, &previewSummary{Title: "a.sql"}, products...)
	table, details, _ := strings.Cut(out, "<details>")
	for _, part := range []string{table, details} {
		held, other := strings.Index(part, "<code>last</code>"), strings.Index(part, "<code>p0</code>")
		require.Positive(t, held, part)
		require.Less(t, held, other, part)
	}
	require.Contains(t, table, "and 101 more prices.")
	require.Contains(t, details, "- and 101 more products\n")
}

// GitHub refuses a longer comment.
func TestPreviewMarkdown_FitsIntoAComment(t *testing.T) {
	t.Parallel()
	s := &previewSummary{Title: strings.Repeat("|", 500), Unknown: "nobody knows"}
	for i := range 200 {
		s.Unseen = append(s.Unseen, strings.Repeat("|", 300)+fmt.Sprint(i))
	}
	var products []forecast.Product
	for i := range 300 {
		products = append(products, previewed(fmt.Sprint("p", i), 500, i%2 == 1))
	}
	out := markdownOf(t, s, products...)
	require.Less(t, len(out), 65536)
	require.Contains(t, out, "more prices")
	require.Contains(t, out, "more products")
	require.Contains(t, out, "more notes")
	require.Contains(t, out, "nobody knows")
	require.Contains(t, out, "</details>")
}

func TestPreviewMarkdown_ShowsWholeNotes(t *testing.T) {
	t.Parallel()
	note := strings.Repeat("x", 3*maxMarkdownText)
	out := markdownOf(t, &previewSummary{Title: "a.sql", Unseen: []string{note}})
	require.Contains(t, out, "Not seen&#58; "+note)

	unknown := strings.Repeat(";", 10*maxMarkdownNotes)
	out = markdownOf(t, &previewSummary{Title: "a.sql", Unknown: unknown})
	require.Contains(t, out, "unknown whether Stripe still holds this&#58; &#59;", "a longer one is cut, not left out")
	require.Less(t, len(out), 2*maxMarkdownNotes)
}
