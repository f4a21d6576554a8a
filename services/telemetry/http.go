package telemetry

import (
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// HTTPServer makes a span of every request, continuing the caller's trace. Spans are named by method and path, so
// it is for handlers whose paths are few.
func HTTPServer(next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, "", otelhttp.WithPropagators(traceContext),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }))
}

// HTTPTransport makes a span of every request and adds Stripe's request id to it. The trace is not sent along: the
// other side is a third party.
func HTTPTransport(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(requestID{base},
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return "HTTP " + r.Method }))
}

type requestID struct{ base http.RoundTripper }

func (t requestID) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // a transport passes its inner transport's error on
	}
	span := trace.SpanFromContext(r.Context())
	if id := resp.Header.Get("Request-Id"); id != "" {
		span.SetAttributes(attribute.String("stripe.request_id", id))
	}
	if why := resp.Header.Get("Stripe-Rate-Limited-Reason"); why != "" {
		span.SetAttributes(attribute.String("stripe.rate_limited_reason", why))
	}
	return resp, nil
}
