package reconciliation

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel"
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

// startDriftSpan starts the span of work on a product's drift. It is always sampled.
func (r *reconciler) startDriftSpan(ctx context.Context, name string, p *ledger.Product) (context.Context, trace.Span) {
	ctx = telemetry.ContextAbout(ctx, telemetry.About{
		Account: r.Account,
		Product: p.ID,
		Version: p.Desired.GetVersion(),
	})
	return otel.Tracer(tracerName).Start(ctx, name, trace.WithAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeDrifted))) //nolint:spancheck // the caller ends it
}
