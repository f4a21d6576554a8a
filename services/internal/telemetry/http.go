package telemetry

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// HTTPServer creates a span for every request, in the caller's trace. The span's name has the method and path, so it is
// for handlers with few paths.
func HTTPServer(next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, "", otelhttp.WithPropagators(traceContext),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }))
}

type endpointKey struct{}

// ContextWithEndpoint sets the span name of the requests made with the returned context: their method and path, with
// {id} in place of ids ("POST /v1/products/{id}").
func ContextWithEndpoint(ctx context.Context, endpoint string) context.Context {
	return context.WithValue(ctx, endpointKey{}, endpoint)
}

// HTTPTransport creates a span for every request and adds Stripe's request id to it. It does not propagate the trace:
// the receiver is a third party.
func HTTPTransport(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(requestID{base},
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			if endpoint, ok := r.Context().Value(endpointKey{}).(string); ok {
				return endpoint
			}
			return r.Method
		}))
}

type requestID struct{ base http.RoundTripper }

func (t requestID) RoundTrip(r *http.Request) (*http.Response, error) {
	span := trace.SpanFromContext(r.Context())
	if endpoint, ok := r.Context().Value(endpointKey{}).(string); ok && span.IsRecording() {
		_, path, _ := strings.Cut(endpoint, " ")
		span.SetAttributes(semconv.URLTemplate(path))
	}
	resp, err := t.base.RoundTrip(r)
	if err != nil || !span.IsRecording() {
		return resp, err
	}
	if id := resp.Header.Get("Request-Id"); id != "" {
		span.SetAttributes(StripeRequestIDKey.String(id))
	}
	if why := resp.Header.Get("Stripe-Rate-Limited-Reason"); why != "" {
		span.SetAttributes(StripeRateLimitedKey.String(why))
	}
	return resp, nil
}
