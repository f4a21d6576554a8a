package connectjson_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/connectjson"
)

func outputOf(t *testing.T, m proto.Message) string {
	t.Helper()
	data, err := connectjson.Output(m)
	require.NoError(t, err)
	return string(data)
}

func TestOutput_NumbersAreNumbers(t *testing.T) {
	t.Parallel()
	out := outputOf(t, &controlv1.FlowStatus{Name: "bulk", Waiting: proto.Uint64(1 << 52)})
	require.Contains(t, out, `"waiting":4503599627370496,`)
	require.Contains(t, out, `"oldest_at":null`)

	out = outputOf(t, &meshv1.DeadLetter{Version: 24692080, FirstAt: &timestamppb.Timestamp{Seconds: 1}})
	require.Contains(t, out, `"version":24692080,`)
	require.Contains(t, out, `"first_at":"1970-01-01T00:00:01Z"`, "a timestamp is no count")

	out = outputOf(t, &catalogv1.AgreedField{Catalog: 1<<64 - 1})
	require.Contains(t, out, `"catalog":"18446744073709551615"`, "a hash has too many bits for a number")

	out = outputOf(t, &meshv1.Budget{Reads: map[string]uint64{"12": 12}})
	require.Contains(t, out, `"reads":{"12":12}`)
}

func TestOutput_MoneyIsInMinorUnits(t *testing.T) {
	t.Parallel()
	out := outputOf(t, &catalogv1.Price{
		Id:         "12",
		Currency:   "eur",
		UnitAmount: "1400",
		Tiers: []*catalogv1.PriceTier{
			{UpTo: "10", UnitAmountDecimal: "0.50", FlatAmount: "7"}, {UnitAmount: "1.5"},
		},
		CurrencyOptions: map[string]*catalogv1.CurrencyOption{"usd": {UnitAmount: "1600"}},
		Metadata:        map[string]string{"unit_amount": "3"},
	})
	require.Contains(t, out, `{"id":"12",`)
	require.Contains(t, out, `"currency":"eur","unit_amount":1400,"unit_amount_decimal":"",`)
	require.Contains(t, out, `{"up_to":10,"unit_amount":null,"unit_amount_decimal":"0.50","flat_amount":7,`)
	require.Contains(t, out, `"unit_amount":"1.5"`, "what Stripe would refuse is shown as it is")
	require.Contains(t, out, `"usd":{"unit_amount":1600,`)
	require.Contains(t, out, `"metadata":{"unit_amount":"3"}`, "metadata are texts")
}

func TestOutput_ListsAreNeverMissing(t *testing.T) {
	t.Parallel()
	require.Contains(t, outputOf(t, &controlv1.ListDriftResponse{}), `"drift":[]`)
}
