package localtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestPostgres_GivesEachTestItsOwnDatabase(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two", "three"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := localtest.Pool(t, localtest.Postgres(t))
			_, err := pool.Exec(t.Context(), "CREATE TABLE things (id int)")
			require.NoError(t, err)
		})
	}
}

func TestPostgres_DropsDatabaseWithSessionsAndSlots(t *testing.T) {
	// This test keeps the shared server running, so that it can check what another test leaves there.
	observer := localtest.Pool(t, localtest.Postgres(t))
	var database string
	t.Run("a test that leaves everything open", func(t *testing.T) {
		url := localtest.Postgres(t)
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		database = conn.Config().Database

		replication, err := pgconn.Connect(t.Context(), url+"&replication=database")
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()); _ = replication.Close(context.Background()) })
		results, err := replication.Exec(t.Context(), "CREATE_REPLICATION_SLOT left LOGICAL pgoutput").ReadAll()
		require.NoError(t, err)
		require.Len(t, results, 1)
		_, err = replication.Exec(t.Context(), "CREATE_REPLICATION_SLOT held TEMPORARY LOGICAL pgoutput").ReadAll()
		require.NoError(t, err)
		require.Equal(t, 2,
			count(t, observer, "SELECT count(*) FROM pg_replication_slots WHERE database = $1", database))
	})
	require.Zero(t, count(t, observer, "SELECT count(*) FROM pg_replication_slots WHERE database = $1", database))
	require.Zero(t, count(t, observer, "SELECT count(*) FROM pg_database WHERE datname = $1", database))
}

func TestPostgresServer_AppliesSettings(t *testing.T) {
	t.Parallel()
	server := localtest.PostgresServer(t, map[string]string{"wal_level": "replica"})
	var level string
	require.NoError(t, localtest.Pool(t, server.URL()).QueryRow(t.Context(), "SHOW wal_level").Scan(&level))
	require.Equal(t, "replica", level)
}

func TestNATS_HasJetStream(t *testing.T) {
	t.Parallel()
	url, conn := localtest.NATS(t, localtest.SyncAlways)
	require.Contains(t, url, "nats://127.0.0.1:")
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	require.NoError(t, err)
	ack, err := js.Publish(t.Context(), "s.1", nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, ack.Sequence)
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func count(t *testing.T, db querier, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}
