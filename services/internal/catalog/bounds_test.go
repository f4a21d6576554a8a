package catalog_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// allocated returns how many bytes work allocates, including those that it frees.
func allocated(work func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Ten million digits took hours: parsing takes time that grows with the square of the length.
func TestValidate_RefusesLongNumbersWithoutParsing(t *testing.T) {
	digits := strings.Repeat("9", 10<<20)
	p := &catalogv1.Product{Prices: []*catalogv1.Price{
		{
			Id:        "a",
			Currency:  "eur",
			Tiers:     []*catalogv1.PriceTier{{UpTo: digits, UnitAmount: digits}, {UnitAmountDecimal: "0." + digits}},
			TiersMode: "volume",
			Recurring: &catalogv1.Recurring{},
		},
		{
			Id:               "b",
			Currency:         "eur",
			CustomUnitAmount: &catalogv1.CustomUnitAmount{Minimum: digits, Maximum: digits, Preset: "1." + digits},
		},
		{Id: "c", Currency: "eur", UnitAmountDecimal: digits, CurrencyOptions: map[string]*catalogv1.CurrencyOption{
			"usd": {CustomUnitAmount: &catalogv1.CustomUnitAmount{Minimum: digits, Maximum: "1"}},
		}},
	}}
	var violations []catalog.Violation
	require.Less(t, allocated(func() { violations = catalog.Validate(p) }), uint64(1<<20))
	require.NotEmpty(t, violations)
	require.Less(t, allocated(func() { _ = catalog.FormatAmount(digits, "eur") }), uint64(4*len(digits)))
}

func TestValidate_ComparesNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		minimum, maximum string
		ok               bool
	}{
		{"1", "2", true},
		{"2", "1", false},
		{"999999999999", "1000000000000", true},
		{"1.5", "1.50", true},
		{"10", "9.99", false},
		{"", "1", true},
		{"1e3", "1", true},
		{"-1", "-2", true},
		{"1.", "0", true},
		{".5", "0", true},
	} {
		p := &catalogv1.Product{
			Prices: []*catalogv1.Price{{
				Id:               "p",
				Currency:         "eur",
				CustomUnitAmount: &catalogv1.CustomUnitAmount{Minimum: c.minimum, Maximum: c.maximum},
			}},
		}
		require.Equal(t, c.ok, len(catalog.Validate(p)) == 0, "%+v", c)
	}
}

func TestValidate_StopsAtMaxViolations(t *testing.T) {
	t.Parallel()
	p := &catalogv1.Product{DefaultPrice: "last"}
	for i := range 10_000 {
		p.Prices = append(p.Prices, &catalogv1.Price{Id: fmt.Sprint("p", i)})
	}
	p.Prices = append(p.Prices, &catalogv1.Price{Id: "last", Currency: "eur", UnitAmount: "1"})
	violations := catalog.Validate(p)
	require.Len(t, violations, catalog.MaxViolations+1)
	p.DefaultPrice = "gone"
	require.Len(t, catalog.Validate(p), catalog.MaxViolations+1)

	p = &catalogv1.Product{
		Prices: []*catalogv1.Price{{Id: "p", Currency: "eur", Tiers: make([]*catalogv1.PriceTier, 10_000)}},
	}
	require.Len(t, catalog.Validate(p), catalog.MaxViolations+1)
}

func TestValidate_AbridgesValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("漢", 1<<20)
	p := &catalogv1.Product{DefaultPrice: long, Prices: []*catalogv1.Price{{
		Id: long, Currency: long, UnitAmount: "1",
		CurrencyOptions: map[string]*catalogv1.CurrencyOption{long + "x": {}},
	}}}
	violations := catalog.Validate(p)
	require.NotEmpty(t, violations)
	for _, v := range violations {
		require.Less(t, len(v.String()), 4096, "%.200s", v.String())
	}
}

func TestOversized_NamesTooLongLists(t *testing.T) {
	t.Parallel()
	keys := map[string]string{}
	for i := range 2000 {
		keys[fmt.Sprint("k", i)] = "v"
	}
	options := map[string]*catalogv1.CurrencyOption{}
	for i := range 26 * 26 {
		options[string([]byte{'a' + byte(i/26), 'a' + byte(i%26), 'x'})] = &catalogv1.CurrencyOption{
			Tiers: make([]*catalogv1.PriceTier, 10),
		}
	}
	p := &catalogv1.Product{
		Images:            make([]string, 1_000_000),
		MarketingFeatures: make([]*catalogv1.MarketingFeature, 5000),
		Metadata:          keys,
		Prices: []*catalogv1.Price{
			{Id: "a", Tiers: make([]*catalogv1.PriceTier, catalog.MaxParts+1)},
			{Id: "b", CurrencyOptions: options, Metadata: keys},
			{Id: "c", Tiers: make([]*catalogv1.PriceTier, catalog.MaxParts), Metadata: map[string]string{"a": "b"}},
		},
	}
	var got []string
	for _, v := range catalog.Oversized(p) {
		got = append(got, v.String())
	}
	require.Equal(t, []string{
		"images: must have at most 8 items, not 1000000",
		"marketing_features: must have at most 15 items, not 5000",
		"metadata: must have at most 50 keys, not 2000",
		`prices["a"]: must have at most 5000 tiers and currency options together, not 5001`,
		`prices["b"].metadata: must have at most 49 keys, not 2000`,
		`prices["b"]: must have at most 5000 tiers and currency options together, not 7436`,
	}, got)
	require.Empty(t, catalog.Oversized(&catalogv1.Product{Images: make([]string, 9)}),
		"a small excess is reported together with the other violations")
}
