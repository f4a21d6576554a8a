package ingestion_test

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func encoded(t *testing.T, encoding string) *rig {
	t.Helper()
	r := newRig(t)
	r.cfg.DatabaseURL = localtest.Postgres(t, "ENCODING '"+encoding+"' LOCALE 'C' TEMPLATE template0")
	utf8 := r.pool
	r.pool = localtest.Pool(t, r.cfg.DatabaseURL+"&client_encoding=UTF8")
	t.Cleanup(func() {
		r.stop()
		r.dropSlot()
		r.pool = utf8
	})
	return r
}

func TestCapture_ReadsLatin1Database(t *testing.T) {
	t.Parallel()
	r := encoded(t, "LATIN1")
	r.start()
	r.exec("INSERT INTO driftless.products (id, name) VALUES ('mug', 'Größe Ñ')")
	// The id comes through the replication protocol. Stripe accepts no such id, and the letter shows how it arrived.
	r.exec("INSERT INTO driftless.products (id, name) VALUES ('tassé', 'Tasse')")
	r.waitCaptured()
	require.Equal(t, "Größe Ñ", r.latest("mug").GetProduct().GetName())
	require.Equal(t, "tassé", r.dead("tassé").GetProductId())
}

func TestRun_RefusesDatabaseWithoutEncoding(t *testing.T) {
	t.Parallel()
	r := encoded(t, "SQL_ASCII")
	err := ingestion.Run(t.Context(), r.cfg)
	require.ErrorContains(t, err, "has encoding SQL_ASCII")
	require.ErrorContains(t, err, "ENCODING 'UTF8'")
}

func TestCapture_ContinuesWithRotatedPassword(t *testing.T) {
	t.Parallel()
	r := newRig(t)
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
	r.cfg.DatabaseURL, r.cfg.DatabaseURLFile = write("one"), file
	r.start()
	defer r.stop()
	exec("INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')")
	r.waitCaptured()

	exec("ALTER ROLE sync PASSWORD 'two'")
	write("two")
	exec("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'sync'")
	exec("UPDATE driftless.products SET name = 'Mug 2' WHERE id = 'mug'")
	require.Eventually(t, func() bool { return r.latest("mug").GetProduct().GetName() == "Mug 2" }, testTimeout,
		10*time.Millisecond)
}
