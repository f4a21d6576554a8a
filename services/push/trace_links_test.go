package push_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// The change's own message does not come again, as after its retry went to RETRY. The command applies the change.
func TestSyncCommand_EndsTheTraceOfTheChangeThatItCompletes(t *testing.T) {
	recorder := telemetrytest.Start(t)
	r := newRig(t)
	ctx, change := otel.Tracer("test").Start(t.Context(), "change")
	want := &catalogv1.ProductChange{
		Account:   "default",
		ProductId: "mug",
		Version:   10,
		Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product:   mug("Mug", "1400"),
	}
	require.NoError(t, r.mesh.Publish(ctx, topology.CatalogSubject("default", topology.Live, "mug"), want,
		mesh.WithVersion(10)))
	change.End()
	require.NoError(t, r.mesh.Pause(t.Context(), time.Hour, topology.PushLive))
	r.push()
	ctx, sync := otel.Tracer("test").Start(t.Context(), "ask")
	require.NoError(t, r.mesh.Publish(ctx, topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug"),
		&meshv1.Command{
			Id:      "o1",
			Account: "default",
			Verb:    &meshv1.Command_Sync{Sync: &meshv1.SyncProduct{ProductId: "mug"}},
		}))
	sync.End()
	r.applied("mug", 10)

	var ends []tracetest.SpanStub
	require.Eventually(t, func() bool {
		ends = telemetrytest.Named(recorder.Trace(change.SpanContext().TraceID()), "complete change")
		return len(ends) == 1
	}, patience, 10*time.Millisecond)
	attributes := attribute.NewSet(ends[0].Attributes...)
	outcome, _ := attributes.Value(telemetry.OutcomeKey)
	carriedBy, _ := attributes.Value(telemetry.CarriedByKey)
	require.Equal(t, telemetry.OutcomeApplied, outcome.AsString())
	require.Equal(t, sync.SpanContext().TraceID().String(), carriedBy.AsString())
	require.Len(t, ends[0].Links, 1)
	require.Equal(t, sync.SpanContext().TraceID(), ends[0].Links[0].SpanContext.TraceID())
	sent := telemetrytest.Named(recorder.Trace(change.SpanContext().TraceID()), "send catalog")
	require.Len(t, sent, 1)
	require.Equal(t, sent[0].SpanContext.SpanID(), ends[0].Parent.SpanID(), "part of the change's tree")
}
