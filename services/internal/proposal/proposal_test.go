package proposal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/proposal"
)

// database describes tables in short: "name: column type, ...". A type may be followed by pk, notnull, unique,
// ->table (a foreign key), =a|b (all values) and ~comment.
func database(tables ...string) *proposal.Database {
	db := &proposal.Database{Name: "shop", Version: 150000, WALLevel: "logical"}
	for _, text := range tables {
		name, columns, _ := strings.Cut(text, ": ")
		t := &proposal.Table{
			Schema: "public", Name: name, Visible: true, Rows: 40, Identity: "d", Sampled: 40, Complete: true,
		}
		for column := range strings.SplitSeq(columns, ", ") {
			words := strings.Fields(column)
			c := &proposal.Column{Name: words[0], Type: words[1], Scale: -1}
			if typ, ok := strings.CutPrefix(words[1], "decimal"); ok {
				c.Type, c.Scale = "numeric", len(typ)
			}
			for _, w := range words[2:] {
				addProperty(t, c, w)
			}
			t.Columns = append(t.Columns, c)
		}
		t.IdentityColumns = t.Key
		db.Tables = append(db.Tables, t)
	}
	return db
}

func addProperty(t *proposal.Table, c *proposal.Column, word string) {
	values, hasValues := strings.CutPrefix(word, "=")
	comment, hasComment := strings.CutPrefix(word, "~")
	to, refers := strings.CutPrefix(word, "->")
	switch {
	case word == "pk":
		t.Key = append(t.Key, c.Name)
		c.NotNull = true
	case word == "notnull":
		c.NotNull = true
	case word == "unique":
		t.Unique = append(t.Unique, []string{c.Name})
	case word == "repeated":
		c.Sample.Repeated = true
	case hasValues:
		c.Sample.Values = strings.Split(values, "|")
	case hasComment:
		c.Comment = comment
	case refers:
		t.References = append(t.References, proposal.Reference{
			Columns: []string{c.Name}, Schema: "public", Table: to, ToColumns: []string{"id"},
		})
	}
}

func propose(t *testing.T, db *proposal.Database, answers proposal.Answers) *proposal.Proposal {
	t.Helper()
	p, err := proposal.Propose(db, answers)
	require.NoError(t, err)
	require.Equal(t, p.Products, parse(t, p).Products)
	return p
}

// parse reads the file as the services do.
func parse(t require.TestingT, p *proposal.Proposal) *config.Mapping {
	dir, err := os.MkdirTemp("", "proposal")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(p.YAML), 0o600))
	var settings struct {
		config.File
		config.Mesh
	}
	m, err := config.Parse(&settings, "proposal", "", "", []string{"--config", path})
	require.NoError(t, err, p.YAML)
	return m
}

func kinds(p *proposal.Proposal) (out []string) {
	for _, q := range p.Questions {
		out = append(out, q.Kind)
	}
	return out
}

const (
	products = "products: id integer pk, name text notnull"
	currency = ", currency text notnull"
)

