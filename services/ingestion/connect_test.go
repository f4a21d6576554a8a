package ingestion

import (
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestConnect_UsesCustomPlans(t *testing.T) {
	t.Parallel()
	pool, err := connect(t.Context(), Config{DatabaseURL: localtest.Postgres(t)}, false)
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), "CREATE TABLE product (id text PRIMARY KEY)")
	require.NoError(t, err)
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	// After five executions Postgres would otherwise compare the costs and choose a generic plan.
	ids := make([]string, 1000)
	for range 10 {
		_, err := conn.Exec(t.Context(), "SELECT FROM product WHERE id = ANY($1::text[])", ids)
		require.NoError(t, err)
	}
	var generic, custom int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT generic_plans, custom_plans FROM pg_prepared_statements
		WHERE statement LIKE '%ANY($1::text[])'`).Scan(&generic, &custom))
	require.Zero(t, generic)
	require.Equal(t, 10, custom)
}

// standby starts a server that says that it is a standby, and refuses everything else. It returns its address.
func standby(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				serveStandby(pgproto3.NewBackend(conn, conn))
			})
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		serving.Wait()
	})
	return listener.Addr().String()
}

// serveStandby serves one connection until the client ends it.
func serveStandby(server *pgproto3.Backend) {
	if _, err := server.ReceiveStartupMessage(); err != nil {
		return
	}
	server.Send(&pgproto3.AuthenticationOk{})
	server.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for server.Flush() == nil {
		message, err := server.Receive()
		if err != nil {
			return
		}
		query, ok := message.(*pgproto3.Query)
		switch {
		case !ok:
			return
		case strings.Contains(query.String, "pg_is_in_recovery"):
			column := pgproto3.FieldDescription{Name: []byte("pg_is_in_recovery")}
			server.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{column}})
			server.Send(&pgproto3.DataRow{Values: [][]byte{[]byte("t")}})
			server.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		default:
			server.Send(&pgproto3.ErrorResponse{
				Severity: "ERROR",
				Code:     "25006",
				Message:  "not on a standby: " + query.String,
			})
		}
		server.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
}

// After a failover, the first server of DATABASE_URL may be a standby.
func TestConnect_FindsPrimaryOfSeveralServers(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(localtest.Postgres(t))
	require.NoError(t, err)
	primary := address.Host
	address.Host = standby(t) + "," + primary
	cfg := Config{DatabaseURL: address.String(), Slot: "absent"}
	pool, err := connect(t.Context(), cfg, false)
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), "CREATE TABLE product (id text PRIMARY KEY)")
	require.NoError(t, err)

	require.NoError(t, withSetupLock(t.Context(), cfg.database(), func() error {
		var locks int
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l
			JOIN pg_database d ON d.oid = l.database
			WHERE locktype = 'advisory' AND datname = current_database()`).Scan(&locks))
		require.Equal(t, 1, locks)
		return nil
	}))

	source := &wal.Source{Database: cfg.database(), Slot: cfg.Slot}
	slot, err := source.Find(t.Context(), pool)
	require.NoError(t, err)
	require.True(t, slot.IsMissing)

	address.Host = standby(t)
	cfg.DatabaseURL = address.String()
	_, err = connect(t.Context(), cfg, false)
	require.ErrorContains(t, err, "server is in standby mode; start it, or correct DATABASE_URL")
	source.Database = cfg.database()
	_, err = source.Find(t.Context(), pool)
	require.ErrorContains(t, err, "the catalog database is a standby: set DATABASE_URL to the primary")
}
