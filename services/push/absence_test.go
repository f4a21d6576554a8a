package push_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// wantMapped publishes a state from a mapping that leaves fields out. Nil is a product that left the catalog.
func (r *rig) wantMapped(p *catalogv1.Product, version uint64, unmanaged ...string) {
	r.t.Helper()
	change := &catalogv1.ProductChange{
		Account: "default", ProductId: "mug", Version: version, Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product: p, UnmanagedFields: unmanaged,
	}
	if p == nil {
		change.Operation = catalogv1.Operation_OPERATION_DELETE
	}
	require.NoError(r.t,
		r.mesh.Publish(r.t.Context(), topology.CatalogSubject("default", topology.Live, "mug"), change,
			mesh.WithVersion(version)))
	r.applied("mug", version)
}

// onSale returns what Stripe sells of the mug: amounts by lookup key, and the default price's key.
func (r *rig) onSale() (amounts map[string]int64, byDefault string) {
	r.t.Helper()
	p, err := r.stripe.Products.Get("mug", &stripe.ProductParams{Expand: []*string{stripe.String("default_price")}})
	require.NoError(r.t, err)
	amounts = map[string]int64{}
	if !p.Active {
		return amounts, ""
	}
	if p.DefaultPrice != nil {
		byDefault = p.DefaultPrice.LookupKey
	}
	list := r.stripe.Prices.List(&stripe.PriceListParams{Product: stripe.String("mug"), Active: stripe.Bool(true)})
	for list.Next() {
		amounts[list.Price().LookupKey] = list.Price().UnitAmount
	}
	require.NoError(r.t, list.Err())
	return amounts, byDefault
}

func shelf(amounts map[string]string) *catalogv1.Product {
	p := &catalogv1.Product{Id: "mug", Name: "Mug"}
	for id, amount := range amounts {
		p.Prices = append(p.Prices, &catalogv1.Price{Id: id, Currency: "eur", UnitAmount: amount})
	}
	return p
}

func TestPush_UnarchivesWhatReturnsToTheCatalog(t *testing.T) {
	t.Parallel()
	everything := []string{"active", "default_price", "prices.active", "prices.lookup_key"}
	for name, unmanaged := range map[string][]string{
		"all mapped": nil, "active unmapped": {"active"}, "prices.active unmapped": {"prices.active"},
		"neither": everything,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.push()
			full := map[string]string{"one": "1400", "two": "1500"}
			r.wantMapped(shelf(full), 1, unmanaged...)
			r.wantMapped(shelf(map[string]string{"one": "1400"}), 2, unmanaged...)
			amounts, _ := r.onSale()
			require.Equal(t, map[string]int64{"one": 1400}, amounts)
			r.wantMapped(shelf(map[string]string{"one": "1400", "two": "1650"}), 3, unmanaged...)
			amounts, _ = r.onSale()
			require.Equal(t, map[string]int64{"one": 1400, "two": 1650}, amounts,
				"a price that is back at another amount")

			r.wantMapped(nil, 4, unmanaged...)
			amounts, _ = r.onSale()
			require.Empty(t, amounts)
			r.wantMapped(shelf(full), 5, unmanaged...)
			amounts, _ = r.onSale()
			require.Equal(t, map[string]int64{"one": 1400, "two": 1500}, amounts)
			active, archived := r.prices("mug")
			require.Equal(t, []int{2, 1}, []int{active, archived})

			// Where active is not mapped, a product that a person archived stays archived.
			_, err := r.stripe.Products.Update("mug", &stripe.ProductParams{Active: stripe.Bool(false)})
			require.NoError(t, err)
			r.commandSync("mug")
			r.wantMapped(shelf(full), 6, unmanaged...)
			r.wantMapped(nil, 7, unmanaged...)
			r.wantMapped(shelf(full), 8, unmanaged...)
			p, err := r.stripe.Products.Get("mug", nil)
			require.NoError(t, err)
			require.NotContains(t, p.Metadata, catalog.AbsenceMarker)
			if name == "all mapped" || name == "prices.active unmapped" {
				require.True(t, p.Active)
			}
		})
	}
}

