package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// About is what work is about. Where a field is not known it is empty, and makes no attribute.
type About struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	// Product is the product's id.
	Product string
	// Version of the catalog: a position in the write-ahead log.
	Version uint64
}

// attributes are those by which traces are searched for.
func (a About) attributes() []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, 3)
	if a.Product != "" {
		out = append(out, ProductIDKey.String(a.Product))
	}
	if a.Account != "" {
		out = append(out, AccountKey.String(a.Account))
	}
	if a.Version != 0 {
		out = append(out, VersionKey.Int64(int64(a.Version)))
	}
	return out
}

type aboutKey struct{}

// ContextAbout says what the work done with the returned context is about. Every span begun with it says so too, those
// of libraries included: one search for a product's id finds each of its spans.
func ContextAbout(ctx context.Context, a About) context.Context {
	return context.WithValue(ctx, aboutKey{}, a)
}

// SetAbout says of a span that has begun already what it is about.
func SetAbout(span trace.Span, a About) {
	if span.IsRecording() {
		span.SetAttributes(a.attributes()...)
	}
}
