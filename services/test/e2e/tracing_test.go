package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// of returns a span's attribute as text, "" if it has none with this name.
func of(s tracetest.SpanStub, key attribute.Key) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

// tracesOf groups the spans of the traces that have a span about a product.
func tracesOf(recorder *telemetrytest.Recorder, product string) map[trace.TraceID][]tracetest.SpanStub {
	all, ours := map[trace.TraceID][]tracetest.SpanStub{}, map[trace.TraceID][]tracetest.SpanStub{}
	for _, s := range recorder.Spans() {
		all[s.SpanContext.TraceID()] = append(all[s.SpanContext.TraceID()], s)
	}
	for id, spans := range all {
		for _, s := range spans {
			if of(s, telemetry.ProductIDKey) == product {
				ours[id] = spans
			}
		}
	}
	return ours
}

// The test makes more edits than CATALOG keeps while push is stopped, so most of their messages are never delivered.
func TestTracing_BurstLinksEachTrace(t *testing.T) {
	recorder := telemetrytest.Start(t)
	r := newRig(t, unlimited)
	r.upsert(&catalogv1.Product{Id: "mug", Name: "Mug"})
	r.waitConverged()
	r.stop(topology.Push)
	const edits = 100
	for i := range edits {
		r.exec(`UPDATE driftless.products SET name = $1 WHERE id = 'mug'`, fmt.Sprintf("Edition %d", i))
	}
	r.start(topology.Push)
	r.waitConverged()
	// A message is acknowledged slightly before its span ends.
	r.stop(topology.Push)

	traces := tracesOf(recorder, "mug")
	captures, carried := 0, 0
	for id, spans := range traces {
		if len(telemetrytest.Named(spans, "capture")) == 0 {
			continue
		}
		captures++
		// The test follows the links from trace to trace, up to one in which a pass has applied something.
		at, hops := id, 0
		for ; hops <= edits; hops++ {
			applied, next := false, ""
			for _, s := range traces[at] {
				// An edit may be read and synced together with the one before it. Its own pass then finds that when it
				// claims.
				applied = applied ||
					(s.Name == "sync product" || s.Name == "claim product") &&
						of(s, telemetry.OutcomeKey) == telemetry.OutcomeApplied
				if by := of(s, telemetry.CarriedByKey); by != "" {
					next = by
					linked := false
					for _, l := range s.Links {
						linked = linked || l.SpanContext.TraceID().String() == by
					}
					require.True(t, linked, "the attribute is for searching; Jaeger follows the link")
				}
			}
			if applied {
				break
			}
			require.NotEmpty(t, next, "trace %s ends without a word", at)
			var err error
			at, err = trace.TraceIDFromHex(next)
			require.NoError(t, err)
		}
		require.LessOrEqual(t, hops, edits, "trace %s leads in a circle", id)
		if hops > 0 {
			carried++
		}
	}
	require.GreaterOrEqual(t, captures, edits+1)
	require.Greater(t, carried, edits/2, "most were carried by others")
	links := 0
	for _, spans := range traces {
		for _, s := range telemetrytest.Named(spans, "sync product") {
			links = max(links, len(s.Links))
		}
	}
	require.Positive(t, links, "the pass links to the changes that it applied")
	require.LessOrEqual(t, links, 32)
}

// The test also checks that the spans contain no secret.
func TestTracing_ThroughRetryDeadLetterAndReplay(t *testing.T) {
	recorder := telemetrytest.Start(t)
	r := newRig(t, unlimited)
	// The product in Stripe has the maximum of metadata.
	params := &stripe.ProductParams{ID: stripe.String("full"), Name: stripe.String("Full")}
	for i := range 49 {
		params.AddMetadata(fmt.Sprintf("theirs%d", i), "v")
	}
	_, err := r.stripe.Products.New(params)
	require.NoError(t, err)
	_, err = r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind:   stripesim.FaultErrorBefore,
		Method: "POST",
		Object: "full",
		Count:  1,
	})
	require.NoError(t, err)
	r.upsert(&catalogv1.Product{
		Id:          "full",
		Name:        "Full",
		Description: "Verbatim-Description",
		Metadata:    map[string]string{"a": "Verbatim-Metadata", "b": "2"},
	})
	letters := func() []*controlv1.DeadLetterDetail {
		resp, err := r.control.GetDeadLetters(t.Context(),
			connect.NewRequest(&controlv1.GetDeadLettersRequest{ProductId: "full"}))
		require.NoError(t, err)
		return resp.Msg.GetDeadLetters()
	}
	require.Eventually(t, func() bool { return len(letters()) == 1 }, patience, tick)
	id := trace.SpanContextFromContext(telemetry.ContextWithTraceparent(t.Context(),
		letters()[0].GetDeadLetter().GetTraceparent())).TraceID()

	update := &stripe.ProductParams{}
	update.AddMetadata("theirs0", "")
	_, err = r.stripe.Products.Update("full", update)
	require.NoError(t, err)
	_, err = r.control.ReplayDeadLetters(t.Context(), connect.NewRequest(&controlv1.ReplayDeadLettersRequest{
		Selection: &controlv1.DeadLetterSelection{ProductIds: []string{"full"}},
	}))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(letters()) == 0 }, patience, tick)
	r.waitConverged()

	spans := recorder.Trace(id)
	tree, err := telemetrytest.Tree(spans, trace.SpanID{})
	require.NoError(t, err)
	t.Log("\n" + tree)
	retried := false
	for _, s := range telemetrytest.Named(spans, "process catalog") {
		retried = retried ||
			s.Status.Code == codes.Error && of(s, telemetry.RetryDelayKey) != "" &&
				of(s, telemetry.OutcomeKey) == telemetry.OutcomeRetry
	}
	require.True(t, retried, "a failed attempt has the time of the next one")
	for _, name := range []string{
		"capture", "send dead", "process dead", "replay dead letter", "send command",
		"process command", "POST /stripe/webhook",
	} {
		require.NotEmpty(t, telemetrytest.Named(spans, name), name)
	}
	require.NotEmpty(t, telemetrytest.Named(spans, "replay dead letter")[0].Links, "the operator's request is linked")
	for _, s := range spans {
		if s.Name != "read products" && !strings.Contains(s.Name, "IngestService") {
			require.Equal(t, "full", of(s, telemetry.ProductIDKey), s.Name)
			require.Equal(t, "default", of(s, telemetry.AccountKey), s.Name)
		}
	}

	t.Run("an edit in the dashboard", func(t *testing.T) { requireLinkedDrift(t, r, recorder) })

	// Spans must not contain keys, secrets, passwords or bodies.
	for _, s := range recorder.Spans() {
		said := fmt.Sprintf("%s %v %v %v %v %v", s.Name, s.Attributes, s.Events, s.Status, s.Links, s.Resource)
		for _, secret := range []string{
			key, secret, r.database, "Verbatim-Description", "Verbatim-Metadata",
			"Bearer ",
		} {
			require.NotContains(t, said, secret, s.Name)
		}
	}
}

