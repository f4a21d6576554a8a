package describe_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
)

func observedPrice(stripeID, id, amount string, created int64, active bool) *catalogv1.ObservedPrice {
	return &catalogv1.ObservedPrice{
		StripeId: stripeID,
		Created:  created,
		Price:    &catalogv1.Price{Id: id, Currency: "eur", UnitAmount: amount, Active: new(active)},
	}
}

func applied(version uint64, at int64, step, object string) *controlv1.HistoryEntry {
	return &controlv1.HistoryEntry{
		Kind:    "applied",
		Version: version,
		At:      timestamppb.New(time.Unix(at, 0)),
		TraceId: "trace",
		Steps:   []*meshv1.AppliedStep{{Step: step, ObjectId: object, StripeRequestId: "req_" + object}},
	}
}

func TestPriceChains_LinkReplacedPrices(t *testing.T) {
	t.Parallel()
	before := &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{
		observedPrice("price_0", "eur", "900", 0, true), observedPrice("price_1", "eur", "1000", 0, true),
	}}
	now := &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{
		observedPrice("price_3", "eur", "1400", 5000, true), observedPrice("price_x", "", "1", 100, true),
		observedPrice("price_2", "eur", "1200", 3000, true), observedPrice("price_1", "eur", "1000", 1000, false),
	}}
	until := timestamppb.New(time.Unix(9000, 0))
	now.Prices[2].KeepUntil, now.Prices[2].ReplacedAt = until, timestamppb.New(time.Unix(5001, 0))
	chains := describe.PriceChains([]*catalogv1.Observed{before, now}, []*controlv1.HistoryEntry{
		applied(8, 5002, "create price eur", "price_3"),
		applied(7, 5002, "update price eur", "price_2"),
		applied(2, 1001, "create product mug with price eur", "mug"),
	})
	require.Len(t, chains, 2)
	eur, other := chains[0], chains[1]
	require.Equal(t, "eur", eur.GetPriceId())
	require.Empty(t, other.GetPriceId())
	require.Equal(t, "price_x", other.GetPrices()[0].GetStripePriceId())

	prices := eur.GetPrices()
	require.Len(t, prices, 4)
	for i, want := range []struct {
		id, amount, next string
		active           bool
		version          uint64
	}{
		{"price_0", "9.00 EUR", "price_1", false, 0},
		{"price_1", "10.00 EUR", "price_2", false, 0},
		{"price_2", "12.00 EUR", "price_3", true, 0},
		{"price_3", "14.00 EUR", "", true, 8},
	} {
		require.Equal(t, want.id, prices[i].GetStripePriceId())
		require.Equal(t, want.amount, prices[i].GetAmount())
		require.Equal(t, want.next, prices[i].GetReplacedBy())
		require.Equal(t, want.active, prices[i].GetActive())
		require.Equal(t, want.version, prices[i].GetOrigin().GetVersion())
	}
	require.Nil(t, prices[0].GetCreatedAt(), "past states have no times of prices")
	require.EqualValues(t, 3000, prices[1].GetReplacedAt().GetSeconds())
	require.EqualValues(t, 5001, prices[2].GetReplacedAt().GetSeconds())
	require.Equal(t, until, prices[2].GetKeepUntil())
	require.Equal(t, "req_price_3", prices[3].GetOrigin().GetStripeRequestId())
}

// A call that creates a product with its price names no price of Stripe's.
func TestPriceChains_TimeTellsThePriceOfANewProduct(t *testing.T) {
	t.Parallel()
	now := &catalogv1.Observed{Prices: []*catalogv1.ObservedPrice{observedPrice("price_1", "eur", "1000", 1000, true)}}
	origin := func(at int64, step string) *controlv1.PriceOrigin {
		return describe.PriceChains([]*catalogv1.Observed{now},
			[]*controlv1.HistoryEntry{applied(2, at, step, "mug")})[0].GetPrices()[0].GetOrigin()
	}
	require.EqualValues(t, 2, origin(1002, "create product mug with price eur").GetVersion())
	require.Nil(t, origin(1002, "create product mug with price usd"))
	require.Nil(t, origin(90_000, "create product mug with price eur"))
}

func TestPriceSummary_NamesTheDefaultPriceFirst(t *testing.T) {
	t.Parallel()
	product := &catalogv1.Product{DefaultPrice: "b", Prices: []*catalogv1.Price{
		{Id: "a", Currency: "eur", UnitAmount: "100"},
		{Id: "b", Currency: "eur", UnitAmount: "200"},
		{Id: "c", Currency: "eur", UnitAmount: "300", Active: new(false)},
	}}
	change := &catalogv1.ProductChange{Product: product}
	require.Equal(t, "2.00 EUR (+1)", describe.PriceSummary(change, nil))
	product.DefaultPrice = ""
	require.Equal(t, "1.00 EUR (+1)", describe.PriceSummary(change, nil))
	stripe := &catalogv1.Observed{
		Product: &catalogv1.Product{DefaultPrice: "price_2"},
		Prices: []*catalogv1.ObservedPrice{
			observedPrice("price_1", "", "100", 0, true), observedPrice("price_2", "", "200", 0, true),
		},
	}
	require.Equal(t, "2.00 EUR (+1)", describe.PriceSummary(nil, stripe))
	require.Equal(t, "2.00 EUR (+1)", describe.PriceSummary(&catalogv1.ProductChange{}, stripe))
	product.Prices = product.Prices[2:]
	require.Empty(t, describe.PriceSummary(change, stripe))
}
