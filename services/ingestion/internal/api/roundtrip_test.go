package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// Every written product is read back through the mapping, whatever was there before. Writing it again writes nothing.
func TestUpsertProducts_ReadsBackAsWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := r.mapping()
	rapid.Check(t, func(t *rapid.T) {
		p := catalogtest.Product("pro").Draw(t, "product")
		_, err := r.upsert(p)
		require.NoError(t, err)
		states, err := m.Read(r.t.Context(), []string{"pro"})
		require.NoError(t, err)
		require.Empty(t, states.States["pro"].Faults)
		require.Empty(t,
			cmp.Diff(catalog.Canonical(p), catalog.Canonical(states.States["pro"].Product), protocmp.Transform()))

		before := r.rows()
		again, err := r.upsert(proto.CloneOf(p))
		require.NoError(t, err)
		require.False(t, again[0].GetCreated())
		require.Equal(t, before, r.rows())
	})
}

func TestUpsertProducts_KeepsDigitsAndLetters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tiers := []*catalogv1.PriceTier{
		{UpTo: "999999999999999999", UnitAmountDecimal: "0.000000000001", FlatAmount: "999999999999"},
		{UnitAmount: "0", FlatAmountDecimal: "123456789012.123456789012"},
	}
	want := product("pro",
		&catalogv1.Price{
			Id: "a.b:c", Active: new(false), Currency: "eur", UnitAmountDecimal: "123456789012.123456789012",
			BillingScheme: "per_unit",
			Recurring: &catalogv1.Recurring{
				Interval:      "week",
				IntervalCount: 156,
				UsageType:     "metered",
				Meter:         "mtr_1",
			},
			TransformQuantity: &catalogv1.TransformQuantity{DivideBy: 18446744073709551615, Round: "up"},
			CurrencyOptions: map[string]*catalogv1.CurrencyOption{
				"usd": {UnitAmount: "999999999999", TaxBehavior: "inclusive"}, "jpy": {UnitAmountDecimal: "0.5"},
			},
			TaxBehavior: "exclusive", LookupKey: "gold", Nickname: `"quoted" \u0041 <b>`,
			Metadata: map[string]string{"k": "é \\ \t"},
		},
		&catalogv1.Price{
			Id: "tiered", Currency: "eur", BillingScheme: "tiered", TiersMode: "volume", Tiers: tiers,
			Recurring:       &catalogv1.Recurring{Interval: "month"},
			CurrencyOptions: map[string]*catalogv1.CurrencyOption{"usd": {Tiers: tiers}},
		},
		&catalogv1.Price{
			Id: "custom", Currency: "eur", CustomUnitAmount: &catalogv1.CustomUnitAmount{},
			CurrencyOptions: map[string]*catalogv1.CurrencyOption{
				"usd": {CustomUnitAmount: &catalogv1.CustomUnitAmount{Minimum: "1", Preset: "2", Maximum: "3"}},
			},
		},
		&catalogv1.Price{Id: "zero", Currency: "eur", UnitAmount: "0"},
	)
	proto.Merge(want, &catalogv1.Product{
		Active: new(true), Description: "日本\n\"'",
		Images:            []string{"https://example.com/b.png", "https://example.com/a.png"},
		MarketingFeatures: []*catalogv1.MarketingFeature{{Name: "Fast, {really}"}, {Name: "Safe"}},
		Metadata:          map[string]string{"a.b c": "{\"x\": 1}"},
		PackageDimensions: &catalogv1.PackageDimensions{
			Height: "010",
			Length: "1.50",
			Weight: "0.25",
			Width:  "999999999.99",
		},
		Shippable: new(false), StatementDescriptor: "Acme Pro", TaxCode: "txcd_1", UnitLabel: "seat",
		Url: "https://example.com/?a=1&b=2", DefaultPrice: "zero",
	})
	r.mustUpsert(want)
	states, err := r.mapping().Read(t.Context(), []string{"pro"})
	require.NoError(t, err)
	require.Empty(t, states.States["pro"].Faults)
	got := states.States["pro"].Product
	// The digits are the same as in the request, not only equal by Stripe's rules.
	want.PackageDimensions.Height = "10"
	for _, p := range want.GetPrices() {
		if p.Active == nil {
			p.Active = new(true)
		}
	}
	require.Empty(t,
		cmp.Diff(want, got, protocmp.Transform(),
			protocmp.SortRepeated(func(a, b *catalogv1.Price) bool { return a.GetId() < b.GetId() })))
}

// The API writes the same forms as a person with psql, so that neither undoes the other's spelling.
func TestUpsertProducts_WritesStripesForms(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`INSERT INTO driftless.products (id, name, package_dimensions, marketing_features)
		VALUES ('pro', 'Product pro', '{"height": 1.5, "length": 2, "weight": 3, "width": 4}', '{Fast}')`)
	r.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount, recurring, transform_quantity, currency_options) VALUES
		('m', 'pro', 'eur', 1400, '{"interval": "month", "interval_count": 1}', '{"divide_by": 10, "round": "up"}', '{"usd": {"unit_amount": 900}}')`)
	r.exec(`INSERT INTO driftless.prices (id, product, currency, billing_scheme, tiers_mode, recurring, tiers) VALUES
		('t', 'pro', 'eur', 'tiered', 'volume', '{"interval": "month", "interval_count": 1}', '[{"up_to": 10, "unit_amount": 100}, {"up_to": null, "unit_amount": 50}]')`)
	before := r.rows()
	monthly := price("m")
	monthly.Recurring = &catalogv1.Recurring{Interval: "month", IntervalCount: 1}
	monthly.TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 10, Round: "up"}
	monthly.CurrencyOptions = map[string]*catalogv1.CurrencyOption{"usd": {UnitAmount: "900"}}
	p := product("pro", monthly, &catalogv1.Price{
		Id: "t", Currency: "eur", BillingScheme: "tiered", TiersMode: "volume",
		Tiers:     []*catalogv1.PriceTier{{UpTo: "10", UnitAmount: "100"}, {UnitAmount: "50"}},
		Recurring: &catalogv1.Recurring{Interval: "month", IntervalCount: 1},
	})
	p.PackageDimensions = &catalogv1.PackageDimensions{Height: "1.50", Length: "2", Weight: "3", Width: "4"}
	p.MarketingFeatures = []*catalogv1.MarketingFeature{{Name: "Fast"}}
	r.mustUpsert(p)
	require.Equal(t, before, r.rows(), "nothing is written")
}
