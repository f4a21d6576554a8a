package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// A copy that is older than what the process has stored must get nothing more, and publish nothing.
func TestLedger_RefusesOlderCopy(t *testing.T) {
	t.Parallel()
	url := database(t)
	l, err := ledger.Open(t.Context(), url, ledger.Config{Account: "default"})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	require.NoError(t, l.Join(t.Context()))
	require.NoError(t, l.Apply(t.Context(), desire(10, 1, "Mug")))
	reread, err := l.Continuity(t.Context())
	require.NoError(t, err)
	require.Nil(t, reread)
	position := []ledger.StreamPosition{{Stream: "CATALOG", Created: noon, Sequence: 1}}
	require.NoError(t, l.Advance(t.Context(), position))

	// The copy was made before the last transaction.
	db := localtest.Pool(t, url)
	_, err = db.Exec(t.Context(), `UPDATE driftless_ledger.writer SET writes = 0`)
	require.NoError(t, err)
	_, err = l.Continuity(t.Context())
	require.ErrorIs(t, err, ledger.ErrReplaced)
	position[0].Sequence = 2
	require.ErrorIs(t, l.Advance(t.Context(), position), ledger.ErrReplaced)
	// Any of the slots may be the one whose count went back. All of them are tried.
	require.ErrorIs(t, applyUntilFailure(t.Context(), l), ledger.ErrReplaced)
	_, err = db.Exec(t.Context(), `INSERT INTO driftless_ledger.outbox (account, product_id, kind, payload, traceparent)
		VALUES ('default', 'mug', 'command', '', '')`)
	require.NoError(t, err)
	require.ErrorIs(t, l.PublishOutbox(t.Context(), func(context.Context, ledger.Message) error {
		t.Error("published from an older copy")
		return nil
	}), ledger.ErrReplaced)

	gaps := []ledger.Gap{{Stream: "CATALOG", Created: noon, First: 1, Last: 2}}
	require.NoError(t, l.BeginReread(t.Context(), "an older copy", noon, false, gaps))
	reread, err = l.Continuity(t.Context())
	require.NoError(t, err)
	require.Equal(t, gaps, utc(reread.Gaps))
	require.NoError(t, l.Advance(t.Context(), position))
	stored, err := l.Positions(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, stored["CATALOG"].Sequence, "nothing counts as read before the reread ends")
	var commands int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM driftless_ledger.outbox`).Scan(&commands))
	require.Zero(t, commands, "commands of the copy are not published")

	missing, err := l.ApplyAgain(t.Context(), desire(500, 500, "Cup"))
	require.NoError(t, err)
	require.Equal(t, 2, missing, "the product and the entry")
	ended, err := l.EndReread(t.Context(), func(ledger.Reread) *ledger.Entry { return nil })
	require.NoError(t, err)
	require.Nil(t, ended, "the gap is not read yet")
	require.NoError(t, l.AdvanceReread(t.Context(),
		ledger.RereadProgress{Stream: "CATALOG", Next: 3, Missing: missing}))
	ended, err = l.EndReread(t.Context(), func(ledger.Reread) *ledger.Entry { return nil })
	require.NoError(t, err)
	require.EqualValues(t, 2, ended.Missing)
	stored, err = l.Positions(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, stored["CATALOG"].Sequence)
	gap, err := l.GapAt(t.Context(), noon.Add(time.Minute))
	require.NoError(t, err)
	require.True(t, gap.Since.Equal(noon), "states that came and went since the copy are not known")
}

// An earlier version of reconciliation stores no positions, and may keep no past states. A process that was killed has
// stored a second of messages without them.
func TestEndReread_MarksTimeOfEarlierVersion(t *testing.T) {
	t.Parallel()
	l, err := ledger.OpenMigrated(t.Context(), postgres.Database{URL: database(t)}, ledger.Config{Account: "default"})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	reread := func(from, to time.Time) {
		gaps := []ledger.Gap{{Stream: "CATALOG", Created: noon, First: 1, Last: 2, Acknowledged: 2}}
		require.NoError(t, l.BeginReread(t.Context(), "killed, or an older copy", noon.Add(-time.Hour), false, gaps))
		require.NoError(t, l.AdvanceReread(t.Context(),
			ledger.RereadProgress{Stream: "CATALOG", Next: 3, From: from, To: to}))
		ended, err := l.EndReread(t.Context(), func(ledger.Reread) *ledger.Entry { return nil })
		require.NoError(t, err)
		require.NotNil(t, ended)
	}
	gapAt := func(at time.Time) *ledger.PastGap {
		gap, err := l.GapAt(t.Context(), at)
		require.NoError(t, err)
		return gap
	}
	reread(noon, noon.Add(2*time.Second))
	require.Nil(t, gapAt(noon.Add(time.Second)), "a killed process kept the past states")
	reread(noon, noon.Add(time.Hour))
	require.Nil(t, gapAt(noon.Add(-time.Minute)))
	require.NotNil(t, gapAt(noon.Add(time.Minute)))
	require.Nil(t, gapAt(noon.Add(2*time.Hour)))
}

func utc(gaps []ledger.Gap) []ledger.Gap {
	for i := range gaps {
		gaps[i].Created = gaps[i].Created.UTC()
	}
	return gaps
}

func applyUntilFailure(ctx context.Context, l *ledger.Ledger) error {
	for i := range uint64(100) {
		if err := l.Apply(ctx, desire(20+i, 20+i, "Mug")); err != nil {
			return err
		}
	}
	return nil
}
