package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Diff writes products field by field. This test fails when the contract has a field that Diff does not write: Diff
// calls two states equal, and so does every law that asks Diff.
func TestDiff_WritesEveryField(t *testing.T) {
	t.Parallel()
	p := &catalogv1.Product{}
	fill(p.ProtoReflect())
	// The one price is the default.
	p.DefaultPrice = p.GetPrices()[0].GetId()
	change := &catalogv1.ProductChange{ProductId: p.GetId(), Product: p}
	require.Empty(t, catalog.Diff(change, readBack(p)))
	for _, f := range catalog.ProductFields() {
		if f.Name == "id" {
			continue
		}
		observed := readBack(p)
		spoil(observed.GetProduct().ProtoReflect(), f.Name)
		require.NotEmpty(t, catalog.Diff(change, observed), "add %s to productFields in field_settings.go", f.Name)
		requireTexts(t, change, observed, f.Name)
	}
	for _, f := range catalog.PriceFields() {
		if f.Name == "id" {
			continue
		}
		observed := readBack(p)
		spoil(observed.GetPrices()[0].GetPrice().ProtoReflect(), f.Name)
		require.NotEmpty(t, catalog.Diff(change, observed),
			"add prices.%s to priceIdentity in field_settings.go, or to createPrice and updatePrice in diff.go", f.Name)
		requireTexts(t, change, observed, f.Name)
	}
}

// requireTexts fails if the difference in a field shows the same text for both sides.
func requireTexts(t *testing.T, change *catalogv1.ProductChange, observed *catalogv1.Observed, field string) {
	t.Helper()
	differences := catalog.Compare(change, observed)
	require.NotEmpty(t, differences, field)
	for _, d := range differences {
		require.NotEqual(t, d.Stripe, d.Catalog, "add %s to the texts of compare.go", d.Field)
	}
}

// spoil takes the value of a field away. An amount is in one of two fields, so both are cleared.
func spoil(m protoreflect.Message, name string) {
	fields := m.Descriptor().Fields()
	field := fields.ByName(protoreflect.Name(name))
	switch {
	case field.Kind() == protoreflect.BoolKind:
		m.Set(field, protoreflect.ValueOf(false))
	case name == "unit_amount", name == "unit_amount_decimal":
		m.Clear(fields.ByName("unit_amount"))
		m.Clear(fields.ByName("unit_amount_decimal"))
	default:
		m.Clear(field)
	}
}
