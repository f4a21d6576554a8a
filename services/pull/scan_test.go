package pull_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull/internal/idsketch"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// stopEvents stops pull from receiving events: only a scan can detect changes in Stripe.
func (r *rig) stopEvents() {
	r.t.Helper()
	never := strconv.FormatInt(time.Now().Add(240*time.Hour).Unix(), 10)
	require.NoError(r.t, r.position().PutString(r.t.Context(), "@"+never))
}

func (r *rig) commandScan(id string) {
	r.t.Helper()
	r.commandScanBy("test", id, time.Now())
}

func (r *rig) commandScanBy(issuer, id string, at time.Time) {
	r.t.Helper()
	command := &meshv1.Command{
		Id: id, Account: "default", Issuer: issuer, Reason: "of the test", IssuedAt: timestamppb.New(at),
		Verb: &meshv1.Command_Scan{Scan: &meshv1.Scan{}},
	}
	require.NoError(r.t,
		r.mesh.Publish(r.t.Context(), topology.CommandSubject(topology.Pull, "default", topology.VerbScan, ""),
			command))
}

func (r *rig) report() *meshv1.ScanReport {
	r.t.Helper()
	report := &meshv1.ScanReport{}
	_, err := r.stores.Record(topology.KeyScan, "default").Get(r.t.Context(), report)
	require.NoError(r.t, err)
	return report
}

// scan commands a scan and returns its report.
func (r *rig) scan(id string) *meshv1.ScanReport {
	r.t.Helper()
	r.commandScan(id)
	return r.scanned(id)
}

func (r *rig) scanned(id string) *meshv1.ScanReport {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		report := r.report()
		return report.GetId() == id && report.GetFinishedAt() != nil
	}, 2*patience, 10*time.Millisecond, "scan %s", id)
	return r.report()
}

func (r *rig) product(id string) {
	r.t.Helper()
	_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String(id), Name: stripe.String("Product " + id)})
	require.NoError(r.t, err)
}

func (r *rig) price(product, catalogID string) string {
	r.t.Helper()
	params := &stripe.PriceParams{
		Product:    stripe.String(product),
		Currency:   stripe.String("eur"),
		UnitAmount: stripe.Int64(1400),
	}
	if catalogID != "" {
		params.AddMetadata(catalog.PriceMarker, catalogID)
	}
	p, err := r.stripe.Prices.New(params)
	require.NoError(r.t, err)
	return p.ID
}

func (r *rig) observedOf(product string) *catalogv1.Observed {
	r.t.Helper()
	o, _, err := r.stores.Observed().Get(r.t.Context(), "default", product)
	require.NoError(r.t, err)
	return o
}

func (r *rig) requests(endpoint string) int {
	r.t.Helper()
	stats, err := r.admin.Stats(r.t.Context())
	require.NoError(r.t, err)
	return stats.Endpoints[endpoint].Requests
}

func (r *rig) reads() int {
	return r.requests("GET /v1/products/{id}") + r.requests("GET /v1/prices/{price}")
}

func (r *rig) listCalls() int { return r.requests("GET /v1/products") + r.requests("GET /v1/prices") }

func TestScan_FirstReadsOnlyListsAndNextWritesNothing(t *testing.T) {
	r := newRig(t)
	const n = 250
	for i := range n {
		id := fmt.Sprintf("p%d", i)
		r.product(id)
		r.price(id, id+"-eur")
	}
	archived := r.price("p7", "p7-old")
	_, err := r.stripe.Prices.Update(archived, &stripe.PriceParams{Active: stripe.Bool(false)})
	require.NoError(t, err)
	_, err = r.stripe.Products.Update("p8", &stripe.ProductParams{Active: stripe.Bool(false)})
	require.NoError(t, err)
	r.stopEvents()
	r.pull(time.Hour)
	report := r.scan("s1")
	require.EqualValues(t, n, report.GetProducts())
	require.EqualValues(t, n+1, report.GetPrices())
	require.Equal(t, "test", report.GetIssuer())
	require.Equal(t, "of the test", report.GetReason())
	require.Zero(t, r.reads(), "objects that a list shows in full are not read again")
	require.LessOrEqual(t, r.listCalls(), 20)
	require.EqualValues(t, r.listCalls(), report.GetListCalls())
	require.Len(t, r.observedOf("p7").GetPrices(), 2)
	require.False(t, r.observedOf("p8").GetProduct().GetActive())
	require.Equal(t, "p3-eur", r.observedOf("p3").GetPrices()[0].GetPrice().GetId())

	before, err := r.stores.Observed().Revision(t.Context())
	require.NoError(t, err)
	report = r.scan("s2")
	require.Zero(t, report.GetCorrected())
	require.Zero(t, report.GetMissing())
	require.Zero(t, r.reads())
	after, err := r.stores.Observed().Revision(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after, "of a million equal products none is written")
}

