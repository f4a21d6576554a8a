package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/jaeger"
)

// ledgerStub answers with a product's history, the latest entry first.
type ledgerStub struct {
	controlv1connect.UnimplementedControlServiceHandler

	entries []*controlv1.HistoryEntry
}

func (s *ledgerStub) ListHistory(context.Context, *connect.Request[controlv1.ListHistoryRequest]) (
	*connect.Response[controlv1.ListHistoryResponse], error,
) {
	return connect.NewResponse(&controlv1.ListHistoryResponse{Entries: s.entries}), nil
}

// tracesStub is a query API with traces of the product mug. It answers a search with none.
func tracesStub(t *testing.T, traces map[string][]any) string {
	t.Helper()
	answer := func(w http.ResponseWriter, data any) { _ = json.NewEncoder(w).Encode(map[string]any{"data": data}) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/services",
		func(w http.ResponseWriter, _ *http.Request) { answer(w, []string{"driftless-push"}) })
	mux.HandleFunc("GET /api/traces", func(w http.ResponseWriter, _ *http.Request) { answer(w, []any{}) })
	mux.HandleFunc("GET /api/traces/{id}", func(w http.ResponseWriter, r *http.Request) {
		spans, ok := traces[r.PathValue("id")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(
				map[string]any{"errors": []any{map[string]any{"code": 404, "msg": "not found"}}})
			return
		}
		// jaegerSpan makes spans of one trace.
		encoded, err := json.Marshal(spans)
		if err != nil {
			t.Error(err)
		}
		encoded = bytes.ReplaceAll(encoded, []byte("4bf92f3577b34da6a3ce929d0e0e4736"), []byte(r.PathValue("id")))
		answer(w, []any{map[string]any{
			"traceID": r.PathValue("id"), "spans": json.RawMessage(encoded),
			"processes": map[string]any{
				"i": map[string]string{"serviceName": "driftless-ingestion"},
				"p": map[string]string{"serviceName": "driftless-push"},
				"l": map[string]string{"serviceName": "driftless-pull"},
				"r": map[string]string{"serviceName": "driftless-reconciliation"},
			},
		}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// told runs driftless trace mug with what the ledger and Jaeger know.
func told(t *testing.T, entries []*controlv1.HistoryEntry, traces map[string][]any, args ...string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(controlv1connect.NewControlServiceHandler(&ledgerStub{entries: entries}))
	control := httptest.NewServer(mux)
	t.Cleanup(control.Close)
	code, out := printed(t, append([]string{
		"trace", "mug", "--control", control.URL, "--jaeger", tracesStub(t, traces), "--width", "120",
	}, args...)...)
	require.Zero(t, code, out)
	return out
}

func traceOf(digit string) string { return strings.Repeat(digit, 32) }

func entry(kind, trace string) *controlv1.HistoryEntry {
	return &controlv1.HistoryEntry{Kind: kind, TraceId: trace}
}

const pushLive = "push-live-default"

// requireOrder requires words to be in a text in this order.
func requireOrder(t *testing.T, text string, words ...string) {
	t.Helper()
	rest := text
	for _, w := range words {
		_, after, found := strings.Cut(rest, w)
		require.True(t, found, "%q in its place in:\n%s", w, text)
		rest = after
	}
}

func TestTrace_FollowsCarriersFromTheLedgersLatest(t *testing.T) {
	superseded := func(by string) []any {
		return []any{
			jaegerSpan("a1", "", "i", "capture", 0, 10, nil),
			jaegerSpan("a2", "a1", "i", "send catalog.{account}.{lane}.{product}", 1, 1, nil),
			jaegerSpan("a3", "a2", "p", "process catalog.{account}.{lane}.{product}", 5, 1, map[string]string{
				"driftless.outcome": "superseded", "driftless.carried_by.trace_id": by,
				"messaging.consumer.group.name": pushLive,
			}, by),
		}
	}
	out := told(t, []*controlv1.HistoryEntry{entry("catalog_change", traceOf("a")), entry("applied", traceOf("f"))},
		map[string][]any{
			traceOf("a"): superseded(traceOf("b")),
			traceOf("b"): superseded(traceOf("c")),
			traceOf("c"): {
				jaegerSpan("a1", "", "p", "sync product", 0, 10, map[string]string{"driftless.outcome": "applied"}),
				jaegerSpan("a2", "a1", "p", "update_product", 0, 5,
					map[string]string{"driftless.idempotency_key": "k"}),
				jaegerSpan("a3", "a1", "l", "process stripe.{account}.{product}", 7, 1,
					map[string]string{"driftless.outcome": "confirmed"}),
			},
		})
	requireOrder(t, out, "trace "+traceOf("a"), "carried by trace "+traceOf("b"), "1 trace between",
		"trace "+traceOf("c"),
		"sync product [applied]", "applied: Stripe has the change", "1 event of Stripe confirmed it")
	require.NotContains(t, out, "\ntrace "+traceOf("b"))
}

func TestTrace_ShowsEditDriftAndRepairTogether(t *testing.T) {
	out := told(t, []*controlv1.HistoryEntry{
		entry("repaired", traceOf("c")), entry("drifted", traceOf("b")), entry("stripe_event", traceOf("a")),
		entry("catalog_change", traceOf("d")),
	}, map[string][]any{
		traceOf("a"): {
			jaegerSpan("a1", "", "l", "POST /stripe/webhook", 0, 10, nil),
			jaegerSpan("a2", "a1", "l", "process stripe.{account}.{product}", 3, 1,
				map[string]string{"driftless.outcome": "observed"}),
		},
		traceOf("b"): {jaegerSpan("a1", "", "r", "find drift", 0, 1, map[string]string{
			"driftless.outcome": "drifted", "driftless.drift.fields": `["name"]`,
			"driftless.drift.causes": `["dashboard"]`,
		}, traceOf("a"))},
		traceOf("c"): {
			jaegerSpan("a1", "", "r", "repair drift", 0, 1, map[string]string{"driftless.outcome": "drifted"},
				traceOf("b")),
			jaegerSpan("a2", "a1", "p", "sync product", 5, 9, map[string]string{"driftless.outcome": "applied"}),
		},
	})
	requireOrder(t, out, "trace "+traceOf("a"), "[observed]", "trace "+traceOf("b"), "find drift",
		"name, caused by dashboard",
		"trace "+traceOf("c"),
		"repair drift", "applied: Stripe has the change")
}

// A sync starts a trace of its own. The change that it completes comes first.
func TestTrace_ShowsChangeThatASyncCompleted(t *testing.T) {
	change, sync := traceOf("a"), traceOf("b")
	out := told(t, []*controlv1.HistoryEntry{
		entry("applied", sync), entry("ordered", sync), entry("catalog_change", change),
	}, map[string][]any{
		change: {
			jaegerSpan("a1", "", "i", "send catalog.{account}.{lane}.{product}", 1, 1, nil),
			jaegerSpan("a2", "a1", "p", "process catalog.{account}.{lane}.{product}", 5, 1, map[string]string{
				"driftless.outcome": "retry", "driftless.retry.delay_ms": "24660", "error": "true",
				"otel.status_description": "Stripe: broken", "messaging.consumer.group.name": pushLive,
			}),
			jaegerSpan("a3", "a1", "p", "complete change", 9, 0, map[string]string{
				"driftless.outcome": "applied", "driftless.carried_by.trace_id": sync,
			}, sync),
		},
		sync: {jaegerSpan("b1", "", "p", "sync product", 5, 9, map[string]string{
			"driftless.outcome": "applied", "driftless.carries.count": "1",
		}, change)},
	})
	requireOrder(t, out, "trace "+change, "ERROR: Stripe: broken", "complete change [applied]",
		"carried by trace "+sync,
		"trace "+sync, "sync product [applied]", "applied: ")
}

func TestTrace_LeavesOutBookkeepingAndOtherProducts(t *testing.T) {
	traces := map[string][]any{traceOf("a"): {
		jaegerSpan("a1", "", "i", "capture", 0, 10, nil),
		jaegerSpan("a2", "a1", "p", "sync product", 1, 1,
			map[string]string{"driftless.outcome": "applied", "driftless.product.id": "mug"}),
		jaegerSpan("a3", "a2", "p", "send sync.{account}.{outcome}.{product}", 1, 1,
			map[string]string{"driftless.product.id": "mug"}),
		jaegerSpan("a4", "a3", "r", "process sync.{account}.{outcome}.{product}", 1, 1, map[string]string{
			"driftless.product.id": "mug", "error": "true", "otel.status_description": "the ledger is full",
		}),
		jaegerSpan("b2", "a1", "p", "sync product", 1, 1,
			map[string]string{"driftless.outcome": "dead", "driftless.product.id": "cup"}),
	}}
	entries := []*controlv1.HistoryEntry{entry("applied", traceOf("a"))}
	out := told(t, entries, traces)
	requireOrder(t, out, "sync product [applied]", "process sync", "ERROR: the ledger is full",
		"(1 span of bookkeeping left out: --all draws them)", "(1 span about 1 other product left out", "applied: ")
	require.NotContains(t, out, "send sync")
	require.NotContains(t, out, "[dead]")
	require.Contains(t, told(t, entries, traces, "--all"), "send sync")
}

func TestTrace_SaysWhenJaegerLacksTheLatest(t *testing.T) {
	out := told(t, []*controlv1.HistoryEntry{entry("applied", traceOf("e")), entry("applied", traceOf("a"))},
		map[string][]any{traceOf("a"): {jaegerSpan("a1", "", "i", "capture", 0, 10, nil)}})
	requireOrder(t, out, "Note: the latest trace is "+traceOf("e")+", which Jaeger does not have",
		"This is an earlier one",
		"trace "+traceOf("a"), "unknown: the trace does not say how the change ended")
}

// span is a span of push about mug, a second after the one before it in the list.
func span(name string, attributes ...string) *jaeger.Span {
	s := &jaeger.Span{Service: "driftless-push", Name: name, Attributes: map[string]string{}}
	for i := 0; i < len(attributes); i += 2 {
		s.Attributes[attributes[i]] = attributes[i+1]
	}
	return s
}

func TestJudgeTrace(t *testing.T) {
	begun := time.Unix(1_700_000_000, 0)
	sent := func() *jaeger.Span { return span("send catalog.{account}.{lane}.{product}") }
	for name, c := range map[string]struct {
		spans       []*jaeger.Span
		after       time.Duration
		state, text string
	}{
		"not processed": {[]*jaeger.Span{sent()}, time.Minute, "waiting", "push has not processed the change for 1m0s"},
		"not stored": {
			[]*jaeger.Span{span("send catalog", "error", "true", "otel.status_description", "NATS is away")},
			0,
			"failed", "the change did not reach push: NATS is away",
		},
		"retry ahead": {
			[]*jaeger.Span{span("sync product", "error", "true"), span("process catalog", "driftless.outcome",
				"retry", "driftless.retry.delay_ms", "90000", "error", "true", "otel.status_description",
				"Stripe: broken.")},
			time.Second, "retrying", "failed 1 time: Stripe: broken. It is tried again in 1m30s",
		},
		"retry overdue": {[]*jaeger.Span{span("process catalog", "driftless.outcome", "retry",
			"driftless.retry.delay_ms",
			"1000", "error", "true")}, time.Minute, "retrying", "was due 59.00 s ago, and is not in Jaeger"},
		"applied after a retry": {[]*jaeger.Span{
			span("process catalog", "driftless.outcome", "retry"),
			span("sync product", "driftless.outcome", "applied"),
		}, 0, "applied", "Stripe has the change, 1.00 s after"},
		"dead": {
			[]*jaeger.Span{span("refuse product", "driftless.outcome", "dead", "driftless.dead.reason",
				"invalid_product",
				"error", "true", "otel.status_description", "-5")},
			0, "dead",
			"given up (invalid_product): -5. See `driftless dead show mug`",
		},
		"held": {
			[]*jaeger.Span{span("claim product", "driftless.outcome", "held", "driftless.guard.rules", `["archive"]`)},
			0,
			"held", "the guard holds the change (archive)",
		},
		"without an end": {[]*jaeger.Span{span("capture")}, 0, "unknown", "does not say how the change ended"},
		"a large transaction": {
			[]*jaeger.Span{span("capture", "driftless.product.count", "300")},
			0,
			"unknown", "changed 300 products, which have a trace each",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i, s := range c.spans {
				s.ID, s.Start = fmt.Sprint(i), begun.Add(time.Duration(i)*time.Second)
			}
			v := judgeTrace(&jaeger.Trace{Spans: c.spans}, "mug", begun.Add(c.after))
			require.Equal(t, c.state, v.State)
			require.Contains(t, v.Text, c.text)
		})
	}
}

// largeTrace is a trace of n spans, in which a tenth are children of the root and the rest their children.
func largeTrace(n int) *jaeger.Trace {
	t := &jaeger.Trace{ID: traceOf("a")}
	for i := range n {
		s := span("sync product", "driftless.outcome", "applied")
		s.ID, s.Start, s.Duration = fmt.Sprint(i), time.Unix(0, int64(i)), time.Millisecond
		switch {
		case i > 0 && i <= n/10:
			s.Parent = "0"
		case i > 0:
			s.Parent = fmt.Sprint(1 + i%(n/10))
		}
		t.Spans = append(t.Spans, s)
	}
	return t
}

// A drawing of 18,471 spans took minutes when each span searched all others.
func TestDrawTrace_DrawsLargeTraceInLinearTime(t *testing.T) {
	var out bytes.Buffer
	begun := time.Now()
	drawTrace(&out, largeTrace(20_000), spanFilter{}, 120, begun)
	require.Less(t, time.Since(begun), 20*time.Second)
	require.Equal(t, 20_002, strings.Count(out.String(), "\n"))
}

func BenchmarkDrawTrace(b *testing.B) {
	for _, n := range []int{2_000, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				trace := largeTrace(n)
				var out bytes.Buffer
				drawTrace(&out, trace, spanFilter{}, 120, time.Now())
				judgeTrace(trace, "mug", time.Now())
			}
		})
	}
}
