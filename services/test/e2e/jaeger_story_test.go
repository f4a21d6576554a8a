package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/jaeger"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// largeTransaction changes more products than one trace follows.
func (m *inJaeger) largeTransaction(t *testing.T) {
	t.Helper()
	m.exec(`INSERT INTO driftless.products (id, name) SELECT 'bulk' || n, 'Bulk' FROM generate_series(1, 60) n`)
	found := m.eventually("bulk30", confirmed(1))
	m.check(found, "bulk30")
	root := found.Roots()[0]
	require.Equal(t, "capture", root.Name)
	require.Len(t, root.Links, 1)
	require.LessOrEqual(t, len(found.Spans), 30)
	var transaction *jaeger.Trace
	require.Eventually(t, func() bool {
		var err error
		transaction, err = m.jaeger.Trace(t.Context(), root.Links[0].TraceID)
		return err == nil
	}, patience, 250*time.Millisecond)
	require.Equal(t, "60", spansOf(transaction, "capture")[0].Attributes[string(telemetry.ProductCountKey)])
	out := m.printed("trace", "bulk30", "--jaeger", m.query)
	t.Log("\n" + out)
	require.Contains(t, out, "applied: Stripe has the change")
	require.Contains(t, m.printed("trace", "--trace-id", transaction.ID, "--jaeger", m.query),
		"the transaction changed 60 products, which have a trace each")
}

// refused makes a product that ingestion does not publish.
func (m *inJaeger) refused(t *testing.T) {
	t.Helper()
	m.exec(`WITH product AS (INSERT INTO driftless.products (id, name) VALUES ('bad', 'Bad'))
		INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('bad-eur', 'bad', 'eur', -5)`)
	found := m.eventually("bad",
		func(t *jaeger.Trace) bool { return len(spansOf(t, "process dead")) > 0 && isComplete(t) })
	refused := spansOf(found, "refuse product")
	require.Len(t, refused, 1)
	require.NotEmpty(t, refused[0].Error())
	require.Equal(t, telemetry.OutcomeDead, refused[0].Attributes[string(telemetry.OutcomeKey)])
	out := m.printed("trace", "bad", "--jaeger", m.query)
	t.Log("\n" + out)
	require.Contains(t, out, "refuse product [dead]")
	require.Contains(t, out, "dead: the change was given up (invalid_product)")
}

// edit changes a product in Stripe, and Driftless changes it back.
func (m *inJaeger) edit(t *testing.T) {
	t.Helper()
	require.NoError(t, m.sim.EditProduct(t.Context(), "bowl", map[string][]string{"name": {"By hand"}}))
	m.eventually("bowl", func(t *jaeger.Trace) bool {
		return len(spansOf(t, "repair drift")) > 0 && confirmed(1)(t) && slices.ContainsFunc(spansOf(t, "send sync"),
			func(s *jaeger.Span) bool { return s.Attributes[string(telemetry.OutcomeKey)] == "repaired" })
	})
	var out string
	require.Eventually(t, func() bool {
		out = m.printed("trace", "bowl", "--jaeger", m.query)
		return strings.Contains(out, "repair drift")
	}, patience, 250*time.Millisecond, "the ledger has the repair")
	t.Log("\n" + out)
	rest := out
	for _, words := range []string{
		"process stripe [observed]", "find drift", "repair drift",
		"applied: Stripe has the change",
	} {
		_, after, found := strings.Cut(rest, words)
		require.True(t, found, "%s in its place in %s", words, out)
		rest = after
	}
}