func TestScan_DetectsEveryKindOfSilentChange(t *testing.T) {
	r := newRig(t)
	for i := range 30 {
		id := fmt.Sprintf("p%d", i)
		r.product(id)
	}
	var prices []string
	for i := range 10 {
		prices = append(prices, r.price(fmt.Sprintf("p%d", i), fmt.Sprintf("p%d-eur", i)))
	}
	r.stopEvents()
	r.pull(time.Hour)
	r.scan("s1")
	require.NoError(t, r.admin.EditProduct(t.Context(), "p1", url.Values{"name": {"Changed"}}))
	require.NoError(t, r.admin.EditProduct(t.Context(), "p2", url.Values{"active": {"false"}}))
	require.NoError(t, r.admin.EditPrice(t.Context(), prices[3], url.Values{"nickname": {"Changed"}}))
	require.NoError(t,
		r.admin.EditPrice(t.Context(), prices[4], url.Values{"currency_options[usd][unit_amount]": {"99"}}))
	require.NoError(t, r.admin.EditPrice(t.Context(), prices[5], url.Values{"active": {"false"}}))
	require.NoError(t, r.admin.DeletePrice(t.Context(), prices[6]))
	require.NoError(t, r.admin.DeleteProduct(t.Context(), "p7", true))
	require.NoError(t, r.admin.DeleteProduct(t.Context(), "p20", false))
	_, err := r.admin.CreateProduct(t.Context(), url.Values{"id": {"new"}, "name": {"New"}})
	require.NoError(t, err)
	_, err = r.admin.CreatePrice(t.Context(), url.Values{"product": {"p8"}, "currency": {"usd"}, "unit_amount": {"5"}},
		false)
	require.NoError(t, err)
	report := r.scan("s2")
	revision, err := r.stores.Observed().Revision(t.Context())
	require.NoError(t, err)
	require.Equal(t, revision, report.GetObservedRevision())
	require.Equal(t, "Changed", r.observedOf("p1").GetProduct().GetName())
	require.False(t, r.observedOf("p2").GetProduct().GetActive())
	require.Equal(t, "Changed", r.observedOf("p3").GetPrices()[0].GetPrice().GetNickname())
	require.Equal(t, "99", r.observedOf("p4").GetPrices()[0].GetPrice().GetCurrencyOptions()["usd"].GetUnitAmount())
	require.False(t, r.observedOf("p5").GetPrices()[0].GetPrice().GetActive())
	require.Empty(t, r.observedOf("p6").GetPrices())
	require.NotNil(t, r.observedOf("p6").GetProduct())
	for _, id := range []string{"p7", "p20"} {
		require.Nil(t, r.observedOf(id).GetProduct(), id)
		require.True(t, r.observedOf(id).GetDeleted(), id)
		require.Empty(t, r.observedOf(id).GetPrices(), id)
	}
	require.Equal(t, "New", r.observedOf("new").GetProduct().GetName())
	require.Len(t, r.observedOf("p8").GetPrices(), 2)
	require.EqualValues(t, 2, report.GetMissing())
	require.EqualValues(t, 1, report.GetMissingPrices())
	require.Equal(t, 3, r.reads(), "only objects that no list shows are read")
	require.EqualValues(t, 3, report.GetReads())
}

