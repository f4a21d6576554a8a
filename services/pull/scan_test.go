package pull_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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

// TestScan_SurvivesAnObjectThatCannotBeDecoded: a page has products that cannot be decoded, among others. One of them
// is the catalog's.
func TestScan_SurvivesAnObjectThatCannotBeDecoded(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.product(fmt.Sprintf("p%d", i))
	}
	target, err := url.Parse(r.simURL)
	require.NoError(t, err)
	undecodable := regexp.MustCompile(`"name":"Product p[13]"`)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(res *http.Response) error {
			body, err := io.ReadAll(res.Body)
			text := undecodable.ReplaceAllString(string(body), `"name":{"x":1}`)
			res.Body, res.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
			res.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return err
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	r.simURL = server.URL
	_, err = r.stores.Observed().Update(t.Context(), "default", "p3", func(o *catalogv1.Observed) error {
		o.Version = 1
		return nil
	})
	require.NoError(t, err)
	r.stopEvents()
	r.pull(time.Hour)
	report := r.scan("s1")
	require.EqualValues(t, 5, report.GetProducts())
	require.EqualValues(t, 2, report.GetFailed())
	require.Empty(t, report.GetError())
	require.NotNil(t, r.observedOf("p4").GetProduct())
	require.Nil(t, r.observedOf("p3").GetProduct())
	letters, err := r.mesh.OpenLetters(t.Context(), topology.Pull, "default", []string{"p3", "p1"})
	require.NoError(t, err)
	require.Equal(t, topology.ReasonUndecodable, letters[0].GetReason())
	require.Contains(t, letters[0].GetMessage(), "object p3")
	require.Nil(t, letters[1], "products of others are no difference")
}

// One entry of OBSERVED is damaged. The events of other products and the scan go on.
func TestPull_SurvivesAnEntryThatCannotBeDecoded(t *testing.T) {
	r := newRig(t)
	damaged := "$KV." + topology.BucketObserved + ".default.mug"
	_, err := r.mesh.JetStream().Publish(t.Context(), damaged, []byte{0xff})
	require.NoError(t, err)
	r.product("mug")
	r.price("mug", "mug-eur")
	r.product("cup")
	month := fmt.Sprintf("@%d", time.Now().Add(-21*24*time.Hour).Unix())
	require.NoError(t, r.position().PutString(t.Context(), month))
	r.pull(time.Hour)
	require.Eventually(t, func() bool {
		at, err := r.position().GetString(t.Context())
		return err == nil && at != month && r.observedOf("cup").GetProduct() != nil
	}, patience, 5*time.Millisecond, "the poll reads on")
	letter := func() *meshv1.DeadLetter {
		letters, err := r.mesh.OpenLetters(t.Context(), topology.Pull, "default", []string{"mug"})
		require.NoError(t, err)
		return letters[0]
	}
	require.Eventually(t, func() bool { return letter() != nil }, patience, 5*time.Millisecond)
	require.Equal(t, topology.ReasonUndecodable, letter().GetReason())

	r.product("hat")
	report := r.scan("s1")
	require.Zero(t, report.GetResumed())
	require.EqualValues(t, 1, report.GetFailed())
	require.True(t, state.HasReadAll(report))
	require.NotNil(t, r.observedOf("hat").GetProduct())
	require.Equal(t, "scan:s1:mug", letter().GetId())
	require.Contains(t, letter().GetMessage(), "is not an observed state")
	require.NoError(t, r.admin.DeleteProduct(t.Context(), "mug", true))
	require.EqualValues(t, 1, r.scan("s2").GetFailed(), "also if Stripe does not list it")
	_, _, err = r.stores.Observed().Get(t.Context(), "default", "mug")
	require.ErrorIs(t, err, state.ErrUndecodable, "nothing overwrites its version and its intents")
}

