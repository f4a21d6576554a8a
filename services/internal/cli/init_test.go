package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

const shopTables = `CREATE SCHEMA shop;
	CREATE TABLE shop.items (sku text PRIMARY KEY, title text NOT NULL, discontinued boolean NOT NULL);
	CREATE TABLE shop.item_prices (id int PRIMARY KEY, item_sku text NOT NULL REFERENCES shop.items, price numeric(10, 2));
	CREATE TABLE shop.order_items (id int PRIMARY KEY, item_sku text REFERENCES shop.items, price numeric(10, 2));
	INSERT INTO shop.items VALUES ('mug', 'Mug', false), ('cup', 'Cup', true);
	INSERT INTO shop.item_prices VALUES (1, 'mug', 14), (2, 'cup', 9.5), (3, 'cup', NULL)`

func TestInit(t *testing.T) {
	url := localtest.Postgres(t)
	pool := localtest.Pool(t, url)
	_, err := pool.Exec(t.Context(), shopTables)
	require.NoError(t, err)
	t.Setenv("DATABASE_URL", url)
	t.Setenv("DRIFTLESS_CONFIG", "")
	t.Chdir(t.TempDir())

	t.Run("leaves what it does not know open", func(t *testing.T) {
		code, out := output(t, "init", "--yes")
		require.Equal(t, 2, code, out)
		require.Contains(t, out, "Looked at 3 tables. Products are in shop.items, prices in shop.item_prices.\n")
		require.Contains(t, out, "Wrote driftless.yaml and driftless.sql. Nothing was changed in the database.\n")
		require.Contains(t, out, "The queries read 2 products with 2 prices; 2 would be refused.\n")
		require.Contains(t, out, "1 question is open, and in the file:\n- No column has a currency.")
		require.Contains(t, out, "Answer: driftless init --currency")
		require.Contains(t, read(t, "driftless.yaml"), "# - QUESTION (currency): ")
		require.Contains(t, read(t, "driftless.sql"), "ALTER TABLE shop.item_prices REPLICA IDENTITY FULL;")
	})
	t.Run("keeps files", func(t *testing.T) {
		before := read(t, "driftless.yaml")
		code, _ := output(t, "init", "--yes", "--currency", "eur")
		require.Equal(t, 1, code)
		require.Equal(t, before, read(t, "driftless.yaml"))
		code, _ = output(t, "init", "--yes", "--currency", "eur", "--out", "other.yaml")
		require.Equal(t, 1, code, "the other file exists")
		require.NoFileExists(t, "other.yaml")
	})
	t.Run("takes flags", func(t *testing.T) {
		code, out := output(t, "init", "--yes", "--force", "--currency", "eur", "--role", "shop_sync")
		require.Equal(t, 0, code, out)
		require.NotContains(t, out, "question")
		require.NotContains(t, read(t, "driftless.yaml"), "QUESTION")
		require.Contains(t, read(t, "driftless.sql"), "CREATE ROLE shop_sync LOGIN REPLICATION;")
		code, out = output(t, "preview", "--config", "driftless.yaml")
		require.Equal(t, 0, code, out)
		require.Contains(t, out, "+ mug  \"Mug\"\n    price 1  14.00 EUR\n")
		require.Contains(t, out, `+ cup  "Cup"  (archived)`)
		code, out = output(t, "config", "check", "--config", "driftless.yaml")
		require.Equal(t, 0, code, out)
	})
	t.Run("prints JSON", func(t *testing.T) {
		code, out := output(t, "init", "-o", "json", "--out", "-", "--sql", "-")
		require.Equal(t, 2, code, out)
		var answer struct {
			ProductsTable string `json:"products_table"`
			Questions     []struct {
				Kind string `json:"kind"`
			} `json:"questions"`
			Sample struct {
				Refused int `json:"refused"`
			} `json:"sample"`
			Files []string `json:"files"`
			YAML  string   `json:"yaml"`
			SQL   string   `json:"sql"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &answer))
		require.Equal(t, "shop.items", answer.ProductsTable)
		require.Equal(t, "currency", answer.Questions[0].Kind)
		require.Equal(t, 2, answer.Sample.Refused)
		require.Empty(t, answer.Files)
		require.Contains(t, answer.YAML, "FROM shop.items")
		require.Contains(t, answer.SQL, "CREATE PUBLICATION")
	})
	t.Run("refuses what is not there", func(t *testing.T) {
		for _, args := range [][]string{
			{"--products-table", "nosuch"},
			{"--prices-table", "nosuch"},
			{"--amount-column", "nosuch"},
			{"--schema", "nosuch"},
			{"--interval", "fortnight"},
		} {
			code, out := output(t, append([]string{"init", "--yes", "--force"}, args...)...)
			require.Equal(t, 1, code, out)
		}
	})
	t.Run("asks on a terminal", func(t *testing.T) {
		var asked bytes.Buffer
		ask := &asker{
			in:  bufio.NewReader(strings.NewReader("n\n")),
			out: &asked,
		}
		cmd := &initCmd{Database: config.Secret(url), Out: "driftless.yaml", SQL: "driftless.sql"}
		_, err := cmd.run(t.Context(), &cli{}, ask)
		require.ErrorContains(t, err, "not overwritten (driftless.yaml, driftless.sql)")

		// A currency is asked for, and the old files may go.
		ask.in = bufio.NewReader(strings.NewReader("y\nGBP\n"))
		result, err := cmd.run(t.Context(), &cli{}, ask)
		require.NoError(t, err)
		require.Empty(t, result.Questions)
		require.Contains(t, asked.String(), "No column has a currency.")
		require.Contains(t, read(t, "driftless.yaml"), "'gbp' AS currency")
	})
	t.Run("ends at an interrupt", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r, w := io.Pipe()
		t.Cleanup(func() { _ = w.Close() })
		_, err := (&asker{in: bufio.NewReader(r), out: io.Discard}).line(ctx)
		require.ErrorIs(t, err, context.Canceled)
	})
	var writes bool
	require.NoError(t, pool.QueryRow(t.Context(),
		"SELECT EXISTS (SELECT FROM pg_publication) OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_sync')").
		Scan(&writes))
	require.False(t, writes)
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Clean(path))
	require.NoError(t, err)
	return string(data)
}
