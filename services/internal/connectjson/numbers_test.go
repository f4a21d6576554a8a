package connectjson

import (
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
)

func TestDecimalText(t *testing.T) {
	t.Parallel()
	for literal, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "0e99": "0", "1400": "1400", "1400.0": "1400", "1.4e3": "1400",
		"0.5": "0.5", "12.50": "12.5", "1e-7": "0.0000001", "100e-2": "1", "123.456e1": "1234.56",
		"0.012e2": "1.2", "0.012e3": "12", "-5": "-5", "-0.50": "-0.5", "9007199254740993": "9007199254740993",
		"999999999999999999": "999999999999999999", "0.123456789012": "0.123456789012", "1E+2": "100",
		strings.Repeat("9", 40): strings.Repeat("9", 40),
	} {
		text, err := DecimalText(literal)
		require.NoError(t, err, literal)
		assert.Equal(t, want, text, literal)
	}
	for _, literal := range []string{
		"", "01", "+1", ".5", "1.", "1_000", "0x10", "NaN", "1e40", "1e9999", "1e99999", "1e-41",
		strings.Repeat("9", 41), strings.Repeat("9", 1000),
	} {
		_, err := DecimalText(literal)
		require.ErrorIs(t, err, errNoDecimal, literal)
	}
}

// Every text field whose rule is a number takes a number.
func TestIsDecimal_CoversContract(t *testing.T) {
	t.Parallel()
	seen, found := map[protoreflect.FullName]bool{}, 0
	var visit func(m protoreflect.MessageDescriptor)
	visit = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if inner := f.Message(); inner != nil {
				visit(inner)
				continue
			}
			rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
			numeric := strings.Contains(rules.GetString().GetPattern(), "[0-9]{") && !f.IsMap()
			assert.Equal(t, numeric, IsDecimal(f), f.FullName())
			if numeric {
				found++
			}
		}
	}
	visit((&catalogv1.Product{}).ProtoReflect().Descriptor())
	require.Equal(t, 16, found)
}

func TestBoundedCodec_TakesNumbers(t *testing.T) {
	t.Parallel()
	var have ingestv1.UpsertProductsRequest
	require.NoError(t, boundedCodec{}.Unmarshal([]byte(`{"products": [{"id": "mug", "name": "inf",
		"metadata": {"up_to": "inf"}, "package_dimensions": {"height": 1.50, "length": 2, "weight": 3, "width": "4"},
		"prices": [
			{"id": "a", "unit_amount": 1400, "currency_options": {"usd": {"unit_amount_decimal": 0.10},
				"gbp": {"custom_unit_amount": {"minimum": 100, "preset": 9007199254740993}}}},
			{"id": "b", "tiers": [{"upTo": 10, "unitAmount": 5}, {"up_to": "inf", "flat_amount": "7"}],
				"recurring": {"interval": "month", "interval_count": 3}}
		]}]}`), &have))
	want := &ingestv1.UpsertProductsRequest{Products: []*catalogv1.Product{{
		Id: "mug", Name: "inf", Metadata: map[string]string{"up_to": "inf"},
		PackageDimensions: &catalogv1.PackageDimensions{Height: "1.5", Length: "2", Weight: "3", Width: "4"},
		Prices: []*catalogv1.Price{
			{Id: "a", UnitAmount: "1400", CurrencyOptions: map[string]*catalogv1.CurrencyOption{
				"usd": {UnitAmountDecimal: "0.1"},
				"gbp": {CustomUnitAmount: &catalogv1.CustomUnitAmount{Minimum: "100", Preset: "9007199254740993"}},
			}},
			{
				Id: "b", Tiers: []*catalogv1.PriceTier{{UpTo: "10", UnitAmount: "5"}, {FlatAmount: "7"}},
				Recurring: &catalogv1.Recurring{Interval: "month", IntervalCount: 3},
			},
		},
	}}}
	require.True(t, proto.Equal(want, &have), "%v", &have)
}

func TestBoundedCodec_NamesWrongNumbers(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"products":[{"prices":[{"unit_amount":1e50}]}]}`:       "products[0].prices[0].unit_amount: must be a decimal number",
		`{"products":[{"metadata":{"a":1}}]}`:                    "(line 1:31): invalid value for string field value: 1",
		`{"products":[{"prices":[{"unit_amount":1,"foo":2}]}]}`:  `(line 1:42): unknown field "foo"`,
		`{"products":[{"prices":[{"unit_amount":[1]}]}]}`:        "invalid value for string field",
		`{"products":[{"name":5,"prices":[{"unit_amount":1}]}]}`: "(line 1:22): invalid value for string field name: 5",
		`{"products":[{"prices":[{"unit_amount":1`:               "unexpected",
		strings.Repeat(`{"products":[`, 200):                     "",
	} {
		var m ingestv1.UpsertProductsRequest
		require.ErrorContains(t, boundedCodec{}.Unmarshal([]byte(body), &m), want, body)
	}
}