func TestScan_ResumesAfterItsProcessDied(t *testing.T) {
	r := newRig(t)
	const n = 3000
	for i := range n {
		_, err := r.admin.CreateProduct(t.Context(), url.Values{"id": {fmt.Sprintf("p%d", i)}, "name": {"Product"}})
		require.NoError(t, err)
	}
	r.stopEvents()
	stop := r.pull(time.Hour)
	slow, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind:  stripesim.FaultLatency,
		Delay: 400 * time.Millisecond,
		Path:  "/v1/products",
	})
	require.NoError(t, err)
	before := scanned("s0", time.Hour, "")
	before.FinishedAt, before.ObservedRevision = before.GetStartedAt(), 7
	require.NoError(t, r.stores.Record(topology.KeyScan, "default").Put(t.Context(), before))
	r.commandScanBy(topology.Reconciliation, "s1", time.Now())
	require.Eventually(t, func() bool { return r.report().GetProducts() >= 400 }, patience, 10*time.Millisecond)
	stop()
	interrupted := r.report()
	require.Nil(t, interrupted.GetFinishedAt())
	require.Empty(t, interrupted.GetError(), "that the service ended is no failure")
	require.NoError(t, r.admin.RemoveFault(t.Context(), slow.ID))
	r.pull(time.Hour)
	report := r.scanned("s1")
	require.EqualValues(t, 1, report.GetResumed())
	require.EqualValues(t, 7, interrupted.GetObservedRevision(), "the end of the scan before it")
	require.EqualValues(t, n, report.GetProducts(), "nothing is listed twice")
	require.Zero(t, report.GetMissing())
	entries, err := r.stores.Observed().Count(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, n, entries)
	require.Zero(t, r.reads())
}

// A product changes while the scan compares or reads single objects. The scan finds its deleted prices all the same.
func TestScan_ConfirmsWhatChangesMeanwhile(t *testing.T) {
	for name, test := range map[string]struct {
		phase meshv1.ScanPhase
		// prices reports whether the deleted prices are known to be in no list.
		prices bool
	}{
		"before it is compared":  {meshv1.ScanPhase_SCAN_PHASE_COMPARING, false},
		"before it is confirmed": {meshv1.ScanPhase_SCAN_PHASE_CONFIRMING, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.product("mug")
			deleted := []string{r.price("mug", "mug-eur"), r.price("mug", "mug-usd")}
			r.stopEvents()
			stop := r.pull(time.Hour)
			r.scan("s1")
			stop()
			listed := idsketch.New(1)
			for _, id := range deleted {
				require.NoError(t, r.admin.DeletePrice(t.Context(), id))
				if test.prices {
					listed.Remove(listed.Key("price", id))
				}
			}
			end, err := r.stores.Observed().Revision(t.Context())
			require.NoError(t, err)
			state := &meshv1.ScanState{
				Report: scanned("s2", time.Minute, ""), Revision: 1, End: end,
				Began: time.Now().Add(time.Minute).Unix(),
			}
			state.Report.Phase = test.phase
			if test.phase == meshv1.ScanPhase_SCAN_PHASE_COMPARING {
				listed.Add(listed.Key("product", "mug"))
			}
			state.Listed = listed.Marshal()
			require.NoError(t, r.stores.Record(topology.KeyScanState, "default").Put(t.Context(), state))
			_, err = r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
				o.Version++
				return nil
			})
			require.NoError(t, err)
			r.pull(time.Hour)
			report := r.scan("s2")
			require.EqualValues(t, 1, report.GetResumed())
			require.EqualValues(t, 2, report.GetMissingPrices())
			require.Zero(t, report.GetUnconfirmed())
			require.EqualValues(t, 2, report.GetReads(), "only the prices are in no list")
			require.Empty(t, r.observedOf("mug").GetPrices())
		})
	}
}

// Push creates a product while the scan lists, so no list shows it. Its answer says that Stripe has it.
func TestScan_DoesNotReadWhatPushCreatedMeanwhile(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	price := r.price("mug", "mug-eur")
	r.stopEvents()
	stop := r.pull(time.Hour)
	r.scan("s1")
	stop()
	listed := idsketch.New(1)
	listed.Remove(listed.Key("product", "mug"))
	listed.Remove(listed.Key("price", price))
	end, err := r.stores.Observed().Revision(t.Context())
	require.NoError(t, err)
	state := &meshv1.ScanState{
		Report: scanned("s2", time.Hour, ""), Listed: listed.Marshal(), Revision: 1, End: end,
		Began: time.Now().Add(-time.Hour).Unix(),
	}
	state.Report.Phase = meshv1.ScanPhase_SCAN_PHASE_CONFIRMING
	require.NoError(t, r.stores.Record(topology.KeyScanState, "default").Put(t.Context(), state))
	r.pull(time.Hour)
	report := r.scan("s2")
	require.EqualValues(t, 1, report.GetResumed())
	require.Zero(t, report.GetReads())
	require.Zero(t, r.reads())
	require.Zero(t, report.GetUnconfirmed())
	require.Zero(t, report.GetMissing()+report.GetMissingPrices())
	require.Len(t, r.observed().GetPrices(), 1)
}

