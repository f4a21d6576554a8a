package mapping

import (
	"runtime"
	"strings"
	"testing"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// FuzzColumns checks that any value of a column is read or refused, with effort proportional to its length. Extra
// effort would also need more memory, which the test measures. Numbers are the exception: beyond a length they are not
// parsed at all (see catalog.Validate).
func FuzzColumns(f *testing.F) {
	for _, text := range []string{
		"", "mug", "t", "1400.00", "NaN", "-1", "1e5", "EUR", "null", "{}", "[]", "[1,null,\"\",{\"name\":\"x\"},[]]",
		`{"interval":"month","interval_count":1,"usage_type":"metered","meter":"m"}`,
		`{"height":1,"length":"2","weight":3.5,"width":4}`,
		`[{"up_to":5,"unit_amount":1},{"up_to":"inf","flat_amount_decimal":"0.5"}]`,
		`{"USD":{"unit_amount":1},"usd":{"tiers":[{}]}}`,
		`{"minimum":"` + strings.Repeat("9", 2000) + `","maximum":1}`, `{"enabled":false}`,
		`{"a":"b","c":null,"d":["x"]}`, `{"divide_by":18446744073709551616,"round":"up"}`,
		strings.Repeat("9", 5000), strings.Repeat("[", 5000), "\xff\x00", `{"a":"\ud800"}`, strings.Repeat("{},", 500),
	} {
		f.Add([]byte(text))
	}
	validator, err := validation.New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for name, column := range productColumns {
			bounded(t, name, raw, func() {
				p := &catalogv1.Product{Id: "p", Name: "P"}
				var faults []catalog.Violation
				column.set(&productRow{product: p}, value{path: name, raw: raw, faults: &faults})
				judge(t, validator, p, faults)
			})
		}
		for name, column := range priceColumns {
			bounded(t, name, raw, func() {
				row := priceRow{product: "p", price: &catalogv1.Price{Id: "x", Currency: "eur"}}
				var faults []catalog.Violation
				column.set(&row, value{path: name, raw: raw, faults: &faults})
				row.amount()
				judge(t, validator, &catalogv1.Product{Id: "p", Name: "P", Prices: []*catalogv1.Price{row.price}},
					faults)
			})
		}
	})
}

// bounded runs work, which may allocate a limited number of bytes for each byte of the value.
func bounded(t *testing.T, column string, raw []byte, work func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(4<<20+10_000*len(raw)); got > most {
		t.Fatalf("column %s: %d bytes for a value of %d", column, got, len(raw))
	}
}

func judge(t *testing.T, validator *validation.Validator, p *catalogv1.Product, faults []catalog.Violation) {
	t.Helper()
	if len(faults) > catalog.MaxViolations+1 {
		t.Fatalf("%d faults", len(faults))
	}
	for _, fault := range append(faults, validator.Product(p)...) {
		if len(fault.String()) > 4096 {
			t.Fatalf("a fault of %d bytes: %.300s", len(fault.String()), fault)
		}
	}
	canonical := catalog.Canonical(p)
	for _, price := range canonical.GetPrices() {
		_ = catalog.FormatPrice(price)
	}
}
