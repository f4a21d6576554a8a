package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/driftless-sync/driftless/services/internal/jaeger"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// services are the mesh's services by their names in Jaeger.
var services = []string{"driftless-ingestion", "driftless-pull", "driftless-push", "driftless-reconciliation"}

// inJaeger is a mesh of processes that traces to a real Jaeger. scripts/test-jaeger provides it and passes its address.
type inJaeger struct {
	*meshProcess

	query  string
	jaeger *jaeger.Client
	conn   *pgx.Conn
	sim    stripesim.Admin
}

func upWithJaeger(t *testing.T) *inJaeger {
	t.Helper()
	query, otlp := os.Getenv("DRIFTLESS_JAEGER_URL"), os.Getenv("DRIFTLESS_TEST_OTLP")
	if query == "" || otlp == "" {
		t.Skip("needs a Jaeger: scripts/test-jaeger")
	}
	p := up(t, dataDir(t), func(cmd *exec.Cmd) {
		cmd.Args = append(cmd.Args, "--no-seed")
		cmd.Env = append(cmd.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+otlp, "OTEL_BSP_SCHEDULE_DELAY=100",
			"OTEL_BSP_MAX_QUEUE_SIZE=16384")
	})
	conn, err := pgx.Connect(t.Context(), p.At.Database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return &inJaeger{
		meshProcess: p,
		query:       query,
		jaeger:      &jaeger.Client{URL: query},
		conn:        conn,
		sim:         stripesim.Admin{BaseURL: p.At.Stripe},
	}
}

func (m *inJaeger) exec(sql string, args ...any) {
	m.t.Helper()
	_, err := m.conn.Exec(m.t.Context(), sql, args...)
	require.NoError(m.t, err)
}

// eventually returns the latest trace of a product that satisfies wanted.
func (m *inJaeger) eventually(product string, wanted func(*jaeger.Trace) bool) *jaeger.Trace {
	m.t.Helper()
	var found *jaeger.Trace
	require.Eventually(m.t, func() bool {
		traces, err := m.jaeger.Product(m.t.Context(), product, time.Now().Add(-time.Hour), 500)
		require.NoError(m.t, err)
		for _, t := range slices.Backward(traces) {
			if wanted(t) {
				found = t
				return true
			}
		}
		return false
	}, patience, 250*time.Millisecond, "no such trace of %s", product)
	return found
}

// shortName returns the name of a span without the template of a messaging span's destination.
func shortName(s *jaeger.Span) string {
	name, _, _ := strings.Cut(s.Name, ".{")
	return name
}

// spansOf returns the spans with a short name in a trace.
func spansOf(t *jaeger.Trace, name string) (out []*jaeger.Span) {
	for _, s := range t.Spans {
		if shortName(s) == name {
			out = append(out, s)
		}
	}
	return out
}

// confirmed reports whether at least n events have confirmed the calls, and the ledger has the end.
func confirmed(n int) func(*jaeger.Trace) bool {
	return func(t *jaeger.Trace) bool {
		taken := 0
		for _, s := range spansOf(t, "process stripe") {
			if s.Attributes[string(telemetry.OutcomeKey)] == telemetry.OutcomeConfirmed {
				taken++
			}
		}
		return taken >= n && len(spansOf(t, "process sync")) > 0 && isComplete(t)
	}
}

// isComplete reports whether the trace is complete. Spans are exported when they end, and inner ones end first.
func isComplete(t *jaeger.Trace) bool {
	roots := t.Roots()
	return len(roots) == 1 && roots[0].Parent == ""
}

// parents are the allowed parents of spans by name. A name that is not here may have any parent.
var parents = map[string][]string{
	"read products":        {"capture"},
	"send catalog":         {"capture"},
	"process catalog":      {"send catalog"},
	"sync product":         {"process catalog", "process command", "process retry"},
	"claim product":        {"sync product"},
	"create_product":       {"sync product"},
	"update_product":       {"sync product"},
	"create_price":         {"sync product"},
	"update_price":         {"sync product"},
	"POST /v1/products":    {"create_product"},
	"POST /v1/prices/{id}": {"update_price"},
	"POST /stripe/webhook": {"sync product"},
	"send stripe":          {"POST /stripe/webhook", "read event"},
	"process stripe":       {"send stripe"},
	// A failed attempt is told once the time of the next one is known.
	"send sync": {
		"sync product", "claim product", "process stripe", "process catalog", "process command", "process retry",
	},
	"process sync":    {"send sync"},
	"send dead":       {"process catalog", "process command"},
	"process dead":    {"send dead"},
	"process command": {"send command"},
	"send command":    {"replay dead letter"},
}

// check checks the rules that every trace must keep.
func (m *inJaeger) check(t *jaeger.Trace, product string) {
	m.t.Helper()
	require.Len(m.t, t.Roots(), 1, "one root")
	require.Empty(m.t, t.Roots()[0].Parent, "and no span without its parent")
	names := map[string]string{}
	seen := map[string]bool{}
	for _, s := range t.Spans {
		names[s.ID] = shortName(s)
		seen[s.Service] = true
	}
	for _, service := range services {
		require.True(m.t, seen[service], "%s is in the trace", service)
	}
	for _, s := range t.Spans {
		if may, ok := parents[shortName(s)]; ok {
			require.Contains(m.t, may, names[s.Parent], "the parent of %s", s.Name)
		}
		if slices.Contains(services, s.Service) {
			require.Equal(m.t, product, s.Attributes[string(telemetry.ProductIDKey)], s.Name)
		}
	}
}

func TestTracing_InJaeger(t *testing.T) {
	m := upWithJaeger(t)

	t.Run("a change", func(t *testing.T) {
		m.exec(`WITH product AS (INSERT INTO driftless.products (id, name, default_price) VALUES ('mug', 'Mug', 'mug-eur'))
			INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('mug-eur', 'mug', 'eur', 1400)`)
		found := m.eventually("mug", confirmed(3))
		m.check(found, "mug")
		require.Equal(t, "capture", found.Roots()[0].Name)
		for _, name := range []string{
			"read products", "send catalog", "process catalog", "sync product",
			"claim product", "create_product", "POST /v1/products", "POST /stripe/webhook", "process sync",
		} {
			require.NotEmpty(t, spansOf(found, name), name)
		}
		for _, s := range spansOf(found, "process catalog") {
			require.NotEmpty(t, s.Attributes[string(telemetry.QueueTimeKey)], "the time in the queue")
		}
		require.NotEmpty(t, spansOf(found, "POST /v1/products")[0].Attributes[string(telemetry.StripeRequestIDKey)])
	})

	t.Run("a change with a retry", func(t *testing.T) {
		_, err := m.sim.AddFault(t.Context(), stripesim.Fault{
			Kind:   stripesim.FaultErrorBefore,
			Method: "POST",
			Object: "cup",
			Count:  1,
		})
		require.NoError(t, err)
		m.exec(`INSERT INTO driftless.products (id, name) VALUES ('cup', 'Cup')`)
		found := m.eventually("cup", confirmed(1))
		m.check(found, "cup")
		calls := spansOf(found, "create_product")
		require.Len(t, calls, 2, "both attempts")
		require.NotEmpty(t, calls[0].Error())
		require.Empty(t, calls[1].Error())
		failed := slices.DeleteFunc(spansOf(found, "process catalog"),
			func(s *jaeger.Span) bool { return s.Error() == "" })
		require.Len(t, failed, 1)
		require.NotEmpty(t, failed[0].Attributes[string(telemetry.RetryDelayKey)], "the delay of the retry")
		out := m.printed("trace", "cup", "--jaeger", m.query)
		t.Log("\n" + out)
		require.Contains(t, out, "retried after")
	})

	t.Run("a coalesced burst", func(t *testing.T) { m.burst(t) })
	t.Run("a dead letter and its replay", func(t *testing.T) { m.death(t) })
	t.Run("a trace that the application began", func(t *testing.T) { m.application(t) })
	t.Run("a large transaction", func(t *testing.T) { m.largeTransaction(t) })
	t.Run("a product that Stripe would refuse", func(t *testing.T) { m.refused(t) })
	t.Run("an edit in the dashboard", func(t *testing.T) { m.edit(t) })

	t.Run("driftless trace", func(t *testing.T) {
		out := m.printed("trace", "mug", "--jaeger", m.query)
		t.Log("\n" + out)
		for _, s := range []string{
			"capture", "POST /v1/products 200", "Stripe's request req_",
			"POST /stripe/webhook 200", "process stripe [confirmed]", "█", "left out: --all draws them",
			"applied: Stripe has the change", "3 events of Stripe confirmed it",
		} {
			require.Contains(t, out, s)
		}
		var asJSON struct {
			Traces  []jaeger.Trace    `json:"traces"`
			Verdict map[string]string `json:"verdict"`
		}
		require.NoError(t,
			json.Unmarshal([]byte(m.printed("trace", "mug", "--jaeger", m.query, "-o", "json")), &asJSON))
		require.Len(t, asJSON.Traces, 1)
		require.Equal(t, "applied", asJSON.Verdict["state"])
		require.Contains(t, m.printed("trace", "--trace-id", asJSON.Traces[0].ID, "--jaeger", m.query), "capture")
	})
}

func (m *inJaeger) printed(args ...string) string {
	m.t.Helper()
	out, err := m.command(args...).CombinedOutput()
	require.NoError(m.t, err, string(out))
	return string(out)
}

// burst makes more edits than CATALOG keeps while a call for the product is running.
func (m *inJaeger) burst(t *testing.T) {
	t.Helper()
	const edits = 100
	m.exec(`INSERT INTO driftless.products (id, name) VALUES ('pot', 'Pot')`)
	m.eventually("pot", confirmed(1))
	_, err := m.sim.AddFault(t.Context(), stripesim.Fault{
		Kind:   stripesim.FaultLatency,
		Method: "POST",
		Object: "pot",
		Delay:  2 * time.Second,
		Count:  1,
	})
	require.NoError(t, err)
	for i := range edits {
		m.exec(`UPDATE driftless.products SET name = $1 WHERE id = 'pot'`, fmt.Sprintf("Edition %d", i))
	}
	require.NoError(t, m.command("plan", "--wait-converged", "60s").Run())
	var traces map[string]*jaeger.Trace
	applied := func(t *jaeger.Trace) bool {
		return slices.ContainsFunc(spansOf(t, "sync product"), func(s *jaeger.Span) bool {
			return s.Attributes[string(telemetry.OutcomeKey)] == telemetry.OutcomeApplied
		})
	}
	next := func(t *jaeger.Trace) string {
		for _, s := range t.Spans {
			if by := s.Attributes[string(telemetry.CarriedByKey)]; by != "" {
				return by
			}
		}
		return ""
	}
	require.Eventually(t, func() bool {
		found, err := m.jaeger.Product(t.Context(), "pot", time.Now().Add(-time.Hour), 500)
		require.NoError(t, err)
		traces = map[string]*jaeger.Trace{}
		captures := 0
		for _, f := range found {
			traces[f.ID] = f
			captures += len(spansOf(f, "capture"))
		}
		if captures < edits+1 {
			return false
		}
		for _, f := range found {
			for n := 0; !applied(f); n++ {
				if f = traces[next(f)]; f == nil || n > edits {
					return false
				}
			}
		}
		return true
	}, patience, 500*time.Millisecond, "every trace of the burst leads to a pass that applied it")
	carries := 0
	for _, f := range traces {
		for _, s := range spansOf(f, "sync product") {
			carries = max(carries, len(s.Links))
		}
	}
	require.Positive(t, carries, "the pass links to the changes that it applied")
	for _, f := range traces {
		if next(f) != "" {
			out := m.printed("trace", "--trace-id", f.ID, "--jaeger", m.query)
			t.Log("\n" + out)
			require.Contains(t, out, "carried by trace "+next(f))
			break
		}
	}
}

// death makes Stripe refuse a product, fixes the cause, and replays the dead letter.
func (m *inJaeger) death(t *testing.T) {
	t.Helper()
	api := client.New("sk_test_driftlesssimulator",
		&stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
			URL: stripe.String(m.At.Stripe), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
		})})
	params := &stripe.ProductParams{ID: stripe.String("full"), Name: stripe.String("Full")}
	for i := range 49 {
		params.AddMetadata(fmt.Sprintf("theirs%d", i), "v")
	}
	_, err := api.Products.New(params)
	require.NoError(t, err)
	m.exec(`INSERT INTO driftless.products (id, name, metadata) VALUES ('full', 'Full', '{"a": "1", "b": "2"}')`)
	m.eventually("full", func(t *jaeger.Trace) bool { return len(spansOf(t, "process dead")) > 0 && isComplete(t) })
	update := &stripe.ProductParams{}
	update.AddMetadata("theirs0", "")
	_, err = api.Products.Update("full", update)
	require.NoError(t, err)
	require.NoError(t, m.command("dead", "replay", "full").Run())
	found := m.eventually("full", func(t *jaeger.Trace) bool {
		return len(spansOf(t, "replay dead letter")) > 0 && confirmed(1)(t)
	})
	m.check(found, "full")
	require.NotEmpty(t, spansOf(found, "replay dead letter")[0].Links, "the operator's request is linked")
	require.Contains(t, m.printed("trace", "--trace-id", found.ID, "--jaeger", m.query), "replay dead letter")
}

// application begins a trace of its own, as a shop would.
func (m *inJaeger) application(t *testing.T) {
	t.Helper()
	exporter, err := otlptracehttp.New(t.Context(),
		otlptracehttp.WithEndpointURL(os.Getenv("DRIFTLESS_TEST_OTLP")+"/v1/traces"))
	require.NoError(t, err)
	shop := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "shop"))))
	ctx, span := shop.Tracer("shop").Start(t.Context(), "change the price")
	tx, err := m.conn.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, `SELECT pg_logical_emit_message(true, 'traceparent', $1)`, telemetry.Traceparent(ctx))
	require.NoError(t, err)
	_, err = tx.Exec(ctx, `INSERT INTO driftless.products (id, name) VALUES ('bowl', 'Bowl')`)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(ctx))
	span.End()
	require.NoError(t, shop.Shutdown(t.Context()))
	found := m.eventually("bowl", confirmed(1))
	m.check(found, "bowl")
	require.Equal(t, span.SpanContext().TraceID().String(), found.ID)
	require.Equal(t, "shop", found.Roots()[0].Service)
	require.Equal(t, "change the price", found.Roots()[0].Name)
	require.True(t, strings.HasPrefix(found.Children(found.Roots()[0].ID)[0].Name, "capture"))
}