// An event comes late, after others that were lost. A scan has listed what they left, which is what was known before.
func TestScan_OldEventsDoNotUndoWhatItListed(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	price := r.price("mug", "mug-eur")
	r.stopEvents()
	r.pull(time.Hour)
	r.scan("s1")
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.ProductSeen, o.ProductUpdated, o.Prices[0].Seen = 500, 500, 500
		return nil
	})
	require.NoError(t, err)
	report := r.scan("s2")
	require.True(t, state.HasReadAll(report))
	require.Zero(t, report.GetCorrected(), "an equal state is not written")
	late := func(e event) {
		t.Helper()
		require.Equal(t, http.StatusOK, r.send(e.body(), secret))
		require.Eventually(t, func() bool { return catalog.SeenEvent(r.observed(), e.ID) }, patience,
			5*time.Millisecond)
	}
	late(event{
		ID: "evt_1", Type: "product.updated", Created: 600, Object: productObject("Older", 600),
		Previous: map[string]any{"name": "Product mug"},
	})
	require.Equal(t, "Product mug", r.observed().GetProduct().GetName())
	require.Equal(t, 1, r.requests("GET /v1/products/{id}"))
	object := priceObject(price, true)
	object["metadata"], object["nickname"] = map[string]string{catalog.PriceMarker: "mug-eur"}, "Older"
	late(event{
		ID: "evt_2", Type: "price.updated", Created: 600, Object: object, Previous: map[string]any{"nickname": "x"},
	})
	require.Empty(t, r.observed().GetPrices()[0].GetPrice().GetNickname())
	require.Equal(t, 1, r.requests("GET /v1/prices/{price}"))
}

func TestScan_RunsPiledUpScheduledScansOnce(t *testing.T) {
	r := newRig(t)
	r.stopEvents()
	for day := range 3 {
		r.commandScanBy(topology.Reconciliation, fmt.Sprintf("day %d", day),
			time.Now().Add(time.Duration(day-3)*24*time.Hour))
	}
	r.commandScanBy("operator", "asked for", time.Now().Add(-time.Hour))
	r.pull(time.Hour)
	report := r.scanned("asked for")
	require.EqualValues(t, 2*report.GetListCalls(), r.listCalls(),
		"the scan of the first command, and that of the operator")
	r.commandScanBy(topology.Reconciliation, "the next day", time.Now())
	r.scanned("the next day")
}

func TestScan_DropsForeignPricesThatNoListShows(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	listed := r.price("mug", "mug-eur")
	old := time.Now().Add(-time.Hour).Unix()
	var inline []*catalogv1.ObservedPrice
	for range 5 {
		id, err := r.admin.CreatePrice(t.Context(),
			url.Values{"product": {"mug"}, "currency": {"eur"}, "unit_amount": {"700"}}, true)
		require.NoError(t, err)
		inline = append(inline, &catalogv1.ObservedPrice{
			StripeId: id, Created: old,
			Price: &catalogv1.Price{
				Active:        new(true),
				Currency:      "eur",
				UnitAmount:    "700",
				BillingScheme: "per_unit",
				TaxBehavior:   "unspecified",
			},
		})
	}
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Prices = inline
		return nil
	})
	require.NoError(t, err)
	r.stopEvents()
	r.pull(time.Hour)
	report := r.scan("s1")
	require.Zero(t, report.GetMissingPrices())
	require.Len(t, r.observed().GetPrices(), 1)
	require.NotNil(t, catalog.FindPrice(r.observed(), listed))
	require.Equal(t, 5, r.reads())
	r.scan("s2")
	require.Equal(t, 5, r.reads(), "a shop has thousands of them")
}

func TestScan_LeavesOutPricesThatAreNotKept(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	r.price("mug", "mug-eur")
	for range 120 {
		_, err := r.admin.CreatePrice(t.Context(),
			url.Values{"product": {"mug"}, "currency": {"eur"}, "unit_amount": {"700"}, "active": {"false"}}, false)
		require.NoError(t, err)
	}
	r.stopEvents()
	r.pull(time.Hour)
	for _, id := range []string{"s1", "s2"} {
		report := r.scan(id)
		require.EqualValues(t, 121, report.GetPrices())
		require.Zero(t, report.GetUnconfirmed())
		require.Zero(t, report.GetMissingPrices())
	}
	require.Len(t, r.observed().GetPrices(), 1)
	require.Zero(t, r.reads())
}

