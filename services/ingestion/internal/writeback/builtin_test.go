package writeback_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

func TestWrite_WritesBuiltInTables(t *testing.T) {
	r := newBuiltIn(t)
	r.exec(`INSERT INTO driftless.products (id, name, metadata, images) VALUES ('mug', 'Mug', '{"sku": 1}', '{}')`)
	r.exec(`INSERT INTO driftless.prices (id, product, currency, unit_amount, tiers) VALUES ('mug-eur', 'mug', 'eur', 1400.00, NULL)`)
	w := r.writer()
	require.Equal(t, writeback.Written, r.write(w, r.command("mug", func(p *catalogv1.Product) {
		p.Metadata["color"], p.Active = "blue", new(false)
		p.MarketingFeatures = []*catalogv1.MarketingFeature{{Name: "Blue"}}
		p.PackageDimensions = &catalogv1.PackageDimensions{Height: "1.5", Length: "2", Weight: "3", Width: "4"}
		price(p, "mug-eur").Nickname, price(p, "mug-eur").TaxBehavior = "Euro", "inclusive"
		price(p, "mug-eur").CurrencyOptions = map[string]*catalogv1.CurrencyOption{"usd": {UnitAmount: "1500"}}
	}, "metadata.color", "active", "marketing_features", "package_dimensions", "prices.mug-eur.nickname",
		"prices.mug-eur.tax_behavior",
		"prices.mug-eur.currency_options.usd.unit_amount")))
	//nolint:testifylint // not JSON as a whole
	require.Equal(t, `{"sku": 1, "color": "blue"} {Blue} {} f`,
		r.value(`SELECT concat_ws(' ', metadata, marketing_features, images, active) FROM driftless.products`))
	require.Equal(t, `1400.00 Euro inclusive {"usd": {"unit_amount": 1500}}`,
		r.value(`SELECT concat_ws(' ', unit_amount, nickname, tax_behavior, currency_options) FROM driftless.prices`))
	require.Equal(t, writeback.Written,
		r.write(w, writeback.Command{ProductID: "prod_abc", Desired: imported(), Import: true}))
}

// TestWrite_KeepsEveryProductInBuiltInTables imports any product that Stripe can have, and then writes any other
// product back over it.
func TestWrite_KeepsEveryProductInBuiltInTables(t *testing.T) {
	r := newBuiltIn(t)
	w := r.writer()
	rapid.Check(t, func(rt *rapid.T) {
		first, second := catalogtest.Product("mug").Draw(rt, "first"), catalogtest.Product("mug").Draw(rt, "second")
		if _, err := r.pool.Exec(t.Context(), `TRUNCATE driftless.products CASCADE`); err != nil {
			rt.Fatal(err)
		}
		if result, err := w.Write(t.Context(), writeback.Command{
			ProductID: "mug",
			Desired:   first,
			Import:    true,
		}); err != nil || result != writeback.Written {
			rt.Fatalf("import: %v %v", result, err)
		}
		fields := []string{}
		for _, c := range []string{
			"name", "active", "description", "images", "marketing_features", "metadata",
			"package_dimensions", "shippable", "tax_code", "unit_label", "url",
		} {
			if rapid.Bool().Draw(rt, c) {
				fields = append(fields, c)
			}
		}
		for _, p := range second.GetPrices() {
			fields = append(fields, "prices."+p.GetId())
		}
		result, err := w.Write(t.Context(), writeback.Command{
			ProductID: "mug",
			Base:      r.read("mug"),
			Desired:   second,
			Fields:    fields,
		})
		// The default may be a price that is archived in the catalog.
		if failure := (&writeback.Failure{}); errors.As(err, &failure) && strings.Contains(failure.Message,
			"would not be valid") {
			return
		}
		if err != nil || result == writeback.Superseded {
			rt.Fatalf("write back: %v %v", result, err)
		}
	})
}