func TestPropose(t *testing.T) {
	t.Parallel()
	usd := proposal.Answers{Currency: "usd"}
	for name, c := range map[string]struct {
		tables  []string
		answers proposal.Answers
		asks    []string
		has     []string
		lacks   []string
	}{
		"decimals are major units": {
			[]string{products + ", price decimal00"},
			usd,
			nil,
			[]string{"p.price * 100 AS unit_amount", "p.id || '-usd' AS id", "WHERE p.price IS NOT NULL"},
			nil,
		},
		"cents are minor units": {
			[]string{products + ", price_cents integer notnull"},
			usd,
			nil,
			[]string{"p.price_cents AS unit_amount"},
			[]string{"100"},
		},
		"a comment says the unit": {
			[]string{products + ", price integer notnull ~cents"},
			usd,
			nil,
			[]string{"p.price AS unit_amount"},
			nil,
		},
		"an integer may be both": {
			[]string{products + ", price integer notnull =1400"},
			usd,
			[]string{proposal.AskUnit},
			[]string{"p.price AS unit_amount -- QUESTION (unit)", "A value is 1400."},
			nil,
		},
		"an answer about the unit": {
			[]string{products + ", price integer notnull"},
			proposal.Answers{Currency: "usd", AmountUnit: proposal.UnitMajor},
			nil,
			[]string{"p.price * 100 AS unit_amount"},
			nil,
		},
		"yen have no minor unit": {
			[]string{products + ", price decimal00 notnull"},
			proposal.Answers{Currency: "JPY"},
			nil,
			[]string{"p.price AS unit_amount", "'jpy' AS currency"},
			[]string{"100"},
		},
		"dinars have three places": {
			[]string{products + ", price decimal000 notnull"},
			proposal.Answers{Currency: "kwd"},
			nil,
			[]string{"p.price * 1000 AS unit_amount"},
			nil,
		},
		"a currency in a column decides by row": {
			[]string{products + ", price decimal00 notnull" + currency},
			proposal.Answers{},
			nil,
			[]string{"p.currency", "IN ('bif', ", "THEN 1 --"},
			nil,
		},
		"columns by currency": {
			[]string{products + ", price_usd integer ~cents, price_eur integer ~cents"},
			proposal.Answers{},
			nil,
			[]string{"'usd' AS currency", "UNION ALL", "'eur' AS currency", "p.id || '-eur' AS id"},
			nil,
		},
		"columns by interval": {
			[]string{"plans: id integer pk, name text, monthly_price decimal00, yearly_price decimal00"},
			usd,
			nil,
			[]string{`'{"interval": "month"}'::jsonb AS recurring`, `'{"interval": "year"}'::jsonb`, "'-usd-year'"},
			nil,
		},
		"plans without an interval": {
			[]string{"plans: id integer pk, name text, price decimal00"},
			usd,
			[]string{proposal.AskInterval},
			nil,
			[]string{"recurring"},
		},
		"an unknown interval": {
			[]string{"plans: id integer pk, name text, price decimal00, billing_interval text =month|fortnight"},
			usd,
			[]string{proposal.AskInterval},
			[]string{
				"WHEN 'fortnight' THEN NULL -- QUESTION (interval)",
				`WHEN 'month' THEN '{"interval": "month"}'::jsonb`,
			},
			nil,
		},
		"a soft deletion and a state": {
			[]string{products + ", price decimal00, deleted_at timestamp, status text notnull =active|draft"},
			usd,
			nil,
			[]string{"WHERE p.deleted_at IS NULL", "p.status = 'active' AS active"},
			nil,
		},
		"a state that is not understood": {
			[]string{products + ", price decimal00, status text =gold|silver"},
			usd,
			[]string{proposal.AskActive},
			[]string{"(values: gold, silver)"},
			[]string{"AS active"},
		},
		"a flag may be NULL": {
			[]string{products + ", price decimal00, is_active boolean"},
			usd,
			nil,
			[]string{"coalesce(p.is_active, false) AS active"},
			nil,
		},
		"orders are no prices": {
			[]string{
				products + ", price decimal00",
				"order_items: id integer pk, product_id integer ->products, price decimal00 notnull",
			},
			usd,
			nil,
			[]string{"FROM products p\nWHERE"},
			[]string{"order_items"},
		},
		"what a product costs the shop is no price": {
			[]string{products + ", cost_price decimal00, price decimal00, compare_at_price decimal00"},
			usd,
			nil,
			[]string{"p.price * 100"},
			[]string{"cost_price", "compare_at_price"},
		},
		"no prices at all": {
			[]string{products + ", weight decimal00"},
			proposal.Answers{},
			[]string{proposal.AskPrices},
			[]string{"WHERE false", "QUESTION (prices): this query returns no prices."},
			nil,
		},
		"a product without a name": {
			[]string{"products: id integer pk, price decimal00"},
			usd,
			[]string{proposal.AskName},
			[]string{"NULL::text AS name -- QUESTION (name)"},
			nil,
		},
		"a reference by its name": {
			[]string{
				products,
				"prices: id integer pk, product_id integer notnull, amount decimal00 notnull" + currency,
			},
			proposal.Answers{},
			[]string{proposal.AskReference},
			[]string{"{table: prices, product_id: product_id}", "ALTER TABLE prices REPLICA IDENTITY FULL;"},
			nil,
		},
		"prices behind a link that repeats them": {
			[]string{
				products,
				"price_sets: id integer pk",
				"links: id integer pk, set_id integer ->price_sets repeated, product_id integer ->products",
				"prices: id integer pk, set_id integer ->price_sets, amount decimal00 notnull" + currency,
			},
			proposal.Answers{},
			[]string{proposal.AskRepeated},
			[]string{"JOIN links l ON l.set_id = p.set_id", "WHERE l.set_id = @set_id"},
			[]string{"JOIN price_sets"},
		},
		"prices for a time": {
			[]string{
				products, "prices: id integer pk, product_id integer ->products, amount decimal00 notnull" + currency +
					", valid_from timestamp, valid_to timestamp",
			},
			proposal.Answers{},
			nil,
			[]string{
				"reread_every: 15m", "coalesce(p.valid_from <= now(), true)",
				"coalesce(p.valid_to > now(), true)",
			},
			nil,
		},
		"prices of a group of customers": {
			[]string{
				products, "customer_groups: id integer pk",
				"prices: id integer pk, product_id integer ->products, amount decimal00 notnull" + currency +
					", group_id integer ->customer_groups",
			},
			proposal.Answers{},
			[]string{proposal.AskLists},
			[]string{"p.group_id IS NULL"},
			nil,
		},
		"tenants": {
			[]string{products + ", price decimal00, tenant_id integer =1|2"},
			usd,
			[]string{proposal.AskTenant},
			nil,
			nil,
		},
		"one tenant": {
			[]string{products + ", price decimal00, tenant_id integer =1"},
			usd,
			nil,
			nil,
			nil,
		},
		"a key of two columns": {
			[]string{"products: shop text pk, sku text pk, name text, price decimal00"},
			usd,
			nil,
			[]string{"p.shop::text || '-' || p.sku::text AS id", "product_id: 'shop::text || ''-'' || sku::text'"},
			nil,
		},
		"an answer fills what the column does not say": {
			[]string{"plans: id integer pk, name text, price decimal00, billing_interval text =month|fortnight" + currency},
			proposal.Answers{Currency: "usd", Interval: "week"},
			nil,
			[]string{"p.currency", `WHEN 'fortnight' THEN '{"interval": "week"}'::jsonb`, `'{"interval": "month"}'::jsonb`},
			nil,
		},
		"a numeric of any scale": {
			[]string{products + ", price numeric"},
			usd,
			[]string{proposal.AskUnit},
			[]string{"p.price * 100 AS unit_amount -- QUESTION (unit): read as major units"},
			nil,
		},
		"a price that is text": {
			[]string{products + ", price text"},
			proposal.Answers{Currency: "usd", PricesTable: "products", AmountColumn: "price", AmountUnit: "major"},
			nil,
			[]string{"p.price::numeric * 100 AS unit_amount"},
			nil,
		},
		"no texts in the language": {
			[]string{
				"products: id integer pk, price decimal00",
				"product_translations: id integer pk, product_id integer ->products, language text notnull =en|fr, name text",
			},
			proposal.Answers{Currency: "usd", Language: "de"},
			[]string{proposal.AskLanguage},
			[]string{"has no texts in 'de'"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := propose(t, database(c.tables...), c.answers)
			require.ElementsMatch(t, c.asks, kinds(p), p.YAML)
			for _, text := range c.has {
				require.Contains(t, flat(p.YAML+p.SQL), flat(text))
			}
			for _, text := range c.lacks {
				require.NotContains(t, p.Products+p.Prices, text)
			}
		})
	}
}

