package reconciliation_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// now is the time of the NATS server.
func (r *rig) now() time.Time {
	r.t.Helper()
	now, err := r.mesh.Clock().Now(r.t.Context())
	require.NoError(r.t, err)
	return now
}

// report stores the report of an ingestion that has captured everything until now.
func (r *rig) report(edit func(*meshv1.CaptureReport)) *meshv1.CaptureReport {
	r.t.Helper()
	at := r.now()
	sequence, err := r.mesh.LastSequence(r.t.Context(), topology.StreamCatalog)
	require.NoError(r.t, err)
	report := &meshv1.CaptureReport{
		At:              timestamppb.New(at),
		State:           meshv1.CaptureState_CAPTURE_STATE_READING,
		CapturedUpTo:    timestamppb.New(at),
		CatalogSequence: sequence,
		Version:         1,
	}
	if edit != nil {
		edit(report)
	}
	require.NoError(r.t, r.stores.Capture("default").Put(r.t.Context(), report))
	return report
}

// pull simulates a pull that polls Stripe's events and has nothing to do.
func (r *rig) pull() {
	r.t.Helper()
	require.NoError(r.t,
		r.stores.Record(topology.KeyPoll, "default").Put(r.t.Context(), &meshv1.PollReport{
			At:       timestamppb.Now(),
			Interval: durationpb.New(time.Hour),
		}))
	r.receive(topology.PullStripe)
}

// receive fetches a consumer's messages without acknowledging them.
func (r *rig) receive(c topology.Consumer) (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.mesh, mesh.Worker{Service: topology.Pull, Consumer: c},
			func(context.Context, mesh.Message[*meshv1.StripeChange]) mesh.Verdict {
				return mesh.Busy(time.Hour)
			})
	}()
	stop = func() { cancel(); <-done }
	r.t.Cleanup(func() {
		if ctx.Err() == nil {
			stop()
		}
	})
	return stop
}

func (r *rig) equality() *controlv1.Equality {
	r.t.Helper()
	plan := ask[controlv1.PlanResponse](r, "Plan", `{}`).GetEquality()
	for _, other := range []*controlv1.Equality{
		ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetEquality(),
		ask[controlv1.ListDriftResponse](r, "ListDrift", `{}`).GetEquality(),
	} {
		require.NotNil(r.t, other, "every answer has it")
	}
	return plan
}

func TestEquality_IsInEveryAnswer(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	stop := r.start()
	require.Contains(t, r.equality().GetUnknown(), "no ingestion has ever reported")
	require.Contains(t, r.equality().GetUnknown(), "Stripe's events were never read")

	r.pull()
	r.desire("mug", "Mug", 10)
	r.observe("mug", "Mug", 10)
	r.ackCatalog()
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	var report *meshv1.CaptureReport
	require.Eventually(t, func() bool {
		report = r.report(func(c *meshv1.CaptureReport) {
			c.UnwatchedTables = []string{"category"}
			c.Compared = &meshv1.TableComparison{StartedAt: c.GetAt()}
		})
		return r.equality().GetUnknown() == ""
	}, patience, 50*time.Millisecond)
	e := r.equality()
	require.Equal(t, report.GetCapturedUpTo().AsTime(), e.GetAsOf().AsTime())
	require.Equal(t, report.GetAt().AsTime(), e.GetTablesComparedAt().AsTime())
	require.Equal(t, []string{"category"}, e.GetUnwatchedTables())
	require.WithinDuration(t, r.now(), e.GetStripeAsOf().AsTime(), time.Minute)

	r.report(func(c *meshv1.CaptureReport) {
		c.CapturedUpTo, c.Reason = timestamppb.New(c.GetAt().AsTime().Add(-21*time.Second)),
			"reading products waits for a lock"
	})
	require.Equal(t, "capture is 21 s behind (reading products waits for a lock)", r.equality().GetUnknown())
	r.report(func(c *meshv1.CaptureReport) { c.At = timestamppb.New(c.GetAt().AsTime().Add(-40 * time.Second)) })
	require.Contains(t, r.equality().GetUnknown(), "no ingestion runs (last report 4")

	ask[controlv1.PauseResponse](r, "Pause", `{"services":["ingestion"]}`)
	r.report(nil)
	require.Contains(t, r.equality().GetUnknown(), "ingestion is paused since ")
	ask[controlv1.ResumeResponse](r, "Resume", `{}`)
	require.NoError(t, r.stores.Halted("default").PutString(t.Context(), "Invalid API Key"))
	r.report(nil)
	require.Equal(t, "push is halted: Invalid API Key", r.equality().GetUnknown())
	require.NoError(t, r.stores.Halted("default").PutString(t.Context(), ""))

	// The answer does not cover commits that the ledger has not read, whatever ingestion reports.
	stop()
	for i := range 200 {
		r.desire(fmt.Sprintf("p%d", i), "P", uint64(20+i))
	}
	last := r.report(nil)
	r.start()
	require.Eventually(t, func() bool {
		plan := ask[controlv1.PlanResponse](r, "Plan", `{}`)
		if as := plan.GetEquality().GetAsOf(); as != nil && !as.AsTime().Before(last.GetCapturedUpTo().AsTime()) {
			require.EqualValues(t, 201, plan.GetCompared())
			require.Len(t, plan.GetProducts(), 200)
			return true
		}
		return false
	}, patience, time.Millisecond)
}

