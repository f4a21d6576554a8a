package mesh_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// The first delivery fails, so it has a span; the second succeeds, so it has none.
func TestConsume_QuietDeliveryHasASpanOnlyIfItFails(t *testing.T) {
	recorder := telemetrytest.Start(t)
	m := meshtest.Start(t)
	sent, span := otel.Tracer("test").Start(t.Context(), "sent")
	require.NoError(t, m.Publish(sent, topology.CatalogSubject("default", topology.Live, "mug"),
		&catalogv1.ProductChange{Account: "default", ProductId: "mug", Version: 1}, mesh.WithVersion(1)))
	span.End()
	ctx, stop := context.WithCancel(t.Context())
	done, deliveries := make(chan error), make(chan trace.SpanContext, 2)
	go func() {
		done <- mesh.Consume(ctx, m, mesh.Worker{
			Service:  topology.Push,
			Consumer: topology.PushLive,
			IsQuiet:  func(string) bool { return true },
		}, func(ctx context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
			deliveries <- trace.SpanContextFromContext(ctx)
			if msg.Attempt == 1 {
				return mesh.RetryIn(time.Millisecond, errors.New("broken"))
			}
			return mesh.Ack()
		})
	}()
	<-deliveries
	second := <-deliveries
	stop()
	require.NoError(t, <-done)
	spans := recorder.Trace(span.SpanContext().TraceID())
	publishes := telemetrytest.Named(spans, "send catalog")
	require.Len(t, publishes, 1)
	require.Equal(t, publishes[0].SpanContext.SpanID(), second.SpanID(), "the handler continues the sender's span")
	processed := telemetrytest.Named(spans, "process catalog")
	require.Len(t, processed, 1)
	require.Equal(t, publishes[0].SpanContext.SpanID(), processed[0].Parent.SpanID())
	require.Equal(t, codes.Error, processed[0].Status.Code)
	require.Contains(t, processed[0].Attributes, telemetry.OutcomeKey.String(telemetry.OutcomeRetry))
	require.Equal(t, "process catalog.{account}.{lane}.{product}", processed[0].Name)
	for _, key := range []string{
		"messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name",
		"messaging.destination.template", "messaging.nats.stream", "server.address", "server.port", "error.type",
	} {
		found := false
		for _, a := range processed[0].Attributes {
			found = found || string(a.Key) == key
		}
		require.True(t, found, key)
	}
}
