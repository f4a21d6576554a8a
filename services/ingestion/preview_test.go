package ingestion_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// previewShop is a database with the built-in tables.
type previewShop struct {
	t    *testing.T
	url  string
	pool *pgxpool.Pool
}

func newPreviewShop(t *testing.T, products int) *previewShop {
	t.Helper()
	s := &previewShop{t: t, url: localtest.Postgres(t)}
	require.NoError(t, ingestion.Migrate(t.Context(), s.url, "driftless", ""))
	s.pool = localtest.Pool(t, s.url)
	s.exec(`INSERT INTO driftless.products (id, name, default_price)
		SELECT 'p' || n, 'Product ' || n, 'p' || n || '-eur' FROM generate_series(1, $1) n`, products)
	s.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount)
		SELECT 'p' || n || '-eur', 'p' || n, 'eur', 100 * n FROM generate_series(1, $1) n`, products)
	return s
}

func (s *previewShop) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.pool.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err)
}

// rows returns everything that the database holds: a hash of the rows of every table, and of every definition.
func (s *previewShop) rows() string {
	s.t.Helper()
	tables, err := s.pool.Query(s.t.Context(), `SELECT c.oid::regclass::text FROM pg_class c
		WHERE relkind IN ('r', 'm') AND relnamespace NOT IN (
			'pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
		UNION ALL SELECT 'pg_catalog.' || unnest(ARRAY['pg_class', 'pg_attribute', 'pg_proc', 'pg_type',
			'pg_constraint', 'pg_trigger', 'pg_index', 'pg_publication_rel'])
		ORDER BY 1`)
	require.NoError(s.t, err)
	names, err := pgx.CollectRows(tables, pgx.RowTo[string])
	require.NoError(s.t, err)
	var out strings.Builder
	for _, name := range names {
		columns := "t::text"
		if name == "pg_catalog.pg_class" {
			// Autovacuum writes statistics into the other columns.
			columns = "(t.oid, t.relname, t.relfilenode, t.relacl, t.relnatts)::text"
		}
		var hash string
		require.NoError(s.t, s.pool.QueryRow(s.t.Context(), fmt.Sprintf(
			`SELECT md5(coalesce(string_agg(%s || t.ctid::text || t.xmin::text, E'\n' ORDER BY %s), '')) FROM %s t`,
			columns, columns, name)).Scan(&hash))
		fmt.Fprintln(&out, name, hash)
	}
	return out.String()
}

func (s *previewShop) config(sql string) ingestion.PreviewConfig {
	s.t.Helper()
	cfg := ingestion.PreviewConfig{DatabaseURL: s.url, LockTimeout: time.Second, StatementTimeout: time.Minute}
	if sql != "" {
		var err error
		cfg.Statements, err = ingestion.ParseScript("change.sql", sql)
		require.NoError(s.t, err)
	}
	return cfg
}

// preview returns the result and the products that differ: "p1: 100 -> 200".
func (s *previewShop) preview(cfg ingestion.PreviewConfig) (*ingestion.PreviewResult, []string) {
	s.t.Helper()
	before := s.rows()
	out, err := ingestion.Preview(s.t.Context(), cfg)
	require.NoError(s.t, err)
	s.t.Cleanup(out.Close)
	var changes []string
	words := func(state ingestion.PreviewState) string {
		switch p := state.Change.GetProduct(); {
		case state.Refused != "":
			return "refused: " + state.Refused
		case p == nil:
			return "absent"
		default:
			text := p.GetName()
			for _, price := range p.GetPrices() {
				text += " " + price.GetUnitAmount()
			}
			return text
		}
	}
	require.NoError(s.t, out.Each(func(c ingestion.PreviewChange) error {
		changes = append(changes, c.ProductID+": "+words(c.Before)+" -> "+words(c.After))
		return nil
	}))
	require.Equal(s.t, before, s.rows(), "the database is as it was")
	return out, changes
}

func (s *previewShop) refused(sql string) error {
	s.t.Helper()
	before := s.rows()
	_, err := ingestion.Preview(s.t.Context(), s.config(sql))
	require.Error(s.t, err)
	require.Equal(s.t, before, s.rows(), "the database is as it was")
	return err
}

func TestPreview_YieldsProductsThatDiffer(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 12)
	out, changes := s.preview(s.config(`UPDATE driftless.prices SET unit_amount = unit_amount + 1 WHERE product = 'p2';
		UPDATE driftless.products SET name = name;
		DELETE FROM driftless.prices WHERE product = 'p11';
		DELETE FROM driftless.products WHERE id = 'p11';
		SAVEPOINT a; DELETE FROM driftless.prices; ROLLBACK TO a;
		INSERT INTO driftless.products (id, name) VALUES ('new', 'New');
		UPDATE driftless.products SET name = '' WHERE id = 'p3'`))
	require.Equal(t, []string{
		"new: absent -> New",
		"p11: Product 11 1100 -> absent",
		"p2: Product 2 200 -> Product 2 201",
		"p3: Product 3 300 -> refused: would be refused by Stripe: name: must not be empty",
	}, changes)
	require.Equal(t, []int{12, 12, 4}, []int{out.Before, out.After, out.Differing})
	require.Len(t, out.Statements, 9)
	require.Equal(t, int64(12), out.Statements[1].Rows)
	require.Equal(t, "change.sql:2", out.Statements[1].At)
	require.Empty(t, out.Locks)
	require.Len(t, out.Unseen, 1)
}

func TestPreview_ReadsAfterMigrationOfTables(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 5)
	out, changes := s.preview(s.config(`ALTER TABLE driftless.products ALTER COLUMN name TYPE varchar(12);
		CREATE TABLE more AS SELECT 'x' AS id; CREATE TEMP TABLE products AS SELECT 1;
		ALTER TABLE driftless.prices ADD COLUMN note text; UPDATE driftless.prices SET note = 'n';
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			UPDATE driftless.products SET name = 'Late' WHERE id = 'p1'; RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON driftless.prices DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION f();
		SET search_path = pg_catalog; SET statement_timeout = '1h';
		UPDATE driftless.prices SET unit_amount = 7 WHERE id = 'p5-eur'`))
	require.Equal(t, []string{"p1: Product 1 100 -> Late 100", "p5: Product 5 500 -> Product 5 7"}, changes)
	var locks []string
	for _, l := range out.Locks {
		locks = append(locks, l.Table+" "+l.Blocks)
	}
	require.Contains(t, locks, "driftless.prices reads and writes")
	require.Contains(t, locks, "driftless.products reads and writes")
	require.NotContains(t, strings.Join(locks, " "), "more")
}

func TestPreview_NeverCommits(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 2)
	s.exec(`CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN
		UPDATE driftless.products SET name = 'Committed'; COMMIT; END $$`)
	s.exec(`CREATE PROCEDURE rolls_back() LANGUAGE plpgsql AS $$ BEGIN ROLLBACK; END $$`)
	for sql, want := range map[string]string{
		"CALL commits()": "change.sql:1: invalid transaction termination",
		"UPDATE driftless.products SET name = 'x';\nDO $$ BEGIN COMMIT; END $$":                    "change.sql:2: invalid",
		"DO $$ BEGIN UPDATE driftless.products SET name = 'x'; EXECUTE 'COMMIT AND CHAIN'; END $$": "transaction",
		"CALL rolls_back()":                     "invalid transaction termination",
		"EXPLAIN ANALYZE CALL commits()":        "syntax error",
		"UPDATE driftless.products SET nam = 1": `column "nam"`,
		"SELECT 1 /* */ ; SELECT\n1 / 0":        "division by zero",
		"ROLLBACK TO nowhere":                   `savepoint "nowhere" does not exist`,
		"SELECT 1; SELECT 2 FROM\n\n nowhere":   `change.sql:3: relation "nowhere" does not exist`,
		`CREATE TABLE c (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO c VALUES (1), (1)`:   "would fail at their commit",
		"SELECT pg_sleep(2); SELECT set_config('statement_timeout', '10ms', true); SELECT pg_sleep(20)": "--statement-timeout",
		"DROP TABLE driftless.prices": "read the products after the change: the mapping's prices query",
	} {
		require.ErrorContains(t, s.refused(sql), want, sql)
	}
}

func TestPreview_SaysWhatItCannotSee(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 1)
	s.exec("CREATE SEQUENCE driftless.numbers")
	out, changes := s.preview(s.config(`SELECT nextval('driftless.numbers'); NOTIFY shop; SELECT pg_advisory_lock(1);
		DO $$ BEGIN IF false THEN PERFORM dblink_exec('x', 'y'); END IF; END $$`))
	require.Empty(t, changes)
	require.Len(t, out.Unseen, 5)
	for i, want := range []string{
		"dblink_exec acts", "notify takes effect", "pg_advisory_lock was held",
		"sequence driftless.numbers", "",
	} {
		require.Contains(t, out.Unseen[i], want)
	}
}

func TestPreview_SaysThatCopyWritesAFile(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 1)
	out, _ := s.preview(s.config("COPY driftless.prices TO '/dev/null' (FORMAT csv)"))
	require.Contains(t, out.Unseen[0], "COPY ... TO writes a file on the server")
}

// The limits hold whatever the statements set.
func TestPreview_EnforcesLimits(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 1)
	cfg := s.config("SET statement_timeout = 0; SELECT set_config('lock_timeout', '0', false); SELECT pg_sleep(30)")
	cfg.StatementTimeout = 100 * time.Millisecond
	_, err := ingestion.Preview(t.Context(), cfg)
	require.ErrorContains(t, err, "change.sql:1: canceling statement due to statement timeout")

	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE driftless.prices IN ROW EXCLUSIVE MODE")
	require.NoError(t, err)
	cfg = s.config("SET lock_timeout = 0; ALTER TABLE driftless.prices ADD COLUMN x int")
	cfg.LockTimeout = 50 * time.Millisecond
	_, err = ingestion.Preview(t.Context(), cfg)
	require.ErrorContains(t, err, "--lock-timeout")
	require.NoError(t, tx.Rollback(t.Context()))

	cfg = s.config("SET lock_timeout = '3s'; SET statement_timeout = '3s'; SELECT 1")
	cfg.LockTimeout, cfg.StatementTimeout = 0, 0
	_, changes := s.preview(cfg)
	require.Empty(t, changes, "0 means no limit")
}

// Another session changes a row between the preview's snapshot and its statement.
func TestPreview_RunsAgainAfterConflict(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 2)
	cfg, ran := s.config("UPDATE driftless.prices SET unit_amount = unit_amount + 1 WHERE id = 'p1-eur'"), 0
	cfg.Progress = func(at ingestion.PreviewProgress) {
		if at.Phase != "statements" {
			return
		}
		if ran++; ran == 1 {
			s.exec("UPDATE driftless.prices SET unit_amount = 500 WHERE id = 'p1-eur'")
		}
	}
	out, err := ingestion.Preview(t.Context(), cfg)
	require.NoError(t, err)
	defer out.Close()
	require.Equal(t, 2, ran)
	require.NoError(t, out.Each(func(c ingestion.PreviewChange) error {
		require.Equal(t, "500", c.Before.Change.GetProduct().GetPrices()[0].GetUnitAmount())
		require.Equal(t, "501", c.After.Change.GetProduct().GetPrices()[0].GetUnitAmount())
		return nil
	}))
	require.Contains(t, out.Unseen[len(out.Unseen)-1], "the statements ran 2 times")
}

func TestPreview_ChangedMapping(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 3)
	cfg := s.config("")
	cfg.Changed = &config.Mapping{
		Products: "SELECT id, name || CASE id WHEN 'p2' THEN '!' ELSE '' END AS name, default_price FROM driftless.products",
		Prices:   "SELECT id, product, currency, unit_amount FROM driftless.prices",
	}
	cfg.All = true
	out, changes := s.preview(cfg)
	require.Len(t, changes, 3)
	require.Equal(t, 3, out.Differing, "the changed mapping manages other fields")
	require.Contains(t, changes, "p2: Product 2 200 -> Product 2! 200")

	cfg.Changed = nil
	out, changes = s.preview(cfg)
	require.Len(t, changes, 3)
	require.Zero(t, out.Differing)
}

func TestPreview_WaitsForLocksOnlyBriefly(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 1)
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE driftless.prices IN ROW EXCLUSIVE MODE")
	require.NoError(t, err)
	cfg := s.config("ALTER TABLE driftless.prices ADD COLUMN x int")
	cfg.LockTimeout = 50 * time.Millisecond
	_, err = ingestion.Preview(t.Context(), cfg)
	require.ErrorContains(t, err, "--lock-timeout")
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestPreview_MovesNoSlot(t *testing.T) {
	t.Parallel()
	s := newPreviewShop(t, 3)
	s.exec("SELECT pg_create_logical_replication_slot('preview_test', 'pgoutput')")
	t.Cleanup(func() {
		conn, err := pgx.Connect(t.Context(), s.url)
		if err == nil {
			_, _ = conn.Exec(t.Context(), "SELECT pg_drop_replication_slot('preview_test')")
			_ = conn.Close(t.Context())
		}
	})
	slot := func() (out string) {
		require.NoError(t,
			s.pool.QueryRow(t.Context(), `SELECT concat_ws(' ', restart_lsn, confirmed_flush_lsn, catalog_xmin)
			FROM pg_replication_slots WHERE slot_name = 'preview_test'`).Scan(&out))
		return out
	}
	before := slot()
	_, changes := s.preview(s.config("UPDATE driftless.products SET name = 'x'"))
	require.Len(t, changes, 3)
	require.Equal(t, before, slot())
	var decoded int
	require.NoError(t,
		s.pool.QueryRow(t.Context(),
			`SELECT count(*) FROM pg_logical_slot_peek_binary_changes('preview_test', NULL,
		1000, 'proto_version', '1', 'publication_names', 'driftless')`).Scan(&decoded))
	require.Zero(t, decoded, "nothing of a transaction that was rolled back is captured")
}

func TestPreview_RefusesDatabaseWithoutTables(t *testing.T) {
	t.Parallel()
	cfg := ingestion.PreviewConfig{DatabaseURL: localtest.Postgres(t)}
	_, err := ingestion.Preview(t.Context(), cfg)
	require.ErrorContains(t, err, "DRIFTLESS_CONFIG")
	cfg.Mapping = &config.Mapping{Products: "SELECT * FROM items", Prices: "SELECT * FROM tariffs"}
	cfg.Changed = cfg.Mapping
	_, err = ingestion.Preview(t.Context(), cfg)
	require.ErrorContains(t, err,
		`the mapping's products query is refused by Postgres: relation "items" does not exist`)
	require.ErrorContains(t, err, "correct DATABASE_URL")
}