func TestEquality_DetectsServicesThatDoNotRun(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	require.NoError(t,
		r.stores.Record(topology.KeyPoll, "default").Put(t.Context(), &meshv1.PollReport{
			At:       timestamppb.Now(),
			Interval: durationpb.New(time.Hour),
		}))
	unknown := func() string { r.report(nil); return r.equality().GetUnknown() }
	require.Eventually(t, func() bool { return strings.Contains(unknown(), "no pull runs") }, patience,
		50*time.Millisecond)
	stop := r.receive(topology.PullCommand)
	require.Eventually(t, func() bool { return unknown() == "" }, patience, 50*time.Millisecond,
		"push is not missed while nothing waits for it")
	localtest.Holds(t, 7*time.Second, func() bool { return unknown() == "" }, "an idle pull runs")

	r.desire("mug", "Mug", 10)
	require.Eventually(t, func() bool { return strings.Contains(unknown(), "no push runs") }, patience,
		50*time.Millisecond)
	require.Contains(t, unknown(), "a message waits for it")
	r.ackCatalog()
	require.Eventually(t, func() bool { return unknown() == "" }, patience, 50*time.Millisecond)
	stop()
	require.Eventually(t, func() bool { return strings.Contains(unknown(), "no pull runs") }, patience,
		50*time.Millisecond, "it ran before")
}

