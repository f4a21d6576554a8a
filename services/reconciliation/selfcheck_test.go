package reconciliation

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/databaseprobe"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestSelfChecker_MakesTheChecksOfReconciliation(t *testing.T) {
	t.Parallel()
	r := &reconciler{mesh: new(mesh.Mesh)}
	require.ElementsMatch(t, doctor.OwnChecks(topology.Reconciliation), r.selfChecker().Covers())
}

func TestLedgerProbes_FollowARotatedPassword(t *testing.T) {
	t.Parallel()
	server, admin := localtest.PostgresWithPasswords(t)
	exec := func(sql string) {
		_, err := admin.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec("CREATE ROLE sync SUPERUSER LOGIN PASSWORD 'one'")
	file := filepath.Join(t.TempDir(), "url")
	write := func(password string) string {
		u, err := url.Parse(server.URL())
		require.NoError(t, err)
		u.User = url.UserPassword("sync", password)
		require.NoError(t, os.WriteFile(file, []byte(u.String()+"\n"), 0o600))
		return u.String()
	}
	db := databaseprobe.Database{Database: postgres.Database{
		URL: write("one"), File: file, Setting: "LEDGER_DATABASE_URL",
	}}
	look := func(check func(context.Context, postgres.Database) error) doctor.Report {
		return doctor.Run(t.Context(), databaseprobe.Ledger(db, check),
			doctor.Options{Selection: doctor.Selection{Only: []string{doctor.LedgerSchema}}})
	}
	exec("ALTER ROLE sync PASSWORD 'two'")
	write("two")
	found := look(CheckLedger).Findings
	require.Len(t, found, 1)
	require.Contains(t, found[0].Message, "is at version 0", "there are no tables yet")
	require.NoError(t, Migrate(t.Context(), write("two"), ""))
	require.True(t, look(CheckLedger).IsFine())

	report := look(func(context.Context, postgres.Database) error { return errors.New("connection reset") })
	require.Empty(t, report.Findings)
	require.Equal(t, []doctor.NotLooked{{ID: doctor.LedgerSchema, Reason: "connection reset"}}, report.NotLooked)
}
