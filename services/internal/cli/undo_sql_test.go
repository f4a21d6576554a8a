package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// inStripe is a product with two prices in Stripe.
func inStripe() *catalogv1.Observed {
	return &catalogv1.Observed{
		ProductId: "mug",
		Product: &catalogv1.Product{
			Id: "mug", Name: "Mug", Active: new(true), Description: "It's big\n\\ok", DefaultPrice: "price_1",
			Images: []string{"https://a/b"}, Metadata: map[string]string{"driftless_product": "mug", "color": "red"},
			MarketingFeatures: []*catalogv1.MarketingFeature{{Name: "safe"}},
		},
		Prices: []*catalogv1.ObservedPrice{
			{StripeId: "price_1", Price: &catalogv1.Price{
				Id: "mug-eur", Active: new(true), Currency: "eur", UnitAmount: "1400", LookupKey: "mug-eur",
				Metadata: map[string]string{"driftless_price": "mug-eur"},
			}},
			{StripeId: "price_2", Price: &catalogv1.Price{
				Id: "mug.month", Active: new(true), Currency: "usd", UnitAmountDecimal: "0.5",
				Recurring:         &catalogv1.Recurring{Interval: "month", IntervalCount: 3},
				TransformQuantity: &catalogv1.TransformQuantity{DivideBy: 10, Round: "up"},
			}},
		},
	}
}

func TestUndoSQL_GivesTheTablesStripesValues(t *testing.T) {
	t.Parallel()
	both := []*catalogv1.Price{{Id: "mug-eur"}, {Id: "mug.month"}, {Id: "new"}}
	for name, x := range map[string]struct {
		desired     *catalogv1.Product
		differences []*meshv1.Difference
		want        []string
		unknown     []string
	}{
		"amount": {
			&catalogv1.Product{Id: "mug", Prices: both},
			[]*meshv1.Difference{{Kind: "price_structure", Field: "prices.mug-eur.unit_amount"}},
			[]string{`UPDATE driftless.prices SET unit_amount = 1400 WHERE id = 'mug-eur';`},
			nil,
		},
		"id with a dot, two columns": {
			&catalogv1.Product{Id: "mug", Prices: both},
			[]*meshv1.Difference{
				{Kind: "price_structure", Field: "prices.mug.month.unit_amount"},
				{Kind: "price_structure", Field: "prices.mug.month.unit_amount_decimal"},
				{Kind: "price_structure", Field: "prices.mug.month.recurring.interval"},
				{Kind: "price_structure", Field: "prices.mug.month.recurring.interval_count"},
			},
			[]string{`UPDATE driftless.prices SET unit_amount = NULL, unit_amount_decimal = 0.5, ` +
				`recurring = '{"interval":"month","interval_count":3}' WHERE id = 'mug.month';`},
			nil,
		},
		"quotes": {
			&catalogv1.Product{Id: "o'mug", Prices: both},
			[]*meshv1.Difference{
				{Kind: "field", Field: "description"},
				{Kind: "field", Field: "metadata.color"},
				{Kind: "field", Field: "metadata.gone"},
				{Kind: "field", Field: "images"},
				{Kind: "default_price", Field: "default_price"},
				{Kind: "archived_in_catalog", Field: "active"},
			},
			[]string{`UPDATE driftless.products SET description = E'It''s big\U0000000A\\ok', ` +
				`metadata = (coalesce(metadata, '{}') || '{"color":"red"}'::jsonb) - 'gone', images = ARRAY['https://a/b'], ` +
				`default_price = 'mug-eur', active = true WHERE id = 'o''mug';`},
			nil,
		},
		"price is new, price is gone": {
			&catalogv1.Product{Id: "mug", Prices: []*catalogv1.Price{{Id: "mug-eur"}, {Id: "new"}}},
			[]*meshv1.Difference{
				{Kind: "missing", Field: "prices.new"},
				{Kind: "archived_in_catalog", Field: "prices.mug.month.active"},
			},
			[]string{
				`DELETE FROM driftless.prices WHERE id = 'new';`,
				`INSERT INTO driftless.prices (product, active, currency, id, recurring, transform_quantity, ` +
					`unit_amount_decimal) VALUES ('mug', true, 'usd', 'mug.month', ` +
					`'{"interval":"month","interval_count":3}', '{"divide_by":10,"round":"up"}', 0.5);`,
			},
			nil,
		},
		"product is gone": {
			nil,
			[]*meshv1.Difference{{Kind: "archived_in_catalog", Field: "active"}},
			[]string{
				`INSERT INTO driftless.products (active, default_price, description, id, images, marketing_features, ` +
					`metadata, name) VALUES (true, 'mug-eur', E'It''s big\U0000000A\\ok', 'mug', ` +
					`ARRAY['https://a/b'], ARRAY['safe'], '{"color":"red"}', 'Mug');`,
				`INSERT INTO driftless.prices (product, active, currency, id, lookup_key, unit_amount) VALUES ` +
					`('mug', true, 'eur', 'mug-eur', 'mug-eur', 1400);`,
				`INSERT INTO driftless.prices (product, active, currency, id, recurring, transform_quantity, ` +
					`unit_amount_decimal) VALUES ('mug', true, 'usd', 'mug.month', ` +
					`'{"interval":"month","interval_count":3}', '{"divide_by":10,"round":"up"}', 0.5);`,
			},
			nil,
		},
		"nothing is known": {
			&catalogv1.Product{Id: "mug", Prices: both},
			[]*meshv1.Difference{{Kind: "extra", Field: "prices.other"}, {Kind: "missing"}},
			nil,
			[]string{"prices.other", "the product itself"},
		},
	} {
		rows, unknown := undoRows(&controlv1.ProductDetail{
			ProductId: "mug", Desired: &catalogv1.ProductChange{Product: x.desired}, Observed: inStripe(),
		}, x.differences)
		var statements []string
		for _, row := range rows {
			statements = append(statements, row.sql())
		}
		require.Equal(t, x.want, statements, name)
		require.Equal(t, x.unknown, unknown, name)
	}
}