func TestPush_KeepsArchivedWhatAPersonArchived(t *testing.T) {
	r := newRig(t)
	r.push()
	unmanaged := []string{"active", "prices.active"}
	r.wantMapped(shelf(map[string]string{"one": "1400"}), 1, unmanaged...)
	_, err := r.stripe.Products.Update("mug", &stripe.ProductParams{Active: stripe.Bool(false)})
	require.NoError(t, err)
	r.commandSync("mug")
	require.Eventually(t, func() bool { return !r.observed("mug").GetProduct().GetActive() }, patience,
		10*time.Millisecond)
	r.wantMapped(nil, 2, unmanaged...)
	r.wantMapped(shelf(map[string]string{"one": "1400"}), 3, unmanaged...)
	p, err := r.stripe.Products.Get("mug", nil)
	require.NoError(t, err)
	require.False(t, p.Active, "a person had archived it")
	active, _ := r.prices("mug")
	require.Equal(t, 1, active, "its price Driftless had archived")
}

// TestPush_UnarchivesWhatItArchivedAfterALostAnswer: the mark is in Stripe, set by the call that archives.
func TestPush_UnarchivesWhatItArchivedAfterALostAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range []stripesim.FaultKind{
		stripesim.FaultResponseLost, stripesim.FaultErrorAfter,
		stripesim.FaultErrorBefore,
	} {
		for _, path := range []string{"/v1/products/{id}", "/v1/prices/{price}"} {
			for _, forgotten := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s on %s, OBSERVED lost: %v", kind, path, forgotten), func(t *testing.T) {
					t.Parallel()
					r := newRig(t)
					r.push()
					unmanaged := []string{"active", "default_price", "prices.active"}
					p := shelf(map[string]string{"one": "1400", "two": "1500"})
					r.wantMapped(p, 1, unmanaged...)
					_, err := r.admin.AddFault(t.Context(), stripesim.Fault{
						Kind:   kind,
						Method: http.MethodPost,
						Path:   path,
						Count:  1,
					})
					require.NoError(t, err)
					r.wantMapped(nil, 2, unmanaged...)
					amounts, _ := r.onSale()
					require.Empty(t, amounts)
					if forgotten {
						require.NoError(t, r.stores.Observed().Forget(t.Context(), "default", "mug"))
					}
					r.wantMapped(p, 3, unmanaged...)
					amounts, _ = r.onSale()
					require.Equal(t, map[string]int64{"one": 1400, "two": 1500}, amounts)
				})
			}
		}
	}
}

func TestPush_RestoresAnUnmappedDefaultPrice(t *testing.T) {
	needsLeniency(t, "to clear default_price")
	r := newRig(t)
	r.push()
	unmanaged := []string{"active", "default_price", "prices.active"}
	p := shelf(map[string]string{"one": "1400", "two": "1500"})
	r.wantMapped(p, 1, unmanaged...)
	for _, held := range r.observed("mug").GetPrices() {
		if held.GetPrice().GetId() == "two" {
			_, err := r.stripe.Products.Update("mug",
				&stripe.ProductParams{DefaultPrice: stripe.String(held.GetStripeId())})
			require.NoError(t, err)
		}
	}
	r.commandSync("mug")
	require.Eventually(t, func() bool { return r.observed("mug").GetProduct().GetDefaultPrice() != "" }, patience,
		10*time.Millisecond)
	r.wantMapped(nil, 2, unmanaged...)
	r.wantMapped(p, 3, unmanaged...)
	amounts, byDefault := r.onSale()
	require.Equal(t, map[string]int64{"one": 1400, "two": 1500}, amounts)
	require.Equal(t, "two", byDefault)
}