// Stripe does not answer about an object that its lists no longer show. Another scan has to read it.
func TestScan_CountsObjectsThatStripeDoesNotAnswerAbout(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	r.stopEvents()
	r.pull(time.Hour)
	r.scan("s1")
	require.NoError(t, r.admin.DeleteProduct(t.Context(), "mug", false))
	fault, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind: stripesim.FaultUnavailable, Path: "/v1/products/mug",
	})
	require.NoError(t, err)
	report := r.scan("s2")
	require.EqualValues(t, 1, report.GetUnconfirmed())
	require.Zero(t, report.GetFailed())
	require.False(t, state.HasReadAll(report))
	require.NoError(t, r.admin.RemoveFault(t.Context(), fault.ID))
	report = r.scan("s3")
	require.EqualValues(t, 1, report.GetMissing())
	require.True(t, state.HasReadAll(report))
}

// refuseWrites has the writes of a product's observed state lose to another writer, the given number of times. The
// stream does not take the product's subject meanwhile, and the test answers in its place.
func (r *rig) refuseWrites(product string, times int) {
	r.t.Helper()
	subject := "$KV." + topology.BucketObserved + ".default." + topology.Token(product)
	capture := func(subjects ...string) error {
		stream, err := r.mesh.JetStream().Stream(r.t.Context(), "KV_"+topology.BucketObserved)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		config.Subjects = subjects
		_, err = r.mesh.JetStream().UpdateStream(r.t.Context(), config)
		return err
	}
	require.NoError(r.t, capture("$KV."+topology.BucketObserved+".elsewhere.*"))
	refused := 0
	sub, err := r.mesh.JetStream().Conn().Subscribe(subject, func(msg *nats.Msg) {
		if refused++; refused > times {
			return
		}
		if refused == times {
			assert.NoError(r.t, capture("$KV."+topology.BucketObserved+".>"))
		}
		refusal := `{"stream":"KV_OBSERVED","error":{"code":400,"err_code":10071,"description":"wrong last sequence"}}`
		assert.NoError(r.t, msg.Respond([]byte(refusal)))
	})
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = sub.Unsubscribe() })
}

// Others write a product all the time, as push does that makes many calls. The scan of the others goes on.
func TestScan_SurvivesAProductThatOthersWrite(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	r.stopEvents()
	r.pull(time.Hour)
	r.scan("s1")
	edit := func(name string) {
		require.NoError(t, r.admin.EditProduct(t.Context(), "mug", url.Values{"name": {name}}))
	}
	edit("Second")
	r.refuseWrites("mug", 10)
	report := r.scan("s2")
	require.True(t, state.HasReadAll(report))
	require.Zero(t, report.GetResumed(), "it did not fail meanwhile")
	require.EqualValues(t, 1, report.GetCorrected())
	require.Equal(t, "Second", r.observed().GetProduct().GetName())
	edit("Third")
	r.refuseWrites("mug", 20)
	report = r.scan("s3")
	require.Zero(t, report.GetResumed())
	require.EqualValues(t, 1, report.GetUnconfirmed(), "the next scan reads it")
	require.Equal(t, "Second", r.observed().GetProduct().GetName())
	require.EqualValues(t, 1, r.scan("s4").GetCorrected())
	require.Equal(t, "Third", r.observed().GetProduct().GetName())
}

func TestScan_SurvivesFailuresOfStripe(t *testing.T) {
	r := newRig(t)
	for i := range 120 {
		r.product(fmt.Sprintf("p%d", i))
	}
	r.stopEvents()
	r.pull(time.Hour)
	for _, kind := range []stripesim.FaultKind{
		stripesim.FaultUnavailable, stripesim.FaultBadGateway,
		stripesim.FaultReset, stripesim.FaultRateLimit,
	} {
		_, err := r.admin.AddFault(t.Context(), stripesim.Fault{Kind: kind, Count: 1, Path: "/v1/products"})
		require.NoError(t, err)
	}
	report := r.scan("s1")
	require.EqualValues(t, 120, report.GetProducts())
	require.Empty(t, report.GetError())
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
