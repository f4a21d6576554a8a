package wal

import (
	"context"
	neturl "net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestFits_RequiresGeneratedColumnsOnlyWhereNeeded(t *testing.T) {
	t.Parallel()
	s := &Source{Publication: "driftless", Tables: []Table{{OID: 7, Name: "public.item"}}}
	operators := publication{exists: true, complete: true, tables: []publishedTable{{OID: 7}}}
	own := operators
	own.comment = s.ownComment(false)
	needed := operators
	needed.needsGenerated = true
	published := needed
	published.generated = true
	for name, c := range map[string]struct {
		p       publication
		version int
		fits    bool
	}{
		"an operator's, on 17":                        {operators, 170000, true},
		"an operator's, on 18":                        {operators, 180000, true},
		"one with a generated column, on 17":          {needed, 170000, true},
		"one with a generated column, on 18":          {needed, 180000, false},
		"one that publishes generated columns, on 18": {published, 180000, true},
		"our own of before 18, on 18":                 {own, 180000, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.fits, s.fits(c.p, c.version))
		})
	}
}

func TestPublication_DetectsGeneratedColumns(t *testing.T) {
	t.Parallel()
	pool := localtest.Pool(t, localtest.Postgres(t))
	_, err := pool.Exec(t.Context(),
		`CREATE TABLE item (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (2 * id) STORED);
		CREATE TABLE plain (id int PRIMARY KEY); CREATE PUBLICATION driftless FOR TABLE item, plain`)
	require.NoError(t, err)
	version, err := serverVersion(t.Context(), pool)
	require.NoError(t, err)
	for table, want := range map[string]bool{"item": true, "plain": false} {
		s := &Source{Publication: "driftless", Tables: []Table{{Name: table}}}
		require.NoError(t,
			pool.QueryRow(t.Context(), "SELECT $1::text::regclass::oid::bigint", table).Scan(&s.Tables[0].OID))
		p, err := s.publication(t.Context(), pool, version)
		require.NoError(t, err)
		require.True(t, p.exists)
		require.Equal(t, want, p.needsGenerated, table)
	}
}

func TestInspectUnrepairable_FindsWhatRoleMayNotRepair(t *testing.T) {
	url := localtest.Postgres(t)
	owner := localtest.Pool(t, url)
	exec := func(sql string) {
		t.Helper()
		_, err := owner.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE tariff (id int PRIMARY KEY);
		CREATE ROLE unrepairable LOGIN PASSWORD 'secret'`)
	t.Cleanup(func() {
		_, err := owner.Exec(context.Background(), `DROP OWNED BY unrepairable; DROP ROLE unrepairable`)
		require.NoError(t, err)
	})
	address, err := neturl.Parse(url)
	require.NoError(t, err)
	address.User = neturl.UserPassword("unrepairable", "secret")
	role := localtest.Pool(t, address.String())
	s := &Source{Publication: "driftless", Tables: []Table{{Name: "public.item"}, {Name: "public.tariff"}}}
	for i := range s.Tables {
		require.NoError(t, owner.QueryRow(t.Context(), "SELECT $1::text::regclass::oid::bigint", s.Tables[i].Name).
			Scan(&s.Tables[i].OID))
	}
	found, err := s.InspectUnrepairable(t.Context(), owner)
	require.NoError(t, err)
	require.Empty(t, found, "the owner can create it")

	found, err = s.InspectUnrepairable(t.Context(), role)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Contains(t, found[0].Fix, `CREATE PUBLICATION "driftless" FOR TABLE public.item, public.tariff`)

	exec(`CREATE PUBLICATION driftless FOR TABLE item WITH (publish_via_partition_root = true)`)
	found, err = s.InspectUnrepairable(t.Context(), role)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.True(t, found[0].IsRefusal())
	require.Equal(t, `ALTER PUBLICATION "driftless" ADD TABLE public.tariff;`, found[0].Fix)

	exec(found[0].Fix)
	found, err = s.InspectUnrepairable(t.Context(), role)
	require.NoError(t, err)
	require.Empty(t, found)
}
