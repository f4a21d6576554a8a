package ingestion_test

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// examined returns what the probe says within a time limit, by the id of the check.
func examined(t *testing.T, cfg ingestion.Config, limit time.Duration) (found, notLooked map[string]string,
	fine []string,
) {
	t.Helper()
	p := ingestion.Probe(cfg)
	p.Needs = nil
	report := doctor.Run(t.Context(), []doctor.Probe{p},
		doctor.Options{Selection: doctor.Selection{Only: p.Covers}, Limit: limit})
	found, notLooked = map[string]string{}, map[string]string{}
	for _, f := range report.Findings {
		found[f.ID] = f.Message
	}
	for _, n := range report.NotLooked {
		notLooked[n.ID] = n.Reason
	}
	for _, f := range report.Fine {
		fine = append(fine, f.ID)
	}
	return found, notLooked, fine
}

func TestProbe_FollowsARotatedPassword(t *testing.T) {
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
	cfg := ingestion.Config{
		Account: "default", DatabaseURL: write("one"), DatabaseURLFile: file, Slot: "probe", Publication: "driftless",
		StripeIDs: true,
	}
	require.NoError(t, ingestion.Migrate(t.Context(), cfg.DatabaseURL, cfg.Publication, ""))
	require.NoError(t, ingestion.MigrateStripeIDs(t.Context(), cfg.DatabaseURL, ""))
	exec("ALTER ROLE sync PASSWORD 'two'")
	write("two")
	found, notLooked, fine := examined(t, cfg, testTimeout)
	require.Empty(t, found)
	require.Empty(t, notLooked)
	require.Contains(t, fine, "database.tables")
	require.Contains(t, fine, "database.stripe_ids")

	write("three")
	found, notLooked, fine = examined(t, cfg, testTimeout)
	require.Empty(t, found, "who cannot connect has not looked")
	require.Contains(t, notLooked["database.tables"], "password authentication failed")
	require.Empty(t, fine)
}

// Rows that take long do not hide what was found before.
func TestProbe_TellsWhatItFoundBeforeRowsThatTakeLong(t *testing.T) {
	t.Parallel()
	database := localtest.Postgres(t)
	_, err := localtest.Pool(t, database).Exec(t.Context(), `CREATE TABLE items (id text PRIMARY KEY, name text);
		CREATE TABLE tariffs (id text PRIMARY KEY, item text, cents int); ALTER TABLE tariffs REPLICA IDENTITY FULL;
		INSERT INTO items VALUES ('mug', 'Mug')`)
	require.NoError(t, err)
	cfg := ingestion.Config{
		Account: "default", DatabaseURL: database, Slot: "probe_rows", Publication: "driftless",
		Mapping: &config.Mapping{
			Products: "SELECT id, name FROM items CROSS JOIN LATERAL (SELECT pg_sleep(600)) AS slow",
			Prices:   "SELECT id, item AS product, 'eur' AS currency, cents AS unit_amount FROM tariffs",
			Watch: []config.WatchedTable{
				{Table: "items", ProductID: "id"},
				{Table: "tariffs", ProductID: "item"},
			},
		},
	}
	var found, notLooked map[string]string
	var fine []string
	// A busy machine needs more time for what comes before the rows.
	for limit := 2 * time.Second; found["database.publication"] == "" && limit < testTimeout; limit *= 2 {
		found, notLooked, fine = examined(t, cfg, limit)
	}
	require.Contains(t, found["database.publication"], "driftless")
	require.Contains(t, notLooked["mapping.products"], "took longer than")
	require.Contains(t, fine, "database.wal_level", "it was looked at")
}
