package cli

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// output runs the command line and returns its exit code and its output.
func output(t *testing.T, args ...string) (int, string) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	before := stdout
	stdout = w
	defer func() { stdout = before }()
	read := make(chan string)
	go func() {
		data, _ := io.ReadAll(r)
		read <- string(data)
	}()
	code := Main(args)
	require.NoError(t, w.Close())
	out := <-read
	require.NoError(t, checkOutput(args, out))
	return code, out
}

func TestConfigCheckDatabase(t *testing.T) {
	url := localtest.Postgres(t)
	pool := localtest.Pool(t, url)
	exec := func(sql string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`CREATE SCHEMA shop; CREATE TABLE shop.products (id text PRIMARY KEY, name text, description text);
		CREATE TABLE shop.prices (id text PRIMARY KEY, product text REFERENCES shop.products, currency text, unit_amount int);
		ALTER TABLE shop.prices REPLICA IDENTITY FULL;
		INSERT INTO shop.products VALUES ('mug', 'Mug'), ('cup', 'Cup'); INSERT INTO shop.prices VALUES ('mug-eur', 'mug', 'eur', 100)`)
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	write := func(yaml string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
	}
	t.Setenv("DRIFTLESS_CONFIG", "")
	t.Setenv("DATABASE_URL", url)
	watched := ownTables[:len(ownTables)-2] + ", {table: shop.prices, product_id: product}]\n"
	write(watched)
	code, out := output(t, "config", "check", "--database", "--config", path)
	require.Equal(t, 0, code, out)
	require.Contains(t, out,
		"account default: the configuration is valid, and the catalog database is as ingestion needs it")

	write(ownTables)
	exec(`UPDATE shop.prices SET currency = 'euro!'`)
	code, out = output(t, "config", "check", "--database", "--config", path)
	require.Equal(t, 2, code, out)
	require.Contains(t, out, "2 findings; 0 keep ingestion from starting")
	require.Contains(t, out, "warning: the queries read shop.prices")
	require.Contains(t, out, "warning: 1 of 2 products: prices[")

	write("catalog:\n  products: SELECT id, title AS name FROM shop.products\n  prices: SELECT id, product, currency, unit_amount FROM shop.prices\n" +
		"  watch: [{table: shop.products, product_id: id}]\n")
	code, out = output(t, "config", "check", "--database", "--config", path, "-o", "json")
	require.Equal(t, 2, code, out)
	var answer struct {
		Accounts []struct {
			Account  string `json:"account"`
			Findings []struct {
				Severity string `json:"severity"`
				Message  string `json:"message"`
			} `json:"findings"`
		} `json:"accounts"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &answer))
	require.Equal(t, "default", answer.Accounts[0].Account)
	require.Equal(t, "refusal", answer.Accounts[0].Findings[0].Severity)
	require.Contains(t, answer.Accounts[0].Findings[0].Message, `column "title" does not exist`)

	var made int
	require.NoError(t,
		pool.QueryRow(t.Context(),
			`SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())
		+ (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'driftless%')`).Scan(&made))
	require.Zero(t, made, "nothing is made")

	t.Setenv("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/none")
	code, out = output(t, "config", "check", "--database", "--config", path)
	require.Equal(t, 1, code)
	require.Empty(t, out)
}

func TestConfigCheckDatabase_ShowsWhatChecksFind(t *testing.T) {
	url := localtest.Postgres(t)
	pool := localtest.Pool(t, url)
	_, err := pool.Exec(t.Context(), `CREATE SCHEMA shop;
		CREATE TABLE shop.products (id text PRIMARY KEY, name text, description text);
		CREATE TABLE shop.prices (id text PRIMARY KEY, product text, currency text, unit_amount int);
		ALTER TABLE shop.prices REPLICA IDENTITY FULL;
		INSERT INTO shop.products VALUES ('mug', 'Mug'), ('cup', 'Cup');
		INSERT INTO shop.prices VALUES ('mug-eur', 'mug', 'eur', 100)`)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	t.Setenv("DRIFTLESS_CONFIG", "")
	t.Setenv("DATABASE_URL", url)
	watched := ownTables[:len(ownTables)-2] + ", {table: shop.prices, product_id: product}]\n"
	require.NoError(t, os.WriteFile(path, []byte(watched+`  checks:
    - name: euro
      query: SELECT id FROM shop.products WHERE id NOT IN (SELECT product FROM shop.prices WHERE currency = 'eur')
      message: no price in EUR
    - {name: lost, query: SELECT id FROM shop.nothing, message: no}
`), 0o600))
	code, out := output(t, "config", "check", "--database", "--config", path)
	require.Equal(t, 2, code, out)
	require.Contains(t, out, "has 2 findings; 0 keep ingestion from starting")
	require.Contains(t, out, "warning: check euro finds 1 of 2 products, and their changes are held: no price in EUR (such "+
		"as product cup)")
	require.Contains(t, out, `warning: check lost fails: relation "shop.nothing" does not exist (SQLSTATE 42P01)`)

	require.NoError(t, os.WriteFile(path, []byte("catalog:\n  checks:\n    - {name: a, query: SELECT 1}\n"), 0o600))
	code, _ = output(t, "config", "check", "--config", path)
	require.Equal(t, 1, code, "a fault of the file")
}
