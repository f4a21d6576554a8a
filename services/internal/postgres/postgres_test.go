package postgres_test

import (
	"bytes"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/postgres"
)

func as(t *testing.T, base, user, password string) *url.URL {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	u.User = url.UserPassword(user, password)
	return u
}

func TestDatabase_ReadsCredentialsAtEachConnection(t *testing.T) {
	t.Parallel()
	server, admin := localtest.PostgresWithPasswords(t)
	_, err := admin.Exec(t.Context(), "CREATE ROLE sync SUPERUSER LOGIN PASSWORD 'hush one'")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "url")
	write := func(u *url.URL) string {
		require.NoError(t, os.WriteFile(file, []byte(u.String()+"\n"), 0o600))
		return u.String()
	}
	var log bytes.Buffer
	db := postgres.Database{
		URL: write(as(t, server.URL(), "sync", "hush one")), File: file, Setting: "DATABASE_URL", Application: "test",
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	cfg, err := db.PoolConfig()
	require.NoError(t, err)
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	works := func() error {
		_, err := pool.Exec(t.Context(), "SELECT")
		if err != nil {
			return err
		}
		conn, err := db.Connect(t.Context())
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err
	}
	// expire ends the pool's sessions, as the rotation of a password finally does.
	expire := func(password string) {
		_, err := admin.Exec(t.Context(), "ALTER ROLE sync PASSWORD '"+password+"'")
		require.NoError(t, err)
		pool.Reset()
	}
	require.NoError(t, works())

	// Until the file has the new password, the error names the file but not its content.
	expire("hush two")
	require.Error(t, works())
	_, err = db.Connect(t.Context())
	require.ErrorContains(t, err, "password authentication failed")
	require.ErrorContains(t, err, file)
	require.NotContains(t, err.Error(), "hush")
	require.Contains(t, log.String(), file)
	require.NotContains(t, log.String(), "hush")

	write(as(t, server.URL(), "sync", "hush two"))
	require.NoError(t, works())

	// The file names another user, as Vault does, and a database that does not exist. Only the user is used, and a
	// warning says so.
	_, err = admin.Exec(t.Context(), "CREATE ROLE sync2 SUPERUSER LOGIN PASSWORD 'hush three'")
	require.NoError(t, err)
	other := as(t, server.URL(), "sync2", "hush three")
	other.Path = "/elsewhere"
	write(other)
	pool.Reset()
	require.NoError(t, works())
	var user, database string
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT current_user, current_database()").Scan(&user, &database))
	require.Equal(t, "sync2", user)
	require.NotEqual(t, "elsewhere", database)
	require.Contains(t, log.String(), "restart the service to change to the other server")

	// An incomplete or missing file is an error that names it.
	for name, spoil := range map[string]func(){
		"empty": func() { require.NoError(t, os.WriteFile(file, nil, 0o600)) },
		"torn":  func() { require.NoError(t, os.WriteFile(file, []byte("postgres://sync:hush three@["), 0o600)) },
		"gone":  func() { require.NoError(t, os.Remove(file)) },
	} {
		spoil()
		pool.Reset()
		err := works()
		require.ErrorContains(t, err, file, name)
		require.NotContains(t, err.Error(), "hush", name)
	}
	write(as(t, server.URL(), "sync", "hush two"))
	require.NoError(t, works())
}

func TestDatabase_SpeaksUTF8(t *testing.T) {
	t.Parallel()
	server := localtest.PostgresServer(t, nil)
	admin, err := pgx.Connect(t.Context(), server.URL())
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close(t.Context()) })
	for encoding, refused := range map[string]string{
		"LATIN1":    "",
		"UTF8":      "",
		"SQL_ASCII": "database of_SQL_ASCII has encoding SQL_ASCII",
	} {
		name := `"of_` + encoding + `"`
		_, err := admin.Exec(t.Context(),
			"CREATE DATABASE "+name+" ENCODING '"+encoding+"' LOCALE 'C' TEMPLATE template0")
		require.NoError(t, err)
		u, err := url.Parse(server.URL())
		require.NoError(t, err)
		u.Path = "/of_" + encoding
		cfg, err := postgres.Database{URL: u.String(), Setting: "DATABASE_URL"}.PoolConfig()
		require.NoError(t, err)
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		err = postgres.CheckEncoding(t.Context(), pool)
		if refused != "" {
			require.ErrorContains(t, err, refused)
			continue
		}
		require.NoError(t, err)
		var text string
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT $1 || chr(233)", "größe ").Scan(&text))
		require.Equal(t, "größe é", text, encoding)
	}
}

func TestDatabase_ErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://a:hush@[", "host=x password='hush", "postgres://a:hush%@b/c"} {
		db := postgres.Database{URL: url, Setting: "DATABASE_URL"}
		_, err := db.Config()
		require.ErrorContains(t, err, "DATABASE_URL is not a Postgres URL")
		require.NotContains(t, err.Error(), "hush")
		_, err = db.PoolConfig()
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hush")
	}
}
