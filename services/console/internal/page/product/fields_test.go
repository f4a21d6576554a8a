package product

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// mug is a product that differs in its description, with a price that was replaced.
func mug() *facts {
	return &facts{
		id: "mug",
		why: &controlv1.Explanation{
			ProductId: "mug",
			Row:       &controlv1.PlaceState{},
			Fields: []*controlv1.FieldValues{
				{Field: "prices.mug.eur", Row: "16.00 EUR", Captured: "15.00 EUR", Stripe: "15.00 EUR", Differs: true},
				{Field: "description", Row: "a", Captured: "a", Stripe: "b", Differs: true},
			},
		},
		drift: []*controlv1.Drift{{
			State: "found",
			Difference: &meshv1.Difference{
				Kind: "field", Field: "description", Catalog: "a", Stripe: "b", Action: "report",
			},
		}},
		detail: &controlv1.ProductDetail{
			Desired: &catalogv1.ProductChange{
				UnmanagedFields: []string{"url"},
				Product: &catalogv1.Product{
					Id: "mug", Name: "Mug", Description: "a", DefaultPrice: "mug.eur",
					Prices: []*catalogv1.Price{
						{Id: "mug.eur", Currency: "eur", UnitAmount: "1500", Nickname: "list"},
						{Id: "mug.usd", Currency: "usd", UnitAmount: "1800"},
					},
				},
			},
			Observed: &catalogv1.Observed{
				ProductId: "mug",
				Product: &catalogv1.Product{
					Id: "mug", Name: "Mug", Description: "b", DefaultPrice: "price_2", Url: "https://example.com",
					Metadata: map[string]string{"driftless_product": "mug", "color": "red"},
				},
				Prices: []*catalogv1.ObservedPrice{
					{
						StripeId: "price_1", Created: 100,
						Price: &catalogv1.Price{
							Id:         "mug.eur",
							Currency:   "eur",
							UnitAmount: "1400",
							Active:     proto.Bool(false),
						},
					},
					{
						StripeId: "price_2", Created: 200,
						Price: &catalogv1.Price{
							Id:         "mug.eur",
							Currency:   "eur",
							UnitAmount: "1500",
							LookupKey:  "mug.eur",
						},
					},
					{StripeId: "price_9", Price: &catalogv1.Price{Currency: "eur", UnitAmount: "1"}},
				},
			},
		},
		history: []*controlv1.HistoryEntry{{Kind: "catalog_change", Version: 7, Actor: "otto", Reason: "new list"}},
		chains: &controlv1.GetPriceChainResponse{Chains: []*controlv1.PriceChain{{
			PriceId: "mug.eur",
			Prices: []*controlv1.ChainedPrice{
				{StripePriceId: "price_0", Amount: "12.00 EUR", ReplacedBy: "price_1"},
				{
					StripePriceId: "price_1", Amount: "14.00 EUR", ReplacedBy: "price_2",
					ReplacedAt: &timestamppb.Timestamp{Seconds: 200},
				},
				{
					StripePriceId: "price_2", Amount: "15.00 EUR", Active: true,
					Origin: &controlv1.PriceOrigin{Version: 7, StripeRequestId: "req_1"},
				},
			},
		}}},
	}
}

func TestDifferences_PutsDriftFirstAndNamesEachFieldOnce(t *testing.T) {
	t.Parallel()
	all := differences(mug())
	require.Len(t, all, 2)
	require.Equal(t, "description", all[0].name)
	require.Equal(t, "only reported", all[0].note)
	require.NotNil(t, all[0].drift)
	require.Equal(t, "prices.mug.eur", all[1].name)
	require.Equal(t, "16.00 EUR", all[1].row, "the row that was not captured")
	require.Nil(t, all[1].drift)

	f := mug()
	f.why.Row.Unknown = "ingestion does not answer"
	require.Empty(t, differences(f)[1].row, "a table that nobody has read has no value")
}

func TestRest_SaysWhyAFieldIsLeftAlone(t *testing.T) {
	t.Parallel()
	f := mug()
	notes := map[string]string{}
	for _, x := range rest(f, differences(f)) {
		notes[x.name] = x.note
		if x.name == "default_price" {
			require.Equal(t, x.catalog, x.stripe, "both are the catalog's id of the price")
		}
	}
	require.Equal(t, map[string]string{
		"active":                     "",
		"name":                       "",
		"default_price":              "",
		"url":                        "left alone: the mapping does not provide it",
		"metadata.color":             "left alone: not a key of the catalog",
		"metadata.driftless_product": "Driftless's own mark",
	}, notes)
}

