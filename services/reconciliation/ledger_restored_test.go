package reconciliation_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// changedAfterCopy runs reconciliation, and returns a copy of the ledger that is older than what NATS has delivered.
// After the copy one product was renamed on both sides, one was renamed in Stripe alone, and one was added.
func changedAfterCopy(t *testing.T, r *controltest.Rig) (stop func(), older []byte) {
	t.Helper()
	r.Config.GracePeriod = time.Hour
	stop = r.Start()
	r.Pull()
	r.AckCatalog()
	r.Desire("mug", "Mug", 10)
	r.Observe("mug", "Mug", 10)
	r.Desire("cap", "Cap", 11)
	r.Observe("cap", "Cap", 11)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("cap", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Known()
	older = r.CopyLedger()

	r.Desire("mug", "Cup", 12)
	r.Observe("mug", "Cup", 12)
	r.PublishOutcome("mug", "outcome-after-copy")
	r.Observe("cap", "Renamed by hand", 11)
	r.Desire("pen", "Pen", 13)
	r.Observe("pen", "Pen", 13)
	expectPresent(t, r)
	return stop, older
}

// expectPresent waits until the ledger has the present state, and says so.
func expectPresent(t *testing.T, r *controltest.Rig) {
	t.Helper()
	r.Eventually("pen", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("cap", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	r.Idle()
	r.Known()
	require.Equal(t, "cap", controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts()[0].GetProductId())
	require.Contains(t, r.Kinds("mug"), "applied")
	require.Len(t, kindsOf(r, "mug", "catalog_change"), 2)
}

// rereads returns how many rereads the audit trail has.
func rereads(t *testing.T, r *controltest.Rig) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.Config.LedgerURL)
	require.NoError(t, err)
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM driftless_ledger.product_history
		WHERE product = '*' AND kind = 'ledger_reread' AND detail LIKE '%older copy%'`).Scan(&n))
	require.NoError(t, conn.Close(t.Context()))
	return n
}

func kindsOf(r *controltest.Rig, product, kind string) (out []string) {
	for _, k := range r.Kinds(product) {
		if k == kind {
			out = append(out, k)
		}
	}
	return out
}

// neverClaims asks for the status until stop is called. An answer that claims to know must have the drift of the cap.
func neverClaims(t *testing.T, r *controltest.Rig, claims, unknown *atomic.Int64) (stop func()) {
	t.Helper()
	return r.AsksStatus(func(s *controlv1.GetStatusResponse) {
		e := s.GetEquality()
		switch {
		case strings.Contains(e.GetUnknown(), "older copy"):
			unknown.Add(1)
			if e.GetAsOf() != nil {
				claims.Add(1)
			}
		case s.GetDrifted() != 1 || s.GetInSync() != 2:
			claims.Add(1)
		}
	})
}

func TestLedger_RestoredWhileStoppedIsReadAgain(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop, older := changedAfterCopy(t, r)
	stop()
	r.RestoreLedger(older)

	var claims, unknown atomic.Int64
	r.Start()
	quit := neverClaims(t, r, &claims, &unknown)
	expectPresent(t, r)
	quit()
	require.Zero(t, claims.Load(), "no answer rests on the copy")
	require.Equal(t, 1, rereads(t, r))
}

func TestLedger_RestoredWhileRunningIsReadAgain(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	_, older := changedAfterCopy(t, r)

	var claims, unknown atomic.Int64
	quit := neverClaims(t, r, &claims, &unknown)
	r.RestoreLedger(older)
	expectPresent(t, r)
	quit()
	require.Zero(t, claims.Load(), "no answer rests on the copy")
	require.Positive(t, unknown.Load(), "the answers say why")
	require.Equal(t, 1, rereads(t, r))

	// The positions are those of the present again: the next start has nothing to read.
	r.Desire("bag", "Bag", 14)
	r.Observe("bag", "Bag", 14)
	r.Eventually("bag", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
}

// A stop stores the last positions.
func TestLedger_StopLeavesNothingToReadAgain(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop, _ := changedAfterCopy(t, r)
	stop()
	r.Start()
	require.NotContains(t, r.Equality().GetUnknown(), "read again")
	expectPresent(t, r)
	require.Zero(t, rereads(t, r))
}

// A process that is killed has stored messages that its positions do not have yet.
func TestLedger_KilledReadsLastMessagesTwice(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop, _ := changedAfterCopy(t, r)
	stop()
	conn, err := pgx.Connect(t.Context(), r.Config.LedgerURL)
	require.NoError(t, err)
	tag, err := conn.Exec(t.Context(), `UPDATE driftless_ledger.stream_position SET sequence = sequence - 2
		WHERE stream IN ('CATALOG', 'KV_OBSERVED')`)
	require.NoError(t, err)
	require.EqualValues(t, 2, tag.RowsAffected())
	require.NoError(t, conn.Close(t.Context()))

	r.Start()
	expectPresent(t, r)
	require.Zero(t, rereads(t, r), "nothing was missing, so the audit trail names no older copy")
}
