package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// OBSERVED lost messages, and SYNC was made again. STRIPE is as it was, and nothing of it is read again.
func TestEndReread_KeepsWhatWasReadOfOtherStreams(t *testing.T) {
	t.Parallel()
	l, err := ledger.OpenMigrated(t.Context(), postgres.Database{URL: database(t)}, ledger.Config{Account: "default"})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	require.NoError(t, l.Join(t.Context()))
	again := noon.Add(time.Hour)
	require.NoError(t, l.Advance(t.Context(), []ledger.StreamPosition{
		{Stream: "OBSERVED", Created: noon, Sequence: 10, ReadTo: 10},
		{Stream: "STRIPE", Created: noon, Sequence: 800, ReadTo: 900},
		{Stream: "SYNC", Created: noon, Sequence: 50, ReadTo: 50},
	}))
	require.NoError(t, l.BeginReread(t.Context(), "removed", noon, true, []ledger.Gap{
		{Stream: "OBSERVED", Created: noon, First: 11, Last: 10, ReadTo: 20},
		{Stream: "SYNC", Created: again, First: 1, Last: 0, ReadTo: 0},
	}))
	after, err := l.PositionsAfterReread(t.Context())
	require.NoError(t, err)
	require.Len(t, after, 3)
	require.EqualValues(t, 20, after["OBSERVED"].ReadTo)
	require.EqualValues(t, 900, after["STRIPE"].ReadTo)
	require.EqualValues(t, 0, after["SYNC"].ReadTo)

	require.NoError(t, l.AdvanceRead(t.Context(), []ledger.StreamPosition{
		{Stream: "OBSERVED", Created: noon, ReadTo: 15},
		{Stream: "STRIPE", Created: noon, ReadTo: 950},
		{Stream: "SYNC", Created: again, ReadTo: 7},
	}))
	require.NoError(t, l.CountMissing(t.Context(), 0))
	ended, err := l.EndReread(t.Context(), func(ledger.Reread) *ledger.Entry { return nil })
	require.NoError(t, err)
	require.NotNil(t, ended)
	stored, err := l.Positions(t.Context())
	require.NoError(t, err)
	require.Len(t, stored, 3)
	for stream, want := range map[string]ledger.StreamPosition{
		"OBSERVED": {Sequence: 10, ReadTo: 20, Created: noon},
		"STRIPE":   {Sequence: 800, ReadTo: 950, Created: noon},
		"SYNC":     {Sequence: 0, ReadTo: 7, Created: again},
	} {
		got := stored[stream]
		require.True(t, want.Created.Equal(got.Created), stream)
		require.Equal(t, want.Sequence, got.Sequence, stream)
		require.Equal(t, want.ReadTo, got.ReadTo, stream)
	}
}
