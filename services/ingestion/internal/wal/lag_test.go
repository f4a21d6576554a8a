package wal_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestInactiveSlots_AreThoseThatNobodyReads(t *testing.T) {
	pool := localtest.Pool(t, localtest.Postgres(t))
	for _, slot := range []string{"lag_test_own", "lag_test_forgotten"} {
		_, err := pool.Exec(t.Context(), "SELECT pg_create_physical_replication_slot($1, true)", slot)
		require.NoError(t, err)
		t.Cleanup(func() {
			_, err := pool.Exec(context.WithoutCancel(t.Context()), "SELECT pg_drop_replication_slot($1)", slot)
			require.NoError(t, err)
		})
	}
	slots, err := (&wal.Source{Slot: "lag_test_own"}).InactiveSlots(t.Context(), pool)
	require.NoError(t, err)
	names := []string{}
	for _, s := range slots {
		names = append(names, s.Name)
	}
	require.Contains(t, names, "lag_test_forgotten")
	require.NotContains(t, names, "lag_test_own")
	require.LessOrEqual(t, len(names), 20)
}
