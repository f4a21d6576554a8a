package adoption

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/adoption"
)

func TestParse_KeepsTheAddress(t *testing.T) {
	t.Parallel()
	q := parse(url.Values{"key": {" sku "}, "doubt": {"archived"}, "out": {"mug", "cup", "mug"}, "other": {"x"}})
	require.Equal(t, []string{"cup", "mug"}, q.out)
	require.Equal(t, "/adoption?doubt=archived&key=sku&out=cup&out=mug", q.path("/adoption"))
	require.Equal(t, "driftless adopt plan --metadata-key sku", q.command())
	require.Equal(t, []string{"archived"}, q.request().GetDoubts())
	require.True(t, q.withDoubt(withoutDoubts).request().GetCertain())
	require.Equal(t, []string{"mug"}, q.toggleOut("cup").out)
	require.Equal(t, q, q.toggleOut("jug").toggleOut("jug"))
	require.Empty(t, parse(url.Values{"key": {"driftless_product"}}).key)
}

func TestSummary_SaysWhatBecomesOfTheRest(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]*controlv1.PlanAdoptionResponse{
		"2 of 2 products of the catalog match one of 3 in Stripe beyond doubt.": {
			CatalogProducts: 2, StripeProducts: 3, Certain: 2,
		},
		"1 of 1,000 products of the catalog matches one of 3 in Stripe beyond doubt. 1 match is doubtful. " +
			"998 products match none: push creates them in Stripe.": {
			CatalogProducts: 1000, StripeProducts: 3, Certain: 1, Doubtful: 1,
		},
		"0 of 1 product of the catalog match one of 0 in Stripe beyond doubt. 1 product matches none: push creates " +
			"it once push_create is on.": {CatalogProducts: 1, CreationsHeld: true},
	} {
		require.Equal(t, want, summary(p))
	}
}

// What is downloaded is what the page shows, and reads back as such.
func TestWrite_RoundTrip(t *testing.T) {
	t.Parallel()
	plan := &controlv1.PlanAdoptionResponse{
		Account:     "default",
		MetadataKey: "sku",
		Matches: []*controlv1.AdoptionMatch{
			{ProductId: "cup", StripeId: "prod_cup", Why: "id"},
			{
				ProductId: "jug", StripeId: "prod_jug", Why: "name", Prices: map[string]string{"jug-eur": "price_1"},
				Replace: []string{"jug-eur"}, Create: []string{"jug-usd"},
				Doubts: []*controlv1.AdoptionDoubt{
					{Doubt: "price_differs", PriceId: "jug-eur", Detail: "other\namount"},
					{Doubt: "name_only", Detail: "only the name is the same"},
				},
			},
			{ProductId: "mug", StripeId: "prod_mug", Why: "metadata"},
			{
				ProductId: "pot", Why: "name", Candidates: []string{"prod_1", "prod_2"},
				Doubts: []*controlv1.AdoptionDoubt{{Doubt: "ambiguous", Detail: "one of prod_1, prod_2"}},
			},
		},
	}
	content, err := query{out: []string{"mug"}}.write(plan)
	require.NoError(t, err)
	require.Contains(t, string(content), "# to be created: jug-usd")
	file := adoption.File{Name: "adopt.yaml", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(string(content))), nil
	}}
	header, err := file.Header()
	require.NoError(t, err)
	require.Equal(t, "sku", header.MetadataKey)
	var got []adoption.Entry
	for e, err := range file.Entries() {
		require.NoError(t, err)
		e.Line = 0
		got = append(got, e)
	}
	var want []adoption.Entry
	for _, m := range plan.GetMatches() {
		want = append(want, entryOf(m))
	}
	want[2].Approve = false
	require.Equal(t, want, got)

	u, err := read("adopt.yaml", string(content), "default")
	require.NoError(t, err)
	require.Len(t, u.approved, 1)
	require.Equal(t, 3, u.others)
	_, err = read("adopt.yaml", string(content), "other")
	require.ErrorContains(t, err, "is for account default, and this is other")
	_, err = read("adopt.yaml", strings.Repeat("#", maxFile+1), "default")
	require.ErrorContains(t, err, "larger than the console takes")
}

