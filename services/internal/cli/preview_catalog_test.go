package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestPreviewCatalog(t *testing.T) {
	url := localtest.Postgres(t)
	pool := localtest.Pool(t, url)
	exec := func(sql string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`CREATE TABLE item (id int PRIMARY KEY, title text, sold boolean);
		CREATE TABLE tariff (id text PRIMARY KEY, item int REFERENCES item, currency text, cents int);
		INSERT INTO item VALUES (7, 'Mug', true), (8, 'Cup', false), (9, 'Jar', true);
		INSERT INTO tariff VALUES ('mug-eur', 7, 'EUR', 1400), ('mug-jpy', 7, 'JPY', 2000), ('jar-eur', 9, 'EUR', 500)`)
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`catalog:
  products: SELECT id, title AS name, sold AS active FROM item
  prices: SELECT id, item AS product, currency, cents AS unit_amount FROM tariff
  watch: [{table: item, product_id: id}, {table: tariff, product_id: item}]
`), 0o600))
	t.Setenv("DRIFTLESS_CONFIG", path)
	t.Setenv("DATABASE_URL", url)
	t.Setenv("DRIFTLESS_DATA_DIR", t.TempDir())

	code, out := output(t, "preview")
	require.Equal(t, 0, code, out)
	require.Equal(t, `+ 7  "Mug"
    price mug-eur  14.00 EUR
    price mug-jpy  2000 JPY
+ 8  "Cup"  (archived)
+ 9  "Jar"
    price jar-eur  5.00 EUR

Read 3 products with 3 prices: 2 active, 0 refused.
Nothing was written: not to the database, and not to Stripe.
`, out)

	// An id is read in any spelling, as everywhere.
	code, out = output(t, "preview", "007")
	require.Equal(t, 0, code, out)
	require.Contains(t, out, `+ 7  "Mug"`)
	require.Contains(t, out, "Read 1 product with 2 prices")
	code, _ = output(t, "preview", "7", "nosuch")
	require.Equal(t, 1, code)

	exec(`UPDATE tariff SET currency = 'euro!'; UPDATE item SET title = '' WHERE id = 8`)
	code, out = output(t, "preview", "--limit", "1")
	require.Equal(t, 2, code, out)
	require.Contains(t, out, "! 7  \"Mug\"\n    refused: prices[\"mug-eur\"].currency: ")
	require.NotContains(t, out, "Jar")
	require.Contains(t, out, "0 active, 3 refused. 2 not shown (--limit 0 shows all).\n")
	require.Regexp(t, `  2 products: prices\["mug-eur"\]\.currency: .* \(such as product 7\)\n  1 product: name: `, out)

	exec(`UPDATE tariff SET currency = 'eur' WHERE item = 7`)
	code, out = output(t, "preview", "--refused", "-o", "json")
	require.Equal(t, 2, code, out)
	var answer struct {
		Products []struct {
			ID      string   `json:"id"`
			Refused []string `json:"refused"`
			Product struct {
				Prices []struct {
					Currency string `json:"currency"`
				} `json:"prices"`
			} `json:"product"`
		} `json:"products"`
		Summary struct {
			Products int        `json:"products"`
			Refused  int        `json:"refused"`
			Reasons  []struct{} `json:"reasons"`
		} `json:"summary"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &answer))
	require.Equal(t, 3, answer.Summary.Products)
	require.Equal(t, 2, answer.Summary.Refused)
	require.Len(t, answer.Summary.Reasons, 2)
	require.Equal(t, []string{"8", "9"}, []string{answer.Products[0].ID, answer.Products[1].ID})
	require.Equal(t, "euro!", answer.Products[1].Product.Prices[0].Currency)
	require.NotEmpty(t, answer.Products[1].Refused)

	exec(`DELETE FROM tariff; DELETE FROM item`)
	code, out = output(t, "preview")
	require.Equal(t, 2, code, out)
	require.Contains(t, out, "No products: the products query returns no rows.")
}

// A mapping with a query that writes must not write.
func TestPreviewCatalog_WritesNothing(t *testing.T) {
	url := localtest.Postgres(t)
	pool := localtest.Pool(t, url)
	_, err := pool.Exec(t.Context(), `CREATE TABLE item (id text PRIMARY KEY, title text);
		INSERT INTO item VALUES ('mug', 'Mug');
		CREATE FUNCTION touch() RETURNS text LANGUAGE plpgsql AS
			$$ BEGIN UPDATE item SET title = 'touched'; RETURN 'touched'; END $$`)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`catalog:
  products: SELECT id, touch() AS name FROM item
  prices: SELECT id, id AS product, 'eur' AS currency, 100 AS unit_amount FROM item
  watch: [{table: item, product_id: id}]
`), 0o600))
	t.Setenv("DRIFTLESS_CONFIG", path)
	code, out := output(t, "preview", "--database", url)
	require.Equal(t, 1, code, out)
	var title string
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT title FROM item").Scan(&title))
	require.Equal(t, "Mug", title)
}