// requireLinkedDrift edits a product in Stripe. The edit, the drift and the repair are three traces, with links from
// each to the one before.
func requireLinkedDrift(t *testing.T, r *rig, recorder *telemetrytest.Recorder) {
	t.Helper()
	require.NoError(t, r.admin.EditProduct(t.Context(), "full", map[string][]string{"name": {"By hand"}}))
	// The product may have drifted before: its dead letter left fields apart for a moment.
	var found, repair *tracetest.SpanStub
	require.Eventually(t, func() bool {
		found = findSpan(telemetrytest.Named(recorder.Spans(), "find drift"), func(s tracetest.SpanStub) bool {
			return slices.Contains(s.Attributes, telemetry.DriftFieldsKey.StringSlice([]string{"name"}))
		})
		if found == nil {
			return false
		}
		repair = findSpan(telemetrytest.Named(recorder.Spans(), "repair drift"), func(s tracetest.SpanStub) bool {
			return len(s.Links) == 1 && s.Links[0].SpanContext.SpanID() == found.SpanContext.SpanID()
		})
		return repair != nil
	}, patience, tick, "the repair is linked to the drift")
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(r.history("full"), func(e *controlv1.HistoryEntry) bool {
			return e.GetKind() == "repaired" && e.GetTraceId() == repair.SpanContext.TraceID().String()
		})
	}, patience, tick, "the end is in the repair's trace")
	r.waitConverged()
	require.Len(t, found.Links, 1)
	edit := recorder.Trace(found.Links[0].SpanContext.TraceID())
	require.Len(t, telemetrytest.Named(edit, "POST /stripe/webhook"), 1)
}

// findSpan returns the first span for which is returns true, nil if there is none.
func findSpan(spans []tracetest.SpanStub, is func(tracetest.SpanStub) bool) *tracetest.SpanStub {
	i := slices.IndexFunc(spans, is)
	if i < 0 {
		return nil
	}
	return &spans[i]
}

// requireFewSpans changes a price, from the commit to the events that confirm its three calls, and counts the spans.
// before is the trace of the product's earlier change.
func requireFewSpans(t *testing.T, r *rig, recorder *telemetrytest.Recorder, before trace.TraceID) {
	t.Helper()
	r.exec(`UPDATE driftless.prices SET unit_amount = 1500 WHERE id = 'mug-one'`)
	// The calls create a price, make it the product's default, and archive the old one. They make four events.
	var confirmed []string
	require.Eventually(t, func() bool {
		confirmed = nil
		for _, e := range r.history("mug") {
			if e.GetKind() == "confirmed" && e.GetTraceId() != before.String() {
				confirmed = append(confirmed, e.GetTraceId())
			}
		}
		return len(confirmed) == 4
	}, patience, tick)
	id, err := trace.TraceIDFromHex(confirmed[0])
	require.NoError(t, err)
	// A message is acknowledged slightly before its span ends.
	for _, name := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		r.stop(name)
	}
	spans := recorder.Trace(id)
	tree, err := telemetrytest.Tree(spans, trace.SpanID{})
	require.NoError(t, err)
	t.Log("\n" + tree)
	require.Len(t, telemetrytest.Named(spans, "POST /stripe/webhook"), 4)
	require.Len(t, telemetrytest.Named(spans, "POST /v1/products/{id}"), 1)
	require.LessOrEqual(t, len(spans), 30, tree)
}

// A change through the API continues the trace of its caller.
func TestTracing_ContinuesCallersTrace(t *testing.T) {
	recorder := telemetrytest.Start(t)
	r := newRig(t, unlimited)
	remote, err := trace.SpanIDFromHex("00f067aa0ba902b8")
	require.NoError(t, err)
	id, err := trace.TraceIDFromHex("4bf92f3577b34da6a3ce929d0e0e4737")
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		r.url(topology.Ingestion)+"/driftless.ingest.v1.IngestService/UpsertProducts",
		strings.NewReader(`{"products":[{"id":"mug","name":"Mug"}]}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b8-01")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Eventually(t, func() bool {
		for _, e := range r.history("mug") {
			if e.GetKind() == "confirmed" {
				return e.GetTraceId() == id.String()
			}
		}
		return false
	}, patience, tick)
	r.waitConverged()
	tree, err := telemetrytest.Tree(recorder.Trace(id), remote)
	require.NoError(t, err)
	require.Contains(t, tree, "UpsertProducts")
	require.Contains(t, tree, "POST /stripe/webhook")
}
