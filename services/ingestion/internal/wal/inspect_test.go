package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestInspect_WarnsOfChildrenWithNarrowIdentity(t *testing.T) {
	t.Parallel()
	pool := localtest.Pool(t, localtest.Postgres(t))
	exec := func(sql string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`CREATE TABLE tariffs (id text PRIMARY KEY, item text); ALTER TABLE tariffs REPLICA IDENTITY FULL;
		CREATE TABLE tariffs_eu (PRIMARY KEY (id)) INHERITS (tariffs)`)
	s := &Source{Tables: []Table{{Name: "public.tariffs", Columns: []string{"item"}, Children: make([]uint32, 1)}}}
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT 'tariffs'::regclass::oid, 'tariffs_eu'::regclass::oid`).
		Scan(&s.Tables[0].OID, &s.Tables[0].Children[0]))
	found, err := s.Inspect(t.Context(), pool)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Len(t, found.Warnings(), 1)
	require.Equal(t, "ALTER TABLE tariffs_eu REPLICA IDENTITY FULL;", found[0].Fix)
	require.False(t, s.Tables[0].Narrow, "the rows of the table itself are certain")

	exec(found[0].Fix)
	found, err = s.Inspect(t.Context(), pool)
	require.NoError(t, err)
	require.Empty(t, found)
}
