package mapping_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
)

// readOne reads a product p with one price x, with the columns in SQL.
func readOne(t *testing.T, s *shop, product, price string) mapping.State {
	t.Helper()
	if product == "" {
		product = "'Mug' AS name"
	}
	if price == "" {
		price = "'eur' AS currency, 100 AS unit_amount"
	}
	s.queries.Products = "SELECT 'p' AS id, " + product
	s.queries.Prices = "SELECT 'x' AS id, 'p' AS product, " + price
	state := s.read("p").States["p"]
	require.NotNil(t, state.Product)
	return state
}

func TestRead_AcceptsUsualFormsOfValues(t *testing.T) {
	s := newShop(t, "SELECT")
	for name, c := range map[string]struct{ product, price, want string }{
		"metadata without a value is left out": {
			product: `'Mug' AS name, jsonb_build_object('sku', 1, 'color', NULL, 'size', '', 'hot', true, 'weight', 1.50, 'note', ' ') AS metadata`,
			want:    `{"id": "p", "name": "Mug", "metadata": {"sku": "1", "hot": "true", "weight": "1.50", "note": " "}, "prices": [{"id": "x", "currency": "eur", "unitAmount": "100"}]}`,
		},
		"empty structures are none": {
			product: `'Mug' AS name, '{}'::jsonb AS package_dimensions, '[]'::jsonb AS metadata, '{}'::text[] AS images, '[]'::jsonb AS marketing_features`,
			price: `'eur' AS currency, 100 AS unit_amount, '{}'::jsonb AS recurring, '[]'::jsonb AS tiers, '{}'::jsonb AS transform_quantity,
				'{}'::jsonb AS currency_options, ' { } '::json AS custom_unit_amount, '{}'::jsonb AS metadata`,
			want: `{"id": "p", "name": "Mug", "prices": [{"id": "x", "currency": "eur", "unitAmount": "100"}]}`,
		},
		"the other empty structure is none": {
			product: `'Mug' AS name, '[]'::jsonb AS package_dimensions, '{}'::jsonb AS images, '{}'::jsonb AS marketing_features`,
			price: `'eur' AS currency, 100 AS unit_amount, '[]'::jsonb AS recurring, '{}'::jsonb AS tiers, '[]'::jsonb AS transform_quantity,
				'[]'::jsonb AS currency_options, '[]'::jsonb AS custom_unit_amount`,
			want: `{"id": "p", "name": "Mug", "prices": [{"id": "x", "currency": "eur", "unitAmount": "100"}]}`,
		},
		"JSON's null is none": {
			product: `'Mug' AS name, 'null'::jsonb AS package_dimensions, 'null'::jsonb AS metadata, NULL::text[] AS images, 'null'::jsonb AS marketing_features`,
			price: `'eur' AS currency, 100 AS unit_amount, 'null'::jsonb AS recurring, 'null'::jsonb AS tiers, 'null'::jsonb AS transform_quantity,
				'{"usd": null, "chf": {}}'::jsonb AS currency_options, 'null'::jsonb AS custom_unit_amount`,
			want: `{"id": "p", "name": "Mug", "prices": [{"id": "x", "currency": "eur", "unitAmount": "100"}]}`,
		},
		"lists with nothing in them": {
			product: `'Mug' AS name, ARRAY[NULL, 'https://a/b', ''] AS images, '[{"name": "Blue"}, null, "Red", {}]'::jsonb AS marketing_features`,
			want:    `{"id": "p", "name": "Mug", "images": ["https://a/b"], "marketingFeatures": [{"name": "Blue"}, {"name": "Red"}], "prices": [{"id": "x", "currency": "eur", "unitAmount": "100"}]}`,
		},
		"currencies in upper case": {
			price: `'EUR'::char(3) AS currency, 100.00 AS unit_amount, '{"USD": {"unit_amount": 120.0}, "chf": {"unit_amount": "130"}}'::jsonb AS currency_options`,
			want: `{"id": "p", "name": "Mug", "prices": [{"id": "x", "currency": "eur", "unitAmount": "100",
				"currencyOptions": {"usd": {"unitAmount": "120"}, "chf": {"unitAmount": "130"}}}]}`,
		},
		"fractions where they are meant": {
			price: `'eur' AS currency, 0.35 AS unit_amount_decimal, '{"usd": {"unit_amount_decimal": 0.4}}'::jsonb AS currency_options,
				'[{"up_to": 10, "unit_amount_decimal": "0.5", "flat_amount_decimal": 7.00}, {"up_to": "inf", "unit_amount": 2}]'::jsonb AS tiers`,
			want: `{"id": "p", "name": "Mug", "prices": [{"id": "x", "currency": "eur", "unitAmountDecimal": "0.35",
				"currencyOptions": {"usd": {"unitAmountDecimal": "0.4"}},
				"tiers": [{"upTo": "10", "unitAmountDecimal": "0.5", "flatAmount": "7"}, {"unitAmount": "2"}]}]}`,
		},
		"an amount that the customer chooses": {
			price: `'eur' AS currency, NULL::int AS unit_amount, '{}'::jsonb AS custom_unit_amount,
				'{"usd": {"custom_unit_amount": {"minimum": 5.0, "maximum": null}}, "chf": {"custom_unit_amount": {"enabled": true}}}'::jsonb AS currency_options`,
			want: `{"id": "p", "name": "Mug", "prices": [{"id": "x", "currency": "eur", "customUnitAmount": {},
				"currencyOptions": {"usd": {"customUnitAmount": {"minimum": "5"}}, "chf": {"customUnitAmount": {}}}}]}`,
		},
		"an amount that the customer does not choose": {
			price: `'eur' AS currency, 100 AS unit_amount, '{"enabled": false, "minimum": 1}'::jsonb AS custom_unit_amount,
				'{"usd": {"unit_amount": 3, "custom_unit_amount": {}}}'::jsonb AS currency_options`,
			want: `{"id": "p", "name": "Mug", "prices": [{"id": "x", "currency": "eur", "unitAmount": "100", "currencyOptions": {"usd": {"unitAmount": "3"}}}]}`,
		},
		"numbers as texts in structures": {
			price: `'eur' AS currency, 100 AS unit_amount, '{"interval": "month", "interval_count": "3"}'::jsonb AS recurring,
				'{"divide_by": 10.0, "round": "up"}'::jsonb AS transform_quantity`,
			want: `{"id": "p", "name": "Mug", "prices": [{"id": "x", "currency": "eur", "unitAmount": "100",
				"recurring": {"interval": "month", "intervalCount": 3}, "transformQuantity": {"divideBy": "10", "round": "up"}}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			state := readOne(t, s, c.product, c.price)
			require.Empty(t, state.Faults)
			got, err := protojson.Marshal(state.Product)
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(got))
		})
	}
}

func TestRead_FaultNamesFieldAndRemedy(t *testing.T) {
	s := newShop(t, "SELECT")
	for name, c := range map[string]struct {
		product, price string
		field, message string
	}{
		"active NULL": {
			product: `'Mug' AS name, NULL::boolean AS active`,
			field:   "active",
			message: "must be true or false; NULL is neither: use coalesce(",
		},
		"name NULL": {product: `NULL AS name`, field: "name", message: "must not be NULL or empty"},
		"metadata list": {
			product: `'Mug' AS name, '{"tags": ["a"]}'::jsonb AS metadata`,
			field:   `metadata["tags"]`,
			message: `not the list ["a"]`,
		},
		"metadata object": {
			product: `'Mug' AS name, '{"size": {"h": 1}}'::jsonb AS metadata`, field: `metadata["size"]`,
			message: `not the object {"h": 1}`,
		},
		"metadata as a text": {
			product: `'Mug' AS name, '"x"'::jsonb AS metadata`,
			field:   "metadata",
			message: `must be an object`,
		},
		"metadata as a list": {
			product: `'Mug' AS name, '["x"]'::jsonb AS metadata`,
			field:   "metadata",
			message: `must be an object`,
		},
		"images as an object": {
			product: `'Mug' AS name, '{"a": "https://b"}'::jsonb AS images`,
			field:   "images",
			message: `must be a list`,
		},
		"an image as a list": {
			product: `'Mug' AS name, '[["https://b"]]'::jsonb AS images`,
			field:   "images[0]",
			message: `not the list`,
		},
		"price active NULL": {
			price:   `'eur' AS currency, 1 AS unit_amount, NULL::boolean AS active`,
			field:   `prices["x"].active`,
			message: "must be true or false",
		},
		"currency NULL": {
			price:   `NULL::text AS currency, 1 AS unit_amount`,
			field:   `prices["x"].currency`,
			message: "must not be NULL or empty",
		},
		"currency empty": {
			price:   `'' AS currency, 1 AS unit_amount`,
			field:   `prices["x"].currency`,
			message: "must not be NULL or empty",
		},
		"a fraction": {
			price:   `'eur' AS currency, 2348.5 AS unit_amount`,
			field:   `prices["x"].unit_amount`,
			message: "round it in the query, as with round(price * 100), or return it as unit_amount_decimal",
		},
		"a fraction beside NULL": {
			price:   `'eur' AS currency, 2348.5 AS unit_amount, NULL::numeric AS unit_amount_decimal`,
			field:   `prices["x"].unit_amount`,
			message: "2348.5 is not a whole number",
		},
		"NaN": {
			price:   `'eur' AS currency, 'NaN'::numeric AS unit_amount`,
			field:   `prices["x"].unit_amount`,
			message: "NaN is not an amount",
		},
		"infinity": {
			price:   `'eur' AS currency, '-Infinity'::numeric AS unit_amount`,
			field:   `prices["x"].unit_amount`,
			message: "-Infinity is not an amount",
		},
		"a fraction in a tier": {
			price: `'eur' AS currency, '[{"up_to": 5, "unit_amount": 1.5}, {"flat_amount": 2.5}]'::jsonb AS tiers`,
			field: `prices["x"].tiers[0].unit_amount`, message: "or return it as unit_amount_decimal",
		},
		"a fraction in a flat amount": {
			price: `'eur' AS currency, '[{"flat_amount": 2.5}]'::jsonb AS tiers`,
			field: `prices["x"].tiers[0].flat_amount`, message: "or return it as flat_amount_decimal",
		},
		"a fraction in a currency option": {
			price: `'eur' AS currency, 1 AS unit_amount, '{"USD": {"unit_amount": 1.5}}'::jsonb AS currency_options`,
			field: `prices["x"].currency_options.usd.unit_amount`, message: "1.5 is not a whole number",
		},
		"a fraction in a custom amount": {
			price: `'eur' AS currency, '{"minimum": 1.5}'::jsonb AS custom_unit_amount`,
			field: `prices["x"].custom_unit_amount.minimum`, message: "Stripe accepts whole ones only",
		},
		"one currency twice": {
			price: `'eur' AS currency, 1 AS unit_amount, '{"USD": {"unit_amount": 1}, "usd": {"unit_amount": 2}}'::jsonb AS currency_options`,
			field: `prices["x"].currency_options.usd`, message: `given twice, as "USD" and as "usd"`,
		},
		"a count that is not a number": {
			price:   `'eur' AS currency, 1 AS unit_amount, '{"interval": "month", "interval_count": "some"}'::jsonb AS recurring`,
			field:   `prices["x"].recurring.interval_count`,
			message: `must be a whole number from 0 to 4294967295, not "some"`,
		},
		"recurring as a text": {
			price: `'eur' AS currency, 1 AS unit_amount, '"month"'::jsonb AS recurring`, field: `prices["x"].recurring`,
			message: `must be an object, as {"key": "value"}, not "month"`,
		},
		"a tier that is not an object": {
			price: `'eur' AS currency, '[5]'::jsonb AS tiers`, field: `prices["x"].tiers[0]`,
			message: `must be an object`,
		},
		"a long value": {
			product: `'Mug' AS name, jsonb_build_object('k', jsonb_build_array(repeat('ü', 5000))) AS metadata`,
			field:   `metadata["k"]`, message: `ü...`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			state := readOne(t, s, c.product, c.price)
			require.NotEmpty(t, state.Faults)
			require.Equal(t, c.field, state.Faults[0].Field)
			require.Contains(t, state.Faults[0].Message, c.message)
			require.Less(t, len(state.Faults[0].Message), 400)
		})
	}
}

func TestRead_ReportsPricesWithoutIdentity(t *testing.T) {
	s := newShop(t,
		`CREATE TABLE items (id text, name text); CREATE TABLE tariffs (id text, item text, cents int); INSERT INTO items VALUES ('mug', 'Mug'), ('cup', 'Cup');
		INSERT INTO tariffs VALUES (NULL, 'mug', 1), ('x', 'cup', 1), ('x', 'cup', 2), ('y', NULL, 2)`)
	r := s.read("mug", "cup")
	require.Equal(t, `prices[0].id`, r.States["mug"].Faults[0].Field)
	require.Equal(t, `prices["x"].id`, r.States["cup"].Faults[0].Field)
	require.Contains(t, r.States["cup"].Faults[0].Message, "the prices query returns this price 2 times")
}
