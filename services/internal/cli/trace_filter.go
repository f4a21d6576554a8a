package cli

import (
	"io"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/jaeger"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// spanFilter says which spans of a trace are drawn.
type spanFilter struct {
	// product, if set, leaves out spans about other products.
	product string
	// bookkeeping draws also the spans that only carry and record what others did.
	bookkeeping bool
}

// hides reports whether a span is left out. A failure is always drawn, unless it is another product's.
func (f spanFilter) hides(s *jaeger.Span) bool {
	return f.isForeign(s) || !f.bookkeeping && s.Error() == "" && isBookkeeping(s)
}

// isForeign reports whether a span is about another product.
func (f spanFilter) isForeign(s *jaeger.Span) bool {
	id := s.Attributes[string(telemetry.ProductIDKey)]
	return f.product != "" && id != "" && id != f.product
}

// isBookkeeping reports whether a span carries or records what another span says.
func isBookkeeping(s *jaeger.Span) bool {
	switch name := shortName(s); name {
	case "send sync", "send stripe", "send dead", "write ledger", "process observed", "process sync", "process dead":
		return true
	case "process catalog", "process stripe":
		// Earlier releases had spans of the ledger for these.
		return s.Service == "driftless-reconciliation"
	default:
		return strings.HasPrefix(name, "queue ")
	}
}

// leftOut counts what a filter leaves out.
type leftOut struct {
	bookkeeping, foreign int
	products             map[string]bool
}

func (l *leftOut) count(f spanFilter, s *jaeger.Span) {
	switch {
	case f.isForeign(s):
		l.foreign++
		l.products[s.Attributes[string(telemetry.ProductIDKey)]] = true
	case f.hides(s):
		l.bookkeeping++
	}
}

// print says what was left out, so that nobody takes the drawing for the whole trace.
func (l *leftOut) print(w io.Writer) {
	if l.bookkeeping > 0 {
		sayf(w, "(%s of bookkeeping left out: --all draws them)\n", countOf(l.bookkeeping, "span", "spans"))
	}
	if l.foreign > 0 {
		sayf(w, "(%s about %s left out: --trace-id draws them)\n", countOf(l.foreign, "span", "spans"),
			countOf(len(l.products), "other product", "other products"))
	}
}