// flat returns a text without line breaks and the signs of comments.
func flat(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "#", "")), " ")
}

func TestPropose_RefusesToBeginWithNothing(t *testing.T) {
	t.Parallel()
	_, err := proposal.Propose(&proposal.Database{}, proposal.Answers{})
	require.ErrorContains(t, err, "no tables")
	_, err = proposal.Propose(database("logs: id integer pk, message text"), proposal.Answers{})
	require.ErrorContains(t, err, "no table looks like products")
	for _, a := range []proposal.Answers{{AmountUnit: "euros"}, {Interval: "fortnight"}, {Currency: "euro"}} {
		_, err = proposal.Propose(database(products+", price numeric"), a)
		require.ErrorContains(t, err, "--")
	}
	_, err = proposal.Propose(database("products: name text, price numeric"),
		proposal.Answers{ProductsTable: "products"})
	require.ErrorContains(t, err, "has no primary key")
}

func TestPropose_SQLFitsTheServer(t *testing.T) {
	t.Parallel()
	db := database(products + ", price decimal00")
	db.WALLevel, db.Version, db.Roles, db.Publications = "replica", 180000, nil, nil
	db.Tables[0].RowSecurity = true
	sql := propose(t, db, proposal.Answers{Account: "eu-west", Role: "Sync"}).SQL
	require.Contains(t, sql, "ALTER SYSTEM SET wal_level = logical;")
	require.Contains(t, sql, `CREATE ROLE "Sync" LOGIN REPLICATION;`)
	require.Contains(t, sql, `ALTER ROLE "Sync" BYPASSRLS;`)
	require.Contains(t, sql, "CREATE PUBLICATION driftless_eu_west FOR TABLE products")
	require.Contains(t, sql, "publish_generated_columns = stored")
	require.NotContains(t, sql, "REPLICA IDENTITY", "the key is enough")
	require.Contains(t, sql, "GRANT ALL ON SCHEMA driftless_ledger TO \"Sync\";")

	db.Roles, db.Publications = []string{"driftless"}, []string{"driftless"}
	sql = propose(t, db, proposal.Answers{}).SQL
	require.NotContains(t, sql, "CREATE ROLE")
	require.NotContains(t, sql, "CREATE PUBLICATION")
}