func TestPrices_ShowsTheOneInUseAndWhatItReplaced(t *testing.T) {
	t.Parallel()
	f := mug()
	own, others := prices(f, differences(f))
	require.Len(t, own, 2)
	require.Equal(t, "15.00 EUR", own[0].amount)
	require.Equal(t, "price_2", own[0].stripeID)
	require.Equal(t, "active", own[0].state)
	require.True(t, own[0].isDefault)
	require.Len(t, own[0].differing, 1)
	require.Equal(t, []replaced{
		{
			amount: "14.00 EUR", next: "15.00 EUR", stripeID: "price_1", by: "price_2", at: time.Unix(200, 0).UTC(),
			why: `Changed in the catalog by otto: "new list"`, version: 7, request: "req_1",
		},
		{
			amount: "12.00 EUR", next: "14.00 EUR", stripeID: "price_0", by: "price_1",
			why: "Why is not known: no call of Driftless is known that made the next price.",
		},
	}, own[0].earlier)
	require.Equal(t, "not in Stripe yet", own[1].state)
	require.Len(t, others, 1)
	require.Equal(t, "price_9", others[0].stripeID)
}

func TestChainsSince_IsThereOnlyIfAPriceIsOlder(t *testing.T) {
	t.Parallel()
	f := &facts{chains: &controlv1.GetPriceChainResponse{
		KnownFrom: &timestamppb.Timestamp{Seconds: 100},
		Chains: []*controlv1.PriceChain{{Prices: []*controlv1.ChainedPrice{
			{CreatedAt: &timestamppb.Timestamp{Seconds: 150}},
		}}},
	}}
	require.Zero(t, f.chainsSince())
	f.chains.Chains[0].Prices[0].CreatedAt.Seconds = 50
	require.Equal(t, int64(100), f.chainsSince().Unix())
	require.Zero(t, (&facts{}).chainsSince(), "nothing is known")
}

func TestPrices_OfAProductThatNobodyKnows(t *testing.T) {
	t.Parallel()
	own, others := prices(&facts{why: &controlv1.Explanation{}}, nil)
	require.Empty(t, own)
	require.Empty(t, others)
}

func TestPolicyLines_OnlyWhereARuleIsPossible(t *testing.T) {
	t.Parallel()
	for field, first := range map[string]string{
		"description":                     "description: {owner: catalog, action: repair}",
		"metadata.color":                  "metadata.color: {owner: catalog, action: repair}",
		"metadata.the color":              `"metadata.the color": {owner: catalog, action: repair}`,
		"prices.mug.eur.nickname":         "prices.nickname: {owner: catalog, action: repair}",
		"prices.mug.eur.metadata.x":       "prices.metadata.x: {owner: catalog, action: repair}",
		"prices.mug.eur.currency_options": "prices.currency_options: {owner: catalog, action: repair}",
		"prices.mug.eur.unit_amount":      "",
		"prices.mug.eur":                  "",
		"prices.gone.nickname":            "",
		"":                                "",
	} {
		lines := policyLines(mug(), field)
		if first == "" {
			require.Empty(t, lines, field)
			continue
		}
		require.Len(t, lines, 4, field)
		require.Equal(t, first, lines[0].line)
	}
}

func TestCanKeepStripe_AsTheAPIDecides(t *testing.T) {
	t.Parallel()
	drift := func(kind, field string) *controlv1.Drift {
		return &controlv1.Drift{Difference: &meshv1.Difference{Kind: kind, Field: field}}
	}
	require.True(t, canKeepStripe(mug(), drift("field", "description")))
	require.False(t, canKeepStripe(mug(), drift("missing", "prices.mug.usd")))
	require.True(t, canKeepStripe(&facts{}, drift("extra", "")))
	require.False(t, canKeepStripe(&facts{}, drift("field", "description")))
}

func TestUnderway_PromisesNothing(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[string]string{
		"held": "waits for an approval", "dead": "refused", "queued": "on its way", "push_down": "push down",
		"unknown": "unknown", "equal": "",
	} {
		require.Equal(t, want, underway(&facts{why: &controlv1.Explanation{Verdict: verdict}}))
	}
}
