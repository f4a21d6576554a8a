package reconciliation

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// isBookkeeping reports whether a message only tells the ledger what other services have done. Their spans tell it as
// well, so the ledger's are left out. The spans that stay say that the ledger has the end of a story: an outcome, or a
// dead letter.
func isBookkeeping(subject string) bool {
	kind, rest := topology.SplitSubject(subject)
	if kind != "sync" {
		return kind != "dead"
	}
	_, outcome, _ := strings.Cut(rest, ".")
	return strings.HasPrefix(outcome, topology.OutcomeName(meshv1.OutcomeKind_OUTCOME_KIND_CONFIRMED)+".")
}

// startDriftSpan starts the span of work on a product's drift. It is always sampled. It begins a trace of its own, with
// links to the spans that it follows from, as traceparents: those may not be sampled.
func (r *reconciler) startDriftSpan(ctx context.Context, name string, p *ledger.Product, drift []*ledger.Drift,
	from ...string,
) (context.Context, trace.Span) {
	options := []trace.SpanStartOption{trace.WithAttributes(driftAttributes(drift)...)}
	slices.Sort(from)
	for _, traceparent := range slices.Compact(from) {
		span := trace.SpanContextFromContext(telemetry.ContextWithTraceparent(context.Background(), traceparent))
		if span.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: span}))
		}
	}
	ctx = telemetry.ContextAbout(ctx, telemetry.About{
		Account: r.Account,
		Product: p.ID,
		Version: p.Desired.GetVersion(),
	})
	return otel.Tracer(tracerName).Start(ctx, name, options...) //nolint:spancheck // the caller ends it
}

// driftAttributes says what drifted, and why.
func driftAttributes(drift []*ledger.Drift) []attribute.KeyValue {
	var kinds, fields, causes, events []string
	for _, d := range drift {
		kinds, causes = append(kinds, string(d.Kind)), append(causes, d.CausedBy)
		if d.Field != "" {
			fields = append(fields, d.Field)
		}
		if d.EventID != "" {
			events = append(events, d.EventID)
		}
	}
	distinct := func(s []string) []string {
		slices.Sort(s)
		return slices.Compact(s)
	}
	out := []attribute.KeyValue{
		telemetry.OutcomeKey.String(telemetry.OutcomeDrifted),
		telemetry.DriftKindsKey.StringSlice(distinct(kinds)), telemetry.DriftFieldsKey.StringSlice(distinct(fields)),
		telemetry.DriftCausesKey.StringSlice(distinct(causes)),
	}
	if len(events) > 0 {
		out = append(out, telemetry.StripeEventIDKey.String(events[len(events)-1]))
	}
	return out
}