// For tables of the operator's own, the output says what the mapping's queries must return.
func TestPrintRejection_NamesValuesOfOwnTables(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer file.Close()
	before := stdout
	stdout = file
	defer func() { stdout = before }()
	differences := []*meshv1.Difference{
		{Kind: "field", Field: "description"},
		{Kind: "price_structure", Field: "prices.mug-eur.unit_amount", Catalog: "14", Stripe: "1400"},
		{Kind: "missing", Field: "prices.new"},
		{Kind: "archived_in_catalog", Field: "prices.mug.month.active"},
	}
	detail := &controlv1.ProductDetail{
		ProductId: "mug", Observed: inStripe(),
		Desired: &catalogv1.ProductChange{Product: &catalogv1.Product{
			Id: "mug", Prices: []*catalogv1.Price{{Id: "mug-eur"}, {Id: "new"}},
		}},
	}
	printRejection(&controlv1.Rejection{
		ProductId: "mug", Differences: differences, Blocker: "set catalog.write_back.price",
	}, detail, false)
	out, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	text := string(out)
	for _, want := range []string{
		"--     not written back: set catalog.write_back.price\n",
		"--         the prices query must return for id 'mug-eur': unit_amount = 1400\n",
		"--         the prices query must not return the row with id 'new'\n",
		"--         the prices query must return a row with product = 'mug', active = true, currency = 'usd', id = 'mug.month', ",
		`--         the products query must return for id 'mug': description = E'It''s big\U0000000A\\ok'`,
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "driftless.prices")
	for line := range strings.Lines(text) {
		require.True(t, strings.HasPrefix(line, "--"), "psql runs nothing of it: %s", line)
	}
}

func TestQuoteSQL_HoldsNothingThatATerminalObeys(t *testing.T) {
	t.Parallel()
	require.Equal(t, `E'\U0000001B[31m''\U0000202E'`, quoteSQL("\x1b[31m'\u202e"))
	require.Equal(t, `'Becher für "Ü"'`, quoteSQL(`Becher für "Ü"`))
}
