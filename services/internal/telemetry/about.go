package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// About identifies what work is about. A field that is not known is empty, and makes no attribute.
type About struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	// Product is the product's id.
	Product string
	// Version of the catalog: a position in the write-ahead log.
	Version uint64
}

// attributes returns the attributes that people search traces by.
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

// ContextAbout attaches About to a context. Every span that begins with the returned context gets its attributes, also
// the spans of libraries. So one search for a product's id finds all of its spans.
func ContextAbout(ctx context.Context, a About) context.Context {
	return context.WithValue(ctx, aboutKey{}, a)
}

// SetAbout adds the attributes of About to a span that has already begun.
func SetAbout(span trace.Span, a About) {
	if span.IsRecording() {
		span.SetAttributes(a.attributes()...)
	}
}
