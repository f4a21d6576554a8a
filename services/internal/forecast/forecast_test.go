package forecast

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/guard"
)

// wanted returns the state of a product with one price.
func wanted(id, name, amount string) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{
		ProductId: id, Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product: &catalogv1.Product{
			Id: id, Name: name,
			Prices: []*catalogv1.Price{{Id: id + "-eur", Currency: "eur", UnitAmount: amount}},
		},
	}
}

func gone(id string) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{ProductId: id, Operation: catalogv1.Operation_OPERATION_DELETE}
}

// synced returns what is known about a product that Stripe holds as the catalog wants it.
func synced(change *catalogv1.ProductChange) *controlv1.ProductDetail {
	captured := proto.CloneOf(change)
	captured.Version = 7
	product := proto.CloneOf(change.GetProduct())
	product.Active = new(true)
	prices := product.GetPrices()
	product.Prices = nil
	o := &catalogv1.Observed{ProductId: change.GetProductId(), Version: 7, Product: product}
	for _, p := range prices {
		p.Active, p.LookupKey = new(true), p.GetId()
		p.Metadata = map[string]string{catalog.PriceMarker: p.GetId()}
		o.Prices = append(o.Prices, &catalogv1.ObservedPrice{StripeId: "price_" + p.GetId(), Price: p})
	}
	return &controlv1.ProductDetail{
		ProductId: change.GetProductId(), State: controlv1.ProductState_PRODUCT_STATE_IN_SYNC, Desired: captured,
		Observed: o,
	}
}

func forecaster() *Forecaster {
	return &Forecaster{
		Guard: guard.Config{
			AmountChange: 50, ZeroAmount: true, NoActivePrice: true,
			Products: guard.Limit{Share: 0.1, Least: 1},
		},
		Record: &meshv1.Guard{},
		Now:    time.Unix(1_800_000_000, 0),
	}
}

func words(p Product) string {
	var out []string
	for _, s := range p.GetSteps() {
		out = append(out, s.GetStep())
	}
	for _, f := range p.GetHold().GetFindings() {
		out = append(out, "held by "+f.GetRule())
	}
	return strings.Join(out, ", ")
}

func TestForecast_ShowsCallsAndFindings(t *testing.T) {
	t.Parallel()
	mug := wanted("mug", "Mug", "1400")
	for name, c := range map[string]struct {
		change  Change
		want    string
		nothing bool
	}{
		"a new product": {
			Change{After: mug, Before: gone("mug"), Differs: true},
			"create product mug, create price mug-eur", false,
		},
		"a name": {Change{
			Before:  mug,
			After:   wanted("mug", "Big mug", "1400"),
			Known:   synced(mug),
			Differs: true,
		}, "update product mug", false},
		"an amount": {Change{
			Before:  mug,
			After:   wanted("mug", "Mug", "1000"),
			Known:   synced(mug),
			Differs: true,
		}, "create price mug-eur, archive price mug-eur (price_mug-eur)", false},
		"a dangerous amount": {Change{
			Before:  mug,
			After:   wanted("mug", "Mug", "14"),
			Known:   synced(mug),
			Differs: true,
		}, "create price mug-eur, archive price mug-eur (price_mug-eur), held by amount_change", false},
		"no difference":         {Change{Before: mug, After: mug, Known: synced(mug)}, "", true},
		"never in Stripe":       {Change{Before: mug, After: gone("mug"), Differs: true}, "", false},
		"gone before and after": {Change{Before: gone("mug"), After: gone("mug")}, "", true},
	} {
		c.change.ProductID = "mug"
		got, ok, err := forecaster().Forecast(c.change)
		require.NoError(t, err, name)
		require.Equal(t, !c.nothing, ok, name)
		if ok {
			require.Equal(t, c.want, words(got), name)
		}
	}
}

func TestForecast_TellsEarlierDifferencesApart(t *testing.T) {
	t.Parallel()
	mug, known := wanted("mug", "Mug", "1400"), synced(wanted("mug", "Old mug", "1400"))
	got, ok, err := forecaster().Forecast(Change{
		ProductID: "mug", Before: mug, After: wanted("mug", "Mug", "1300"), Known: known, Differs: true,
	})
	require.NoError(t, err)
	require.True(t, ok)
	require.True(t, got.Earlier)
	require.Equal(t, []PriceChange{
		{ID: "mug-eur", Verb: "replace", Before: "14.00 EUR", After: "13.00 EUR", Percent: "-7.1"},
	}, got.Prices)
}

func TestForecast_RefusedProductHasNoCalls(t *testing.T) {
	t.Parallel()
	mug := wanted("mug", "Mug", "1400")
	got, ok, err := forecaster().Forecast(Change{
		ProductID: "mug", Before: mug, After: wanted("mug", "", "1400"), Refused: "no name", Known: synced(mug),
		Differs: true,
	})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "no name", got.GetRefused())
	require.Empty(t, got.GetSteps())
}

