package ingestion_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// insertProducts adds n products in one transaction that continues the trace of a new span, and returns that span once
// the products are captured.
func (r *rig) insertProducts(prefix string, n int) trace.SpanContext {
	r.t.Helper()
	ctx, span := otel.Tracer("shop").Start(r.t.Context(), "save")
	defer span.End()
	tx, err := r.pool.Begin(ctx)
	require.NoError(r.t, err)
	_, err = tx.Exec(ctx, `SELECT pg_logical_emit_message(true, 'traceparent', $1)`, telemetry.Traceparent(ctx))
	require.NoError(r.t, err)
	_, err = tx.Exec(ctx, `INSERT INTO driftless.products (id, name) SELECT $1 || n, 'P' FROM generate_series(1, $2) n`,
		prefix, n)
	require.NoError(r.t, err)
	require.NoError(r.t, tx.Commit(ctx))
	r.waitCaptured()
	return span.SpanContext()
}

func has(s tracetest.SpanStub, want attribute.KeyValue) bool {
	return slices.Contains(s.Attributes, want)
}

// spansAbout returns the ended spans with a name about a product.
func spansAbout(recorder *telemetrytest.Recorder, name, product string) (out []tracetest.SpanStub) {
	for _, s := range telemetrytest.Named(recorder.Spans(), name) {
		if has(s, telemetry.ProductIDKey.String(product)) {
			out = append(out, s)
		}
	}
	return out
}

func TestTraces_OfATransaction(t *testing.T) {
	recorder := telemetrytest.Start(t)
	r := newRig(t)
	r.start()

	t.Run("few products share its trace", func(t *testing.T) {
		saved := r.insertProducts("few", 20)
		r.eventually("the spans", func() bool {
			return len(telemetrytest.Named(recorder.Trace(saved.TraceID()), "send catalog")) == 20
		})
		_, err := telemetrytest.Tree(recorder.Trace(saved.TraceID()), trace.SpanID{})
		require.NoError(t, err)
	})

	t.Run("many products have one each", func(t *testing.T) {
		saved := r.insertProducts("many", 21)
		seen := map[trace.TraceID]bool{saved.TraceID(): true}
		for i := range 21 {
			id := fmt.Sprintf("many%d", i+1)
			var sent []tracetest.SpanStub
			r.eventually("the spans of "+id, func() bool {
				sent = spansAbout(recorder, "send catalog", id)
				return len(sent) == 1 && len(spansAbout(recorder, "capture", id)) == 1
			})
			capture := spansAbout(recorder, "capture", id)[0]
			require.Equal(t, capture.SpanContext.SpanID(), sent[0].Parent.SpanID())
			require.False(t, capture.Parent.IsValid(), "a root")
			require.False(t, seen[capture.SpanContext.TraceID()], "a trace of its own")
			seen[capture.SpanContext.TraceID()] = true
			require.Len(t, capture.Links, 1)
			require.Equal(t, saved.TraceID(), capture.Links[0].SpanContext.TraceID(), "linked to the transaction's")
		}
		captures := telemetrytest.Named(recorder.Trace(saved.TraceID()), "capture")
		require.Len(t, captures, 1)
		require.True(t, has(captures[0], telemetry.ProductCountKey.Int(21)))
		require.Empty(t, telemetrytest.Named(recorder.Trace(saved.TraceID()), "send catalog"))
	})

	t.Run("a product that Stripe would refuse", func(t *testing.T) {
		r.exec(`INSERT INTO driftless.products (id, name) VALUES ('bad', 'Bad')`)
		r.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('bad-eur', 'bad', 'eur', -5)`)
		var letter *meshv1.DeadLetter
		r.eventually("the letter", func() bool { letter = r.dead("bad"); return letter != nil })
		id := trace.SpanContextFromContext(telemetry.ContextWithTraceparent(t.Context(),
			letter.GetTraceparent())).TraceID()
		r.eventually("the spans", func() bool {
			_, err := telemetrytest.Tree(recorder.Trace(id), trace.SpanID{})
			return err == nil
		})
		refused := telemetrytest.Named(recorder.Trace(id), "refuse product")
		require.Len(t, refused, 1)
		require.Equal(t, codes.Error, refused[0].Status.Code)
		require.Equal(t, letter.GetMessage(), refused[0].Status.Description)
		require.True(t, has(refused[0], telemetry.OutcomeKey.String(telemetry.OutcomeDead)))
		require.True(t, has(refused[0], telemetry.DeadReasonKey.String(topology.ReasonInvalidProduct)))
		require.True(t, has(refused[0], telemetry.ProductIDKey.String("bad")))
	})
}

func TestTraces_OfACommandThatRereadsManyProducts(t *testing.T) {
	recorder := telemetrytest.Start(t)
	r := newRig(t)
	// Each read differs from the one before, so a reread always publishes.
	r.ownTables(`SELECT id, name || ' ' || extract(epoch FROM clock_timestamp()) AS name FROM items`)
	r.exec(`INSERT INTO items SELECT 'p' || n, 'P' FROM generate_series(1, 21) n`)
	r.start()
	r.waitCapturedAfter(time.Now())
	ids := make([]string, 21)
	for i := range ids {
		ids[i] = fmt.Sprintf("p%d", i+1)
	}
	ctx, span := otel.Tracer("test").Start(t.Context(), "ask")
	require.NoError(t, r.mesh.RequestReread(ctx, "default", "again", "test", ids, false))
	span.End()
	r.waitCommands()
	for _, id := range ids {
		r.eventually("the reread of "+id, func() bool { return len(spansAbout(recorder, "reread product", id)) == 1 })
		reread := spansAbout(recorder, "reread product", id)[0]
		require.Len(t, reread.Links, 1)
		require.Equal(t, span.SpanContext().TraceID(), reread.Links[0].SpanContext.TraceID())
		require.Len(t, telemetrytest.Named(recorder.Trace(reread.SpanContext.TraceID()), "send catalog"), 1)
	}
}
