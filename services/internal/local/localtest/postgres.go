package localtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftless-sync/driftless/services/internal/local"
)

// Postgres creates an empty database on the server that the tests of this process share, and returns its URL. The user
// is a superuser, and wal_level is logical. The database is dropped when the test ends, with its sessions and
// replication slots.
//
// The clauses are those of CREATE DATABASE, such as "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0".
//
// Names of replication slots are unique in a server, not in a database. Tests that create slots give each its own name,
// or use a PostgresServer.
func Postgres(t testing.TB, clauses ...string) string {
	t.Helper()
	server := shared.start(t)
	name := fmt.Sprintf("test_%d", shared.databases.Add(1))
	shared.create(t, name, clauses...)
	t.Cleanup(func() { shared.drop(t, name) })
	return inDatabase(t, server.URL(), name)
}

// PostgresCopy creates a database like Postgres, as a copy of one that prepare filled. prepare runs once in a process
// for each name, and must close its connections.
func PostgresCopy(t testing.TB, name string, prepare func(url string) error) string {
	t.Helper()
	server := shared.start(t)
	template := "template_" + name
	shared.prepare(t, server, template, prepare)
	return Postgres(t, "TEMPLATE "+template)
}

// Pool returns a pool of connections to the database that is closed when the test ends.
func Pool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// PostgresServer starts a server for this test with settings that override the defaults, such as {"wal_level":
// "replica"}. It is stopped and removed when the test ends.
func PostgresServer(t testing.TB, settings map[string]string) *local.Postgres {
	t.Helper()
	dir, remove, err := newScratchDir()
	require.NoError(t, err)
	t.Cleanup(remove)
	server, err := start(dir, settings)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

func start(dir string, settings map[string]string) (*local.Postgres, error) {
	data := filepath.Join(dir, "postgres")
	if err := copyCluster(data); err != nil {
		return nil, fmt.Errorf("copy the cluster for tests: %w", err)
	}
	return startIn(data, settings)
}

func startIn(data string, settings map[string]string) (*local.Postgres, error) {
	return local.StartPostgres(context.Background(), local.PostgresConfig{
		DataDir:  data,
		NoFsync:  true,
		Settings: settings,
		Logger:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
}

// sharedServer runs from the first test that uses it until the process ends.
type sharedServer struct {
	databases atomic.Int64 // databases

	templates sync.Map // func() error by name

	mu     sync.Mutex
	remove func() // kept: it keeps the guard alive, which stops the server and removes its directory
	server *local.Postgres
	// admin creates and drops databases. A connection costs more than either.
	admin *pgx.Conn
}

var shared sharedServer

func (s *sharedServer) start(t testing.TB) *local.Postgres {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return s.server
	}
	dir, remove, err := newScratchDir()
	require.NoError(t, err)
	hba := filepath.Join(dir, "pg_hba.conf")
	// A password takes the client 10 ms with the race detector.
	require.NoError(t, os.WriteFile(hba, []byte(trustRules), 0o644))
	server, err := start(dir, map[string]string{
		"hba_file": hba, "max_connections": "300", "max_replication_slots": "100", "max_wal_senders": "100",
		// Its processes cost more than they save in databases that live for seconds.
		"autovacuum": "off",
	})
	require.NoError(t, err)
	s.server, s.remove = server, remove
	s.admin, err = pgx.Connect(context.Background(), server.URL())
	require.NoError(t, err)
	return server
}

// stop stops the server, if there is one.
func (s *sharedServer) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	err := errors.Join(s.admin.Close(context.Background()), s.server.Close())
	s.remove()
	s.server, s.remove, s.admin = nil, nil, nil
	return err
}

// VerifyTestMain runs the tests of a package, and fails if one of them leaves a goroutine behind. The server that they
// share does not count.
func VerifyTestMain(m *testing.M) { goleak.VerifyTestMain(stopsServer{m}) }

type stopsServer struct{ *testing.M }

func (s stopsServer) Run() int {
	status := s.M.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the Postgres that tests share:", err)
		return max(status, 1)
	}
	return status
}

// prepare makes a template, if there is none yet.
func (s *sharedServer) prepare(t testing.TB, server *local.Postgres, name string, prepare func(url string) error) {
	t.Helper()
	once, _ := s.templates.LoadOrStore(name, sync.OnceValue(func() error {
		s.create(t, name)
		return prepare(inDatabase(t, server.URL(), name))
	}))
	require.NoError(t, once.(func() error)(), "prepare %s", name)
}

// create creates a database. Without a write-ahead log of each page, this takes a quarter of the time.
func (s *sharedServer) create(t testing.TB, name string, clauses ...string) {
	t.Helper()
	statement := "CREATE DATABASE " + name + " STRATEGY file_copy " + strings.Join(clauses, " ")
	_, err := s.exec(context.WithoutCancel(t.Context()), statement)
	require.NoError(t, err)
}

// drop drops the database. It first ends a session that streams from one of its slots. The slots go with the database.
func (s *sharedServer) drop(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		_, err := s.exec(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "+
			"WHERE database = $1 AND active", name)
		require.NoError(t, err)
		// Postgres refuses this as long as the ended session uses its slot.
		if _, err = s.exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			require.NoError(t, err, "drop database %s", name)
		case <-retry.C:
		}
	}
}

func (s *sharedServer) exec(ctx context.Context, statement string, args ...any) (pgconn.CommandTag, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin.IsClosed() {
		// A statement took too long.
		admin, err := pgx.Connect(ctx, s.server.URL())
		if err != nil {
			return pgconn.CommandTag{}, err
		}
		s.admin = admin
	}
	return s.admin.Exec(ctx, statement, args...)
}

func inDatabase(t testing.TB, server, name string) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}