func TestEncode_KeepsWhatTheVisitorSaw(t *testing.T) {
	t.Parallel()
	e := entryOf(&controlv1.AdoptionMatch{
		ProductId: "mug", StripeId: "prod_mug", Why: "id", Doubts: []*controlv1.AdoptionDoubt{{Doubt: "archived"}},
	})
	back, err := decode(encode(e))
	require.NoError(t, err)
	require.Equal(t, e, back)
	require.False(t, requestOf(back).GetPairPrices(), "the prices are those that were shown: none")
	_, err = decode(`{"product": ""}`)
	require.Error(t, err)
}

// An id that two requests have is found here. The API finds it within one.
func TestRepeated_FindsIdsInDifferentRequests(t *testing.T) {
	t.Parallel()
	list := make([]adoption.Entry, 2*maxEntries)
	for i := range list {
		id := strings.Repeat("x", i+1)
		list[i] = adoption.Entry{Product: "p" + id, Stripe: "s" + id, Line: i + 1}
	}
	require.Empty(t, repeated(list))
	list[maxEntries].Stripe = list[0].Stripe
	list[maxEntries].Product = "mug"
	require.Equal(t, []string{"line 1001, product mug: sx is there twice"}, repeated(list))
}

func TestChoice_SaysWhatAdoptionDoes(t *testing.T) {
	t.Parallel()
	price := func(id string, amount string) *catalogv1.Price {
		return &catalogv1.Price{Id: id, Currency: "eur", UnitAmount: amount, Active: proto.Bool(true)}
	}
	held := func(stripeID, amount string) *catalogv1.ObservedPrice {
		return &catalogv1.ObservedPrice{StripeId: stripeID, Price: price("", amount)}
	}
	c := &choice{
		product: "mug",
		stripe:  "prod_mug",
		want: &catalogv1.ProductChange{ProductId: "mug", Product: &catalogv1.Product{
			Id: "mug", Name: "Mug", Prices: []*catalogv1.Price{price("a", "100"), price("b", "200"), price("c", "300")},
		}},
		held: &catalogv1.Observed{
			Product: &catalogv1.Product{Id: "prod_mug", Name: "Mug", Active: proto.Bool(false)},
			Prices:  []*catalogv1.ObservedPrice{held("price_1", "100"), held("price_2", "250")},
		},
		match: &controlv1.AdoptionMatch{ProductId: "mug", StripeId: "prod_mug", Why: "name"},
	}
	c.pair(map[string]string{"b": "price_2"})
	require.Equal(t, map[string]string{"a": "price_1", "b": "price_2"}, c.entry.Prices)
	require.Equal(t, []string{"b"}, c.entry.Replace)
	require.Contains(t, c.entry.Doubts, "archived")
	require.Equal(t, "name", c.entry.Why)
	text := strings.Join(c.effects(), "\n")
	require.Contains(t, text, "prod_mug becomes mug")
	require.Contains(t, text, "It is archived in Stripe, and is unarchived.")
	require.Contains(t, text, "Price price_1 is taken over as a.")
	require.Contains(t, text, "Price price_2 is archived, and a new one is made for b: 2.00 EUR.")
	require.Contains(t, text, "A new price is made for c: 3.00 EUR.")
}

func TestParseBatch_RefusesOtherAddresses(t *testing.T) {
	t.Parallel()
	b := batchOf{id: "ABC", ids: 3, orders: 2}
	u, err := url.Parse(b.path())
	require.NoError(t, err)
	back, err := parseBatch(u.Query())
	require.NoError(t, err)
	require.Equal(t, b, back)
	for _, query := range []string{"", "batch=A&ids=1&orders=2", "batch=A&ids=0&orders=0", "batch=A*&ids=1&orders=1"} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		_, err = parseBatch(values)
		require.Error(t, err, query)
	}
}

func TestReadPlan_LeavesTheRequest(t *testing.T) {
	t.Parallel()
	request := &controlv1.PlanAdoptionRequest{Limit: 7, After: "mug"}
	before := proto.CloneOf(request)
	_, err := readPlan(&web.Visit{Request: httptest.NewRequest(http.MethodGet, "/", nil), Control: plans{}}, request)
	require.NoError(t, err)
	require.True(t, proto.Equal(before, request))
}

// plans answers with an empty plan.
type plans struct {
	controlv1connect.ControlServiceClient
}

func (plans) PlanAdoption(context.Context, *connect.Request[controlv1.PlanAdoptionRequest],
) (*connect.Response[controlv1.PlanAdoptionResponse], error) {
	return connect.NewResponse(&controlv1.PlanAdoptionResponse{}), nil
}
