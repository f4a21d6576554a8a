package ingestion

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// writeBack writes Stripe's values to the operator's tables, unless the catalog has changed since that was decided. Any
// replica may do it, because the decision rests on CATALOG and on the tables.
func (in *ingester) writeBack(ctx context.Context, command *meshv1.Command, request *meshv1.WriteBack) mesh.Verdict {
	id := request.GetProductId()
	if id == "" || request.GetProduct().GetId() != id {
		return mesh.Dead(&meshv1.DeadLetter{
			Account: in.account, ProductId: id, Version: request.GetVersion(), Reason: topology.ReasonUndecodable,
			Message: fmt.Sprintf("the command to write back product %q has product %q", id,
				request.GetProduct().GetId()),
		})
	}
	ctx = telemetry.ContextAbout(ctx, telemetry.About{Account: in.account, Product: id, Version: request.GetVersion()})
	ctx, span := otel.Tracer(tracerName).Start(ctx, "write back",
		trace.WithAttributes(telemetry.FieldsKey.StringSlice(request.GetFields())))
	defer span.End()

	latest, err := in.stores.Desired().Latest(ctx, in.account, id)
	if err != nil {
		return mesh.Retry(err)
	}
	result := writeback.Superseded
	if latest.GetVersion() == request.GetVersion() {
		result, err = in.writer().Write(ctx, writeback.Command{
			ProductID: id, Base: latest.GetProduct(), Desired: request.GetProduct(), Fields: request.GetFields(),
			Import: request.GetImport(), Actor: command.GetIssuer(),
		})
	}
	if failure, ok := errors.AsType[*writeback.Failure](err); ok {
		telemetry.Fail(span, err)
		span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeDead))
		metrics.WriteBacks.Add(ctx, 1, metrics.WriteBackResult.With("failed"))
		return mesh.Dead(&meshv1.DeadLetter{
			Account: in.account, ProductId: id, Version: request.GetVersion(), Reason: topology.ReasonWriteBackFailed,
			Field: failure.Field, Message: failure.Message,
		})
	}
	if err != nil {
		telemetry.Fail(span, err)
		span.SetAttributes(telemetry.OutcomeKey.String(telemetry.OutcomeRetry))
		return mesh.Retry(err)
	}
	var outcome, message string
	switch result {
	case writeback.Written:
		outcome, message = telemetry.OutcomeWrittenBack, "wrote a product back to the catalog"
	case writeback.Done:
		outcome, message = telemetry.OutcomeUnchanged, "skipped a write-back: the product already has the values"
	case writeback.Superseded:
		outcome, message = telemetry.OutcomeSuperseded,
			"skipped a write-back: the catalog changed the product after the decision"
	}
	span.SetAttributes(telemetry.OutcomeKey.String(outcome))
	metrics.WriteBacks.Add(ctx, 1, metrics.WriteBackResult.With(string(result)))
	in.logger.InfoContext(ctx, message, //nolint:sloglint // one of the three above
		"product", id, "fields", request.GetFields(), "import", request.GetImport(), "version", request.GetVersion(),
		"issuer", command.GetIssuer(), "reason", command.GetReason())
	return mesh.Ack()
}