func TestScan_LimitsReadsOfMissingObjects(t *testing.T) {
	r := newRig(t)
	const n = 260
	for i := range n {
		r.product(fmt.Sprintf("p%d", i))
	}
	r.stopEvents()
	r.limits = budget.Limits{ReadAllowance: 2000}
	r.pull(time.Hour)
	r.scan("s1")
	for i := range n {
		_, err := r.stripe.Products.Del(fmt.Sprintf("p%d", i), nil)
		require.NoError(t, err)
	}
	for i, want := range []struct{ missing, unconfirmed int }{{100, 160}, {100, 60}, {60, 0}, {0, 0}} {
		report := r.scan(fmt.Sprint("after-", i))
		require.EqualValues(t, want.missing, report.GetMissing(), "scan %d", i)
		require.EqualValues(t, want.unconfirmed, report.GetUnconfirmed(), "scan %d", i)
	}
}

// TestScan_RecordsChangesMadeWhileItLists: products are created, edited and deleted during the scan. At its end the
// observed states equal what Stripe holds.
func TestScan_RecordsChangesMadeWhileItLists(t *testing.T) {
	r := newRig(t)
	for i := range 400 {
		r.product(fmt.Sprintf("p%d", i))
	}
	r.pull(50 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	var made atomic.Int64
	done := make(chan error, 1)
	go func() {
		for i := 0; ctx.Err() == nil && i < 400; i++ {
			_, err := r.stripe.Products.New(&stripe.ProductParams{
				ID:   stripe.String(fmt.Sprintf("n%d", i)),
				Name: stripe.String("New"),
			})
			if err == nil {
				_, err = r.stripe.Products.Update(fmt.Sprintf("p%d",
					i%300), &stripe.ProductParams{
					Name:   stripe.String(fmt.Sprint("Edition ", i)),
					Active: stripe.Bool(i%3 > 0),
				})
			}
			if err == nil && i < 100 {
				_, err = r.stripe.Products.Del(fmt.Sprintf("p%d", 300+i), nil)
			}
			if err != nil {
				done <- err
				return
			}
			made.Add(1)
		}
		done <- nil
	}()
	defer cancel()
	require.Eventually(t, func() bool { return made.Load() > 20 }, patience, time.Millisecond)
	r.scan("s1")
	r.scan("s2")
	cancel()
	require.NoError(t, <-done)
	it := r.stripe.Products.List(&stripe.ProductListParams{ListParams: stripe.ListParams{Limit: stripe.Int64(100)}})
	held := map[string]string{}
	for it.Next() {
		held[it.Product().ID] = fmt.Sprint(it.Product().Name, it.Product().Active)
	}
	require.NoError(t, it.Err())
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		known := map[string]string{}
		for e, err := range r.stores.Observed().Range(t.Context(), "default", 0, ^uint64(0)) {
			require.NoError(c, err)
			if p := e.Observed.GetProduct(); p != nil {
				known[p.GetId()] = fmt.Sprint(p.GetName(), p.GetActive())
			}
		}
		assert.Equal(c, held, known)
	}, 4*patience, 100*time.Millisecond)
}

func TestScan_KeepsTheReserveOfReads(t *testing.T) {
	r := newRig(t)
	r.limits = budget.Limits{ReadAllowance: 100}
	_, err := r.stores.Budget("default").CompareAndPut(t.Context(),
		&meshv1.Budget{Reads: map[string]uint64{time.Now().UTC().Format(time.DateOnly): 90}}, 0)
	require.NoError(t, err)
	r.pull(time.Hour)
	command := &meshv1.Command{Id: "s1", Account: "default", Verb: &meshv1.Command_Scan{Scan: &meshv1.Scan{}}}
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.CommandSubject(topology.Pull, "default", topology.VerbScan, ""), command))
	report := &meshv1.ScanReport{}
	require.Eventually(t, func() bool {
		_, err := r.stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
		return err == nil && report.GetError() != ""
	}, patience, 10*time.Millisecond)
	require.Contains(t, report.GetError(), "of 100 reads of 30 days are used up")
	require.Contains(t, report.GetError(), "STRIPE_READ_ALLOWANCE")
	require.Eventually(t, func() bool { return r.stored(topology.StreamCommand) == 0 }, patience, 10*time.Millisecond,
		"stopped, not retried")
	stats, err := r.admin.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Endpoints["GET /v1/products"].Requests)
}
