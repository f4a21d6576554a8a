package ledger

import (
	"flag"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

var update = flag.Bool("update", false, "write docs/drift.md")

func TestLifecycle_IsDocumented(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "..", "docs", "drift.md")
	want := driftPageText()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "run the test with -update")
}

func driftPageText() string {
	return `# The life of drift

For engineers who change reconciliation, or ask why a difference is in the state that ` + "`driftless drift`" +
		` shows. The page
has every transition of a difference and its product. It is generated from the tables in the code. An event that has no
row for a state is an error.

- [policy.md](policy.md#drift) says what the states of drift mean, and which drift is repaired.
- [ledger.md](ledger.md#views) has the states of products.

## A difference

The state is that of a row of the view ` + "`drifts`" + `. ` + "`repaired` and `written_back`" +
		` are final: if the values differ
again, that is new drift.

` + driftTable.page() + `
## A product

A product is due when commands for its drift have to be issued. The first rows are about what is known of both sides,
which is derived again with every change.

` + productTable.page()
}

func allOf[S, E ~string, A actions](t table[S, E, A]) (states []S, events []E) {
	for _, row := range t {
		if !slices.Contains(events, row.event) {
			events = append(events, row.event)
		}
		for _, s := range append(slices.Clone(row.from), row.to) {
			if s != "" && !slices.Contains(states, s) {
				states = append(states, s)
			}
		}
	}
	return states, events
}

// A state and an event have one row. The second would never be reached.
func requireDistinct[S, E ~string, A actions](t *testing.T, rows table[S, E, A]) {
	t.Helper()
	seen := map[string]bool{}
	for _, row := range rows {
		require.NotEmpty(t, row.from, row.event)
		for _, from := range row.from {
			key := fmt.Sprintf("%s, %s", row.event, from)
			require.False(t, seen[key], key)
			seen[key] = true
		}
		require.NotContains(t, row.do.String(), "%!")
		require.Equal(t, bits.OnesCount16(uint16(row.do)) > 0, row.do.String() != "", "every action has a text")
	}
}

func TestTables_HaveOneRowForEachStateAndEvent(t *testing.T) {
	t.Parallel()
	requireDistinct(t, driftTable)
	requireDistinct(t, productTable)
	states, _ := allOf(driftTable)
	require.ElementsMatch(t, append(slices.Clone(openStates), Repaired, WrittenBack), states)
	products, _ := allOf(productTable)
	require.ElementsMatch(t, allStates, products)
}

func TestOn_RefusesWhatTheTableLacks(t *testing.T) {
	t.Parallel()
	d := &Drift{Product: "mug", State: Repaired}
	_, err := d.on(driftMoved, driftInput{decision: catalog.Decision{Difference: catalog.Difference{Stripe: "x"}}})
	require.ErrorContains(t, err, `product mug`)
	require.ErrorContains(t, err, `no transition for the event "a value changed" in the state "repaired"`)
	require.Equal(t, &Drift{Product: "mug", State: Repaired}, d, "nothing has changed")

	p := &Product{ID: "mug", State: Dead}
	require.ErrorContains(t, p.on(productDriftFound, time.Now(), time.Time{}), "product mug")
	require.Equal(t, &Product{ID: "mug", State: Dead}, p)
}

func TestDriftTable_KeepsItsPromises(t *testing.T) {
	t.Parallel()
	_, events := allOf(driftTable)
	rapid.Check(t, func(t *rapid.T) {
		d := &Drift{Product: "mug"}
		at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			e := rapid.SampledFrom(events).Draw(t, "event")
			x := driftInput{
				decision: catalog.Decision{
					Difference: catalog.Difference{Stripe: rapid.StringN(0, 2, 2).Draw(t, "value")},
					Action: rapid.SampledFrom([]catalog.Action{
						catalog.Repair, catalog.WriteBack,
						catalog.Report,
					}).Draw(t, "action"),
				},
				side:   rapid.SampledFrom([]Side{CatalogSide, StripeSide}).Draw(t, "side"),
				reason: "because",
				at:     at,
			}
			before := *d
			_, err := d.on(e, x)
			checkDriftStep(t, before, *d, e, err)
		}
	})
}

func checkDriftStep(t *rapid.T, before, now Drift, e driftEvent, err error) {
	open := slices.Contains(openStates, before.State)
	switch {
	case err != nil:
		require.Equal(t, before, now, "a transition that does not exist changes nothing")
		return
	case before.State == notDrift:
		require.Contains(t, []driftEvent{driftFound, driftContested}, e)
	default:
		require.True(t, open, "a final state has no way out: %s", before.State)
	}
	settled := now.State == Repaired || now.State == WrittenBack
	require.Equal(t, settled, !now.SettledAt.IsZero())
	if !settled {
		require.Equal(t, now.State == Waiting, now.Detail != "", "who must decide is told why, and nobody else")
	}
	if before.State == Ignored && !settled && now.State != Ignored {
		require.Contains(t, []driftEvent{driftMoved, driftDecided}, e, "ignored drift comes back only then")
	}
	if before.Decided != "" && now.Decided == "" {
		require.True(t, now.State == Waiting || now.State == Ignored,
			"a decision is kept until it cannot be carried out")
	}
	if now.Decided != before.Decided && now.Decided != "" {
		require.Equal(t, driftDecided, e)
	}
	if now.Attempts > before.Attempts {
		require.True(t, before.isActive(), "no command is issued for %s", before.State)
	}
}

func TestProductTable_KeepsItsPromises(t *testing.T) {
	t.Parallel()
	_, events := allOf(productTable)
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		p := &Product{ID: "mug", State: InSync}
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			before := *p
			e := rapid.SampledFrom(events).Draw(t, "event")
			err := p.on(e, now, now.Add(time.Minute))
			if err != nil {
				require.Equal(t, before, *p)
				continue
			}
			// Commands are issued in the transaction in which a difference has outlasted the grace period.
			if before.State != Drifted && p.State == Drifted && e != productOutlasted {
				require.Equal(t, now, p.repairAt, "a product that becomes drifted is due at once: %s", e)
			}
			// Every change ends with this event.
			require.NoError(t, p.on(productChanged, now, time.Time{}))
			if p.State != Drifted {
				require.True(t, p.DriftedAt.IsZero() && p.repairAt.IsZero() && p.Repairs == 0,
					"nothing of drift is left")
			}
		}
	})
}
