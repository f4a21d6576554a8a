package push

import (
	"context"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

func countStep(ctx context.Context, kind catalog.StepKind, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	metrics.StripeSteps.Add(ctx, 1, metrics.Step.With(string(kind)), metrics.StepResult.With(result))
}

// actionLabels are the label values of what is done about a failure.
var actionLabels = map[stripeapi.Action]string{
	stripeapi.RetrySameKey: "retry", stripeapi.RereadFirst: "reread", stripeapi.Halt: "halt", stripeapi.Refuse: "dead",
}

func countFailure(ctx context.Context, f *plan.Failed) {
	metrics.PushFailures.Add(ctx, 1, metrics.FailureAction.With(actionLabels[f.Action]))
}

// countApplied records how long a version took from its commit until it was applied for the first time. A repair of an
// applied version does not count.
func countApplied(ctx context.Context, change *catalogv1.ProductChange) {
	committed := change.GetCommittedAt()
	if committed == nil {
		return
	}
	lane := "live"
	if budget.LaneOf(ctx) == budget.Bulk {
		lane = "bulk"
	}
	metrics.ChangeApplied.Record(ctx, time.Since(committed.AsTime()).Seconds(), metrics.Lane.With(lane))
}
