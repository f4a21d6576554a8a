package localtest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local"
)

//nolint:dupword // database and role
const (
	passwordRules = `host all sync,sync2 127.0.0.1/32 scram-sha-256
host replication sync,sync2 127.0.0.1/32 scram-sha-256
`
	trustRules = `local all all trust
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
`
)

// PostgresWithPasswords starts a server for this test that asks the roles sync and sync2 for a password. It also
// returns a session of the superuser, who needs none. Both end with the test.
func PostgresWithPasswords(t testing.TB) (*local.Postgres, *pgx.Conn) {
	t.Helper()
	dir, remove, err := newScratchDir()
	require.NoError(t, err)
	t.Cleanup(remove)
	hba := filepath.Join(dir, "pg_hba.conf")
	require.NoError(t, os.WriteFile(hba, []byte(passwordRules+trustRules), 0o644))
	server := PostgresServer(t, map[string]string{"hba_file": hba})
	conn, err := pgx.Connect(t.Context(), server.URL())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return server, conn
}
