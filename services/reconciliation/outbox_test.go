package reconciliation_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// The drift is stored although its command and its outcome cannot be published. They are published later, once each.
func TestOutbox_PublishesLaterWhatFailed(t *testing.T) {
	for name, c := range map[string]struct {
		replicas int
		restart  bool
	}{
		"by the same process":    {1, false},
		"after a restart":        {1, true},
		"by either of two":       {2, false},
		"by two after a restart": {2, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := controltest.New(t)
			commands := r.Commands("mug")
			var stops []func()
			start := func() {
				for range c.replicas {
					stops = append(stops, r.Start())
				}
			}
			start()
			r.AckCatalog()
			r.Desire("mug", "Mug", 10)
			r.Observe("mug", "Mug", 10)
			r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
			acceptCommands := r.RefuseMessages(topology.StreamCommand)
			acceptOutcomes := r.RefuseMessages(topology.StreamSync)
			r.Observe("mug", "by hand", 10)
			r.EventuallyDrift("mug", "repairing")
			require.NotContains(t, r.Kinds("mug"), "drifted")
			require.Zero(t, commands.Load())
			if c.restart {
				for _, stop := range stops {
					stop()
				}
			}
			acceptCommands()
			acceptOutcomes()
			if c.restart {
				start()
			}
			require.Eventually(t, func() bool { return commands.Load() == 1 }, controltest.Patience,
				10*time.Millisecond)
			drifted := func() (n int) {
				for _, kind := range r.Kinds("mug") {
					if kind == "drifted" {
						n++
					}
				}
				return n
			}
			require.Eventually(t, func() bool { return drifted() == 1 }, controltest.Patience, 10*time.Millisecond)
			localtest.Holds(t, 2*controltest.Grace, func() bool { return commands.Load() == 1 && drifted() == 1 },
				"once each")
		})
	}
}

// A message that cannot be decoded is a problem of the status until it is deleted.
func TestOutbox_StatusShowsMessageThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Start()
	db, err := pgx.Connect(t.Context(), r.Config.LedgerURL)
	require.NoError(t, err)
	defer db.Close(context.WithoutCancel(t.Context()))
	problem := func() string {
		s := controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", "{}")
		for _, p := range s.GetProblems() {
			if p.GetKind() == "outbox" {
				return p.GetText()
			}
		}
		return ""
	}
	require.Empty(t, problem())
	var row int64
	require.NoError(t, db.QueryRow(t.Context(), `INSERT INTO driftless_ledger.outbox (account, product_id, kind, payload)
		VALUES ('default', 'mug', 'outcome', '\xff') RETURNING id`).Scan(&row))
	require.Eventually(t, func() bool { return problem() != "" }, controltest.Patience, 20*time.Millisecond)
	require.Contains(t, problem(), fmt.Sprintf("row %d of driftless_ledger.outbox, about product mug, cannot be decoded", row))
	_, err = db.Exec(t.Context(), `DELETE FROM driftless_ledger.outbox WHERE id = $1`, row)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return problem() == "" }, controltest.Patience, 20*time.Millisecond)
}