func TestGetStatus_CountsProductsThatLeftApart(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	remove := func(id string, version uint64) {
		require.NoError(t,
			r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, id), &catalogv1.ProductChange{
				Account:   "default",
				ProductId: id,
				Version:   version,
				Operation: catalogv1.Operation_OPERATION_DELETE,
			}, mesh.WithVersion(version)))
	}
	archived := func(id string) {
		_, err := r.stores.Observed().Update(t.Context(), "default", id, func(o *catalogv1.Observed) error {
			o.Product.Active = proto.Bool(false)
			return nil
		})
		require.NoError(t, err)
	}
	r.desire("mug", "Mug", 10)
	r.observe("mug", "Mug", 10)
	r.observe("stray", "Stray", 0)
	r.observe("old", "Old", 0)
	archived("old")
	remove("phantom", 11)
	r.observe("cup", "Cup", 12)
	remove("cup", 12)
	status := func(want ...uint64) func() bool {
		return func() bool {
			s := ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`)
			return s.GetInSync() == want[0] && s.GetPending() == want[1] && s.GetOrphans() == want[2] &&
				s.GetLeft() == want[3]
		}
	}
	require.Eventually(t, status(1, 1, 1, 2), patience, 10*time.Millisecond, "the cup is yet to be archived")
	require.EqualValues(t, 3, ask[controlv1.PlanResponse](r, "Plan", `{}`).GetCompared())
	archived("cup")
	require.Eventually(t, status(1, 0, 1, 3), patience, 10*time.Millisecond)
	require.EqualValues(t, 2, ask[controlv1.PlanResponse](r, "Plan", `{}`).GetCompared())
	require.EqualValues(t, 1, ask[controlv1.PlanResponse](r, "Plan", `{"product_ids":["cup"]}`).GetCompared(),
		"it was named")
	r.desire("cup", "Cup", 13)
	require.Eventually(t, status(1, 1, 1, 2), patience, 10*time.Millisecond, "it is back")
}

func TestPlan_ExplainsEveryProduct(t *testing.T) {
	r := newRig(t)
	r.setPolicy(map[string]catalog.Rule{
		"default_price": {Action: catalog.Report},
		"prices.active": {Action: catalog.Report},
	})
	r.start()
	r.ackCatalog()

	price := func(id string, amount string) *catalogv1.Price {
		return &catalogv1.Price{Id: id, Active: proto.Bool(true), Currency: "eur", UnitAmount: amount}
	}
	mug := &catalogv1.Product{
		Id:           "mug",
		Name:         "Mug",
		DefaultPrice: "mug-eur",
		Prices:       []*catalogv1.Price{price("mug-eur", "1400")},
	}
	inStripe := func(byHand bool) {
		_, err := r.stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
			ours, theirs := price("mug-eur", "1400"), price("", "1650")
			ours.LookupKey, ours.Metadata = "mug-eur", map[string]string{"driftless_price": "mug-eur"}
			o.Product = &catalogv1.Product{Id: "mug", Name: "Mug", Active: proto.Bool(true), DefaultPrice: "price_1"}
			o.Version, o.Prices = 10, []*catalogv1.ObservedPrice{{StripeId: "price_1", Price: ours}}
			if byHand {
				ours.Active, o.Product.DefaultPrice = proto.Bool(false), "price_2"
				o.Prices = append(o.Prices, &catalogv1.ObservedPrice{StripeId: "price_2", Price: theirs})
			}
			return nil
		})
		require.NoError(t, err)
	}
	inStripe(false)
	require.NoError(t,
		r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, "mug"), &catalogv1.ProductChange{
			Account:   "default",
			ProductId: "mug",
			Version:   10,
			Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product:   mug,
		}, mesh.WithVersion(10)))
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	inStripe(true)
	words := func(drift []*controlv1.Drift) (out []string) {
		for _, d := range drift {
			require.Equal(t, "report", d.GetDifference().GetAction())
			out = append(out,
				d.GetDifference().GetField()+": "+d.GetDifference().GetCatalogWords()+" to "+
					d.GetDifference().GetStripeWords())
		}
		return out
	}
	want := []string{
		"default_price: mug-eur (14.00 EUR) to price_2 (16.50 EUR)",
		"prices.mug-eur.active: active (14.00 EUR) to archived (14.00 EUR)",
	}
	require.Eventually(t, func() bool {
		drift := ask[controlv1.ListDriftResponse](r, "ListDrift", `{}`).GetDrift()
		return len(drift) == 2 && len(words(drift)) == 2
	}, patience, 10*time.Millisecond)
	require.ElementsMatch(t, want, words(ask[controlv1.ListDriftResponse](r, "ListDrift", `{}`).GetDrift()))
	products := ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts()
	require.Len(t, products, 1)
	require.Empty(t, products[0].GetSteps())
	require.ElementsMatch(t, want, words(products[0].GetDrift()))

	// The plan explains failures, held products and dead ones, also without named products.
	for i, id := range []string{"slow", "held", "bad"} {
		r.observe(id, "Old", 1)
		r.desire(id, "New", uint64(20+i))
	}
	require.NoError(t,
		r.mesh.RetryLater(t.Context(), topology.Push,
			&meshv1.Retry{
				Account:   "default",
				ProductId: "slow",
				Version:   20,
				Attempts:  4,
				Lane:      "live",
				Error:     "Stripe: 500 [req_1]",
			}, time.Hour))
	require.NoError(t,
		r.mesh.RetryLater(t.Context(), topology.Push,
			&meshv1.Retry{
				Account:   "default",
				ProductId: "held",
				Version:   21,
				Lane:      "bulk",
				Error:     "held until approved",
			}, time.Hour))
	require.NoError(t, r.mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
		Id:        "letter",
		Account:   "default",
		Service:   topology.Push,
		ProductId: "bad",
		Version:   22,
		Reason:    topology.ReasonRefused,
		Message:   "Invalid currency: xxx",
		LastAt:    timestamppb.Now(),
	}))
	for _, request := range []string{`{}`, `{"product_ids":["bad","held","slow"]}`} {
		require.Eventually(t, func() bool {
			of := map[string]*controlv1.ProductPlan{}
			for _, p := range ask[controlv1.PlanResponse](r, "Plan", request).GetProducts() {
				of[p.GetProductId()] = p
			}
			return of["bad"].GetRefused() == "Invalid currency: xxx" && of["held"].GetHeld() &&
				of["held"].GetAttempts() == 0 && !of["slow"].GetHeld() &&
				of["slow"].GetAttempts() == 4 && of["slow"].GetWaiting() == "Stripe: 500 [req_1]" &&
				of["slow"].GetNextAttemptAt().AsTime().After(time.Now())
		}, patience, 20*time.Millisecond, request)
	}
}

func TestSyncProducts_BackfillsBeforeSync(t *testing.T) {
	r := newRig(t)
	r.start()
	r.desire("mug", "Mug", 1)
	r.desire("cup", "Cup", 1)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	r.eventually("cup", controlv1.ProductState_PRODUCT_STATE_PENDING)
	resp := ask[controlv1.SyncProductsResponse](r, "SyncProducts", `{"product_ids":["mug","cup","mug"]}`)
	require.Empty(t, resp.GetUnknown())
	plan := ask[controlv1.PlanResponse](r, "Plan", `{}`)
	require.EqualValues(t, 3, plan.GetOrders())
	require.EqualValues(t, 1, plan.GetIngestionOrders())
	commands := make(chan *meshv1.Command, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.mesh, mesh.Worker{Service: topology.Ingestion, Consumer: topology.IngestionCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				commands <- msg.Body
				return mesh.Ack()
			})
	}()
	command := <-commands
	cancel()
	<-done
	require.Equal(t, resp.GetRereadId(), command.GetId())
	require.Equal(t, []string{"mug", "cup"}, command.GetBackfill().GetProductIds())
}