// Ingestion publishes no refused state, so push still has the state that was captured before.
func TestForecast_StartsFromWhatWasPublished(t *testing.T) {
	t.Parallel()
	mug, refused := wanted("mug", "Mug", "1400"), wanted("mug", "", "1400")
	got, ok, err := forecaster().Forecast(Change{
		ProductID: "mug", Before: refused, RefusedBefore: "no name", After: wanted("mug", "Big mug", "1400"),
		Known: synced(mug), Differs: true,
	})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "update product mug", words(got))
	require.False(t, got.Earlier, "Stripe has what was published")

	got, ok, err = forecaster().Forecast(Change{
		ProductID: "mug", Before: refused, RefusedBefore: "no name", After: refused, Refused: "no name",
		Known: synced(wanted("mug", "Old mug", "1400")),
	})
	require.NoError(t, err)
	require.False(t, ok, "nothing changes: %s", words(got))

	got, ok, err = forecaster().Forecast(Change{
		ProductID: "mug", Before: refused, RefusedBefore: "no name", After: mug, Differs: true,
	})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "create product mug, create price mug-eur", words(got), "nothing was ever published")
	require.False(t, got.Earlier)
}

// Another policy applies to what was published, also while the tables have a state that is refused.
func TestForecast_ChangedPolicyOfRefusedProduct(t *testing.T) {
	t.Parallel()
	mug, refused := wanted("mug", "Mug", "1400"), wanted("mug", "", "1400")
	known := synced(mug)
	known.Observed.Product.Name = "Edited in Stripe"
	report, err := catalog.NewPolicy(catalog.Repair,
		map[string]catalog.Rule{"name": {Owner: catalog.OwnerStripe, Action: catalog.Report}})
	require.NoError(t, err)
	f := forecaster()
	f.Policy = report
	got, ok, err := f.Forecast(Change{
		ProductID: "mug", Before: refused, RefusedBefore: "no name", After: refused, Refused: "no name", Known: known,
	})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "update product mug", words(got))
	require.Equal(t, "no name", got.GetRefused())
}

// The rules with a share count over all changes, as push counts them, from what was counted in the hour already.
func TestForecast_CountsArchivedProducts(t *testing.T) {
	t.Parallel()
	f, read := forecaster(), 0
	const all = 30
	f.Totals = func() (*guard.Totals, error) {
		read++
		totals := guard.NewTotals(f.Record, f.Now)
		for i := range all {
			totals.Add(synced(wanted(fmt.Sprint("p", i), "P", "100")).GetObserved())
		}
		return totals, nil
	}
	held := 0
	for i := range all {
		before := wanted(fmt.Sprint("p", i), "P", "100")
		got, ok, err := f.Forecast(Change{
			ProductID: before.GetProductId(), Before: before, After: gone(before.GetProductId()), Known: synced(before),
			Differs: true,
		})
		require.NoError(t, err)
		require.True(t, ok)
		if got.IsHeld() {
			held++
			require.Contains(t, words(got), "held by archived_products")
		}
	}
	require.Equal(t, all-all/10, held, "a tenth passes")
	require.Equal(t, 1, read)
}

func TestForecast_ChangedPolicyOnly(t *testing.T) {
	t.Parallel()
	mug, known := wanted("mug", "Mug", "1400"), synced(wanted("mug", "Mug", "1400"))
	known.Observed.Product.Name = "Edited in Stripe"
	report, err := catalog.NewPolicy(catalog.Repair,
		map[string]catalog.Rule{"name": {Owner: catalog.OwnerStripe, Action: catalog.Report}})
	require.NoError(t, err)
	f := forecaster()
	f.Policy, f.Changed = report, report
	_, ok, err := f.Forecast(Change{ProductID: "mug", Before: mug, After: mug, Known: known})
	require.NoError(t, err)
	require.False(t, ok, "the policy is the same")
	f.Changed = nil
	got, ok, err := f.Forecast(Change{ProductID: "mug", Before: mug, After: mug, Known: known})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "update product mug", words(got))
	require.False(t, got.Earlier)
}

func TestForecast_WaitsWhileCreationsAreHeld(t *testing.T) {
	t.Parallel()
	f := forecaster()
	f.HoldCreations = true
	got, ok, err := f.Forecast(Change{
		ProductID: "mug", Before: gone("mug"), After: wanted("mug", "Mug", "1400"), Differs: true,
	})
	require.NoError(t, err)
	require.True(t, ok)
	require.Contains(t, got.GetWaiting(), "push_create is off")
}
