package push_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// reads counts the calls that only read.
func (r *rig) reads() (n int) {
	r.t.Helper()
	stats, err := r.admin.Stats(r.t.Context())
	require.NoError(r.t, err)
	for endpoint, s := range stats.Endpoints {
		if strings.HasPrefix(endpoint, http.MethodGet) {
			n += s.Requests
		}
	}
	return n
}

// look changes the mug by hand, has push reread and repair it, and returns how many reads that took.
func (r *rig) look() int {
	r.t.Helper()
	require.NoError(r.t, r.admin.EditProduct(r.t.Context(), "mug", url.Values{"name": {"By hand"}}))
	before, writes := r.reads(), r.calls()["POST /v1/products/{id}"]
	r.command(&meshv1.SyncProduct{ProductId: "mug", Look: true})
	require.Eventually(r.t, func() bool {
		return r.calls()["POST /v1/products/{id}"] > writes && r.observed("mug").GetClaim() == nil
	}, patience, 5*time.Millisecond)
	return r.reads() - before
}

// editPriceLists puts a proxy before Stripe that edits the objects of lists of prices. A push that starts later calls
// it. active is the filter of the list.
func (r *rig) editPriceLists(edit func(active bool, prices []json.RawMessage) []json.RawMessage) {
	r.t.Helper()
	target, err := url.Parse(r.simURL)
	require.NoError(r.t, err)
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(res *http.Response) error {
			if res.Request.Method != http.MethodGet || res.Request.URL.Path != "/v1/prices" {
				return nil
			}
			var list struct {
				Data    []json.RawMessage `json:"data"`
				HasMore bool              `json:"has_more"`
			}
			if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
				return err
			}
			list.Data = edit(res.Request.URL.Query().Get("active") == "true", list.Data)
			body, err := json.Marshal(list)
			if err != nil {
				return err
			}
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			res.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
	})
	r.t.Cleanup(server.Close)
	r.simURL = server.URL
}

func TestReread_DoesNotReadALongHistory(t *testing.T) {
	r := newRig(t)
	r.push()
	r.want(mug("Mug", "1400"), 10)
	first := r.applied("mug", 10).GetPrices()[0].GetStripeId()
	r.want(mug("Mug", "1500"), 20)
	r.applied("mug", 20)
	// The catalog's price is older than a history of six pages.
	for i := range 600 {
		_, err := r.admin.CreatePrice(t.Context(),
			url.Values{"product": {"mug"}, "currency": {"eur"}, "unit_amount": {fmt.Sprint(i)}, "active": {"false"}},
			false)
		require.NoError(t, err)
	}
	require.Equal(t, 2+5+1, r.look(), "the product, its active prices, five pages, and the price that is known")
	require.NotNil(t, catalog.FindPrice(r.observed("mug"), first), "it is known still")
	require.Len(t, r.observed("mug").GetPrices(), 2)
	second := r.observed("mug").GetProduct().GetDefaultPrice()
	r.want(mug("Mug", "1400"), 30)
	r.applied("mug", 30)
	require.Equal(t, first, r.observed("mug").GetProduct().GetDefaultPrice(), "and unarchived again")
	require.NoError(t, r.admin.DeletePrice(t.Context(), second))
	r.look()
	require.Len(t, r.observed("mug").GetPrices(), 1, "a price that is gone is not known for ever")
}

// TestReread_KeepsAPriceThatNoListShows: a list may lag behind a create.
func TestReread_KeepsAPriceThatNoListShows(t *testing.T) {
	t.Parallel()
	for _, wasSeen := range []bool{true, false} {
		t.Run(fmt.Sprintf("the product was seen: %v", wasSeen), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var unlisted atomic.Value
			r.editPriceLists(func(_ bool, prices []json.RawMessage) []json.RawMessage {
				return slices.DeleteFunc(prices, func(p json.RawMessage) bool {
					id, _ := unlisted.Load().(string)
					return id != "" && strings.Contains(string(p), id)
				})
			})
			r.push()
			r.want(mug("Mug", "1400"), 10)
			id := r.applied("mug", 10).GetPrices()[0].GetStripeId()
			if !wasSeen {
				// Events told of a price, and nothing has told of its product.
				_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
					o.Product, o.ProductSeen, o.ProductUpdated = nil, 0, 0
					return nil
				})
				require.NoError(t, err)
			}
			unlisted.Store(id)
			created := r.calls()["POST /v1/prices"]
			reads := r.look()
			require.Equal(t, created, r.calls()["POST /v1/prices"], "it is not created again")
			require.Equal(t, 3+1, reads, "the product, its active and archived prices, and the price that is known")
			require.Equal(t, id, r.observed("mug").GetProduct().GetDefaultPrice())
			require.NotNil(t, catalog.FindPrice(r.observed("mug"), id))
			unlisted.Store("")
			require.Equal(t, 3, r.look(), "a price that is listed needs no read of its own")
			active, archived := r.prices("mug")
			require.Equal(t, []int{1, 0}, []int{active, archived})
		})
	}
}

// TestReread_KeepsAPriceThatIsUnarchivedBetweenTheLists: somebody archives a price, and undoes it while push rereads.
func TestReread_KeepsAPriceThatIsUnarchivedBetweenTheLists(t *testing.T) {
	r := newRig(t)
	var undo atomic.Value
	r.editPriceLists(func(active bool, prices []json.RawMessage) []json.RawMessage {
		if id, _ := undo.Load().(string); active && id != "" {
			if err := r.admin.EditPrice(t.Context(), id, url.Values{"active": {"true"}}); err != nil {
				t.Error(err)
			}
		}
		return prices
	})
	r.push()
	p := mug("Mug", "1400")
	p.Prices = append(p.Prices, &catalogv1.Price{Id: "mug-two", Currency: "eur", UnitAmount: "1500"})
	r.want(p, 10)
	held := r.applied("mug", 10).GetPrices()
	second := held[slices.IndexFunc(held, func(p *catalogv1.ObservedPrice) bool {
		return p.GetPrice().GetId() == "mug-two"
	})].GetStripeId()
	require.NoError(t, r.admin.EditPrice(t.Context(), second, url.Values{"active": {"false"}}))
	undo.Store(second)
	created := r.calls()["POST /v1/prices"]
	reads := r.look()
	require.Equal(t, created, r.calls()["POST /v1/prices"], "it is not created again")
	require.Equal(t, 3+1, reads, "the product, its active and archived prices, and the price in neither list")
	require.True(t, catalog.FindPrice(r.observed("mug"), second).GetPrice().GetActive())
	active, archived := r.prices("mug")
	require.Equal(t, []int{2, 0}, []int{active, archived})

	undo.Store("")
	require.NoError(t, r.admin.DeletePrice(t.Context(), second))
	require.Equal(t, 3+1, r.look())
	require.Equal(t, created+1, r.calls()["POST /v1/prices"], "a price that is gone is created again")
	require.Nil(t, catalog.FindPrice(r.observed("mug"), second))
}
