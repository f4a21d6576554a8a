package ingestion_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Connections that were opened before a change of the settings keep the old ones, and those that are opened after it
// have the new ones.
func TestCapture_ReadsWithSameSettingsOnAllConnections(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ setting, before, after string }{
		"of the operator": {"app.vat", "none", "20"},
		"search path":     {"search_path", `"$user", public`, "shop, public"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireSameSetting(t, c.setting, c.before, c.after)
		})
	}
}

// requireSameSetting changes a setting of the database, and requires that every read uses it after one new turn.
func requireSameSetting(t *testing.T, setting, before, after string) {
	t.Helper()
	r := newRig(t)
	r.exec(`CREATE FUNCTION gate() RETURNS boolean LANGUAGE sql
		AS 'SELECT pg_advisory_xact_lock_shared(7)::text IS NOT NULL'`)
	r.ownTables(`SELECT id, name, coalesce(current_setting('` + setting + `', true), 'none') AS description
		FROM shop.items WHERE (SELECT public.gate())`)
	r.exec(`CREATE SCHEMA shop; ALTER TABLE items SET SCHEMA shop; ALTER TABLE tariffs SET SCHEMA shop`)
	r.cfg.Mapping.Prices = `SELECT id, item AS product, 'eur' AS currency, 100 AS unit_amount FROM shop.tariffs`
	r.cfg.Mapping.Watch[0].Table, r.cfg.Mapping.Watch[1].Table = "shop.items", "shop.tariffs"
	r.exec(`INSERT INTO shop.items VALUES ('mug', 'Mug')`)
	out := &logs{}
	r.cfg.Logger = slog.New(slog.NewTextHandler(out, nil))
	r.start()
	r.described("mug", before)
	r.waitCapturedAfter(time.Now())

	// A read holds a connection of the pool while the settings change.
	gate, err := pgx.Connect(t.Context(), r.cfg.DatabaseURL)
	require.NoError(t, err)
	defer gate.Close(context.WithoutCancel(t.Context()))
	_, err = gate.Exec(t.Context(), `SELECT pg_advisory_lock(7)`)
	require.NoError(t, err)
	var held sync.WaitGroup
	held.Go(func() { r.call("ReadProducts", `{"ids":["mug"]}`) })
	r.eventually("a read waits", func() bool {
		var n int
		require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE wait_event = 'advisory' AND datname = current_database()`).Scan(&n))
		return n > 0
	})
	database := pgx.Identifier{r.text(`SELECT current_database()`)}.Sanitize()
	r.exec(`ALTER DATABASE ` + database + ` SET ` + setting + ` = ` + after)
	turns := func() int { return out.count(`msg="reading the log"`) }
	r.eventually("the next turn has begun", func() bool { return turns() == 2 })
	_, err = gate.Exec(t.Context(), `SELECT pg_advisory_unlock(7)`)
	require.NoError(t, err)
	held.Wait()

	r.described("mug", after)
	// The API reads with at most two connections at once, and capture uses others.
	const readers, reads = 2, 25
	answers := make(chan string, readers*reads)
	for range readers {
		go func() {
			for range reads {
				_, answer := r.call("ReadProducts", `{"ids":["mug"]}`)
				answers <- answer
			}
		}()
	}
	var all []string
	for range readers * reads {
		all = append(all, <-answers)
	}
	for _, answer := range all {
		require.Contains(t, answer, `"description":"`+after+`"`)
	}
	// The schema is checked before each report.
	r.waitCapturedAfter(time.Now())
	r.waitCapturedAfter(time.Now())
	require.Equal(t, 2, turns(), "the shape changed once")
}
