package cli

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestUpDryRun_WritesNothing(t *testing.T) {
	t.Parallel()
	cmd := &upCmd{DryRun: true, Seed: true, Without: []string{"pull"}}
	cmd.Slot, cmd.DatabaseURL, cmd.Extras, cmd.StripeIDs = "driftless", "postgres://db", "import", true
	cmd.Policy.Policy = config.FieldRules{
		{Field: "name", Owner: "catalog", Action: "repair"},
		{Field: "description", Owner: "stripe"},
		{Field: "active", Owner: "newest", Action: "write-back"},
	}
	dir, err := cmd.prepareDryRun("data", nil)
	require.NoError(t, err)
	require.Equal(t, filepath.Join("data", "dry-run"), dir, "a push on the data directory would write")
	require.Equal(t, []string{"pull", "push", "console"}, cmd.Without)
	require.Equal(t, "name=catalog:repair,description=stripe:report,active=newest:report", cmd.Policy.Policy.String())
	require.Equal(t, "report", cmd.Extras)
	require.False(t, cmd.StripeIDs)
	require.False(t, cmd.Seed)
	require.Equal(t, "driftless_dry_run", cmd.Slot)

	shared := &upCmd{DryRun: true}
	shared.NATSURL = "nats://production"
	_, err = shared.prepareDryRun("data", nil)
	require.ErrorContains(t, err, "leave out --nats-url")
	_, err = (&upCmd{DryRun: true}).prepareDryRun("data", &config.Mapping{WriteIDs: &config.WriteIDs{}})
	require.ErrorContains(t, err, "catalog.write_ids")
	_, err = (&upCmd{Once: true}).prepareDryRun("data", nil)
	require.ErrorContains(t, err, "--dry-run")
}

// A dry run beside a mesh on the same database takes neither its slot nor its publication, and leaves nothing behind.
func TestUpDryRun_LeavesMeshAlone(t *testing.T) {
	t.Parallel()
	url := localtest.Postgres(t)
	pool := localtest.Pool(t, url)
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	const (
		slot      = "dry_run_test"
		dropSlots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
	)
	exec("CREATE PUBLICATION driftless")
	exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
	t.Cleanup(func() { _, _ = pool.Exec(context.WithoutCancel(t.Context()), dropSlots) })
	run := func() *up {
		u := &up{upCmd: &upCmd{DryRun: true}, cli: &cli{}, logger: discard()}
		u.DatabaseURL, u.Slot, u.Publication = config.Secret(url), slot, "driftless"
		_, err := u.prepareDryRun("data", nil)
		require.NoError(t, err)
		require.NoError(t, u.shareDatabase(t.Context()))
		return u
	}
	u := run()
	require.Equal(t, slot+"_dry_run", u.Slot)
	require.Equal(t, "driftless_dry_run", u.Publication)
	exec("CREATE PUBLICATION driftless_dry_run")
	exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", u.Slot)
	u.stopDependencies()
	left := func() (slots, publications []string) {
		t.Helper()
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT
			(SELECT array_agg(slot_name::text) FROM pg_replication_slots WHERE database = current_database()),
			(SELECT array_agg(pubname::text) FROM pg_publication)`).Scan(&slots, &publications))
		return slots, publications
	}
	slots, publications := left()
	require.Equal(t, []string{slot}, slots)
	require.Equal(t, []string{"driftless"}, publications)

	// Without a mesh it uses the publication of the tables' owner, and keeps it. A mesh in another database of the
	// server does not matter.
	exec("SELECT pg_drop_replication_slot($1)", slot)
	other := localtest.Pool(t, localtest.Postgres(t))
	_, err := other.Exec(t.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = other.Exec(context.WithoutCancel(t.Context()), dropSlots) })
	u = run()
	require.Equal(t, "driftless", u.Publication)
	u.stopDependencies()
	_, publications = left()
	require.Equal(t, []string{"driftless"}, publications)
}
