package control_test

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
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestEquality_IsInEveryAnswer(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	stop := r.Start()
	require.Contains(t, r.Equality().GetUnknown(), "no ingestion has ever reported")
	require.Contains(t, r.Equality().GetUnknown(), "Stripe's events were never read")

	r.Pull()
	r.Desire("mug", "Mug", 10)
	r.Observe("mug", "Mug", 10)
	r.AckCatalog()
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	var report *meshv1.CaptureReport
	require.Eventually(t, func() bool {
		report = r.Report(func(c *meshv1.CaptureReport) {
			c.UnwatchedTables = []string{"category"}
			c.Compared = &meshv1.TableComparison{StartedAt: c.GetAt()}
		})
		return r.Equality().GetUnknown() == ""
	}, controltest.Patience, 50*time.Millisecond)
	e := r.Equality()
	require.Equal(t, report.GetCapturedUpTo().AsTime(), e.GetAsOf().AsTime())
	require.Equal(t, report.GetAt().AsTime(), e.GetTablesComparedAt().AsTime())
	require.Equal(t, []string{"category"}, e.GetUnwatchedTables())
	require.WithinDuration(t, r.Now(), e.GetStripeAsOf().AsTime(), time.Minute)

	r.Report(func(c *meshv1.CaptureReport) {
		c.CapturedUpTo, c.Reason = timestamppb.New(c.GetAt().AsTime().Add(-21*time.Second)),
			"reading products waits for a lock"
	})
	require.Equal(t, "capture is 21 s behind (reading products waits for a lock)", r.Equality().GetUnknown())
	r.Report(func(c *meshv1.CaptureReport) { c.At = timestamppb.New(c.GetAt().AsTime().Add(-40 * time.Second)) })
	require.Contains(t, r.Equality().GetUnknown(), "no ingestion runs (last report 4")

	controltest.Ask[controlv1.PauseResponse](r, "Pause", `{"services":["ingestion"]}`)
	r.Report(nil)
	require.Contains(t, r.Equality().GetUnknown(), "ingestion is paused since ")
	controltest.Ask[controlv1.ResumeResponse](r, "Resume", `{}`)
	require.NoError(t, r.Stores.Halted("default").PutString(t.Context(), "Invalid API Key"))
	r.Report(nil)
	require.Equal(t, "push is halted: Invalid API Key", r.Equality().GetUnknown())
	require.NoError(t, r.Stores.Halted("default").PutString(t.Context(), ""))

	// The answer does not cover commits that the ledger has not read, whatever ingestion reports.
	stop()
	for i := range 200 {
		r.Desire(fmt.Sprintf("p%d", i), "P", uint64(20+i))
	}
	last := r.Report(nil)
	r.Start()
	require.Eventually(t, func() bool {
		plan := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`)
		if as := plan.GetEquality().GetAsOf(); as != nil && !as.AsTime().Before(last.GetCapturedUpTo().AsTime()) {
			require.EqualValues(t, 201, plan.GetCompared())
			require.Len(t, plan.GetProducts(), 200)
			return true
		}
		return false
	}, controltest.Patience, time.Millisecond)
}

func TestEquality_DetectsServicesThatDoNotRun(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	require.NoError(t,
		r.Stores.Record(topology.KeyPoll, "default").Put(t.Context(), &meshv1.PollReport{
			At:       timestamppb.Now(),
			Interval: durationpb.New(time.Hour),
		}))
	unknown := func() string { r.Report(nil); return r.Equality().GetUnknown() }
	require.Eventually(t, func() bool { return strings.Contains(unknown(), "no pull runs") }, controltest.Patience,
		50*time.Millisecond)
	stop := r.Receive(topology.PullCommand)
	require.Eventually(t, func() bool { return unknown() == "" }, controltest.Patience, 50*time.Millisecond,
		"push is not missed while nothing waits for it")
	localtest.Holds(t, 7*time.Second, func() bool { return unknown() == "" }, "an idle pull runs")

	r.Desire("mug", "Mug", 10)
	require.Eventually(t, func() bool { return strings.Contains(unknown(), "no push runs") }, controltest.Patience,
		50*time.Millisecond)
	require.Contains(t, unknown(), "a message waits for it")
	r.AckCatalog()
	require.Eventually(t, func() bool { return unknown() == "" }, controltest.Patience, 50*time.Millisecond)
	stop()
	require.Eventually(t, func() bool { return strings.Contains(unknown(), "no pull runs") }, controltest.Patience,
		50*time.Millisecond, "it ran before")
}

func TestGetStatus_CountsProductsThatLeftApart(t *testing.T) {
	r := controltest.New(t)
	r.Config.GracePeriod = time.Hour
	r.Start()
	remove := func(id string, version uint64) {
		require.NoError(t,
			r.Mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, id), &catalogv1.ProductChange{
				Account:   "default",
				ProductId: id,
				Version:   version,
				Operation: catalogv1.Operation_OPERATION_DELETE,
			}, mesh.WithVersion(version)))
	}
	archived := func(id string) {
		_, err := r.Stores.Observed().Update(t.Context(), "default", id, func(o *catalogv1.Observed) error {
			o.Product.Active = proto.Bool(false)
			return nil
		})
		require.NoError(t, err)
	}
	r.Desire("mug", "Mug", 10)
	r.Observe("mug", "Mug", 10)
	r.Observe("stray", "Stray", 0)
	r.Observe("old", "Old", 0)
	archived("old")
	remove("phantom", 11)
	r.Observe("cup", "Cup", 12)
	remove("cup", 12)
	status := func(want ...uint64) func() bool {
		return func() bool {
			s := controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`)
			return s.GetInSync() == want[0] && s.GetPending() == want[1] && s.GetOrphans() == want[2] &&
				s.GetLeft() == want[3]
		}
	}
	require.Eventually(t, status(1, 1, 1, 2), controltest.Patience, 10*time.Millisecond,
		"the cup is yet to be archived")
	require.EqualValues(t, 3, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetCompared())
	archived("cup")
	require.Eventually(t, status(1, 0, 1, 3), controltest.Patience, 10*time.Millisecond)
	require.EqualValues(t, 2, controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetCompared())
	require.EqualValues(t, 1,
		controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"product_ids":["cup"]}`).GetCompared(),
		"it was named")
	r.Desire("cup", "Cup", 13)
	require.Eventually(t, status(1, 1, 1, 2), controltest.Patience, 10*time.Millisecond, "it is back")
}

func TestPlan_ExplainsEveryProduct(t *testing.T) {
	r := controltest.New(t)
	r.SetPolicy(map[string]catalog.Rule{
		"default_price": {Action: catalog.Report},
		"prices.active": {Action: catalog.Report},
	})
	r.Start()
	r.AckCatalog()

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
		_, err := r.Stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
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
		r.Mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, "mug"), &catalogv1.ProductChange{
			Account:   "default",
			ProductId: "mug",
			Version:   10,
			Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product:   mug,
		}, mesh.WithVersion(10)))
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
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
		drift := controltest.Ask[controlv1.ListDriftResponse](r, "ListDrift", `{}`).GetDrift()
		return len(drift) == 2 && len(words(drift)) == 2
	}, controltest.Patience, 10*time.Millisecond)
	require.ElementsMatch(t, want, words(controltest.Ask[controlv1.ListDriftResponse](r, "ListDrift", `{}`).GetDrift()))
	products := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts()
	require.Len(t, products, 1)
	require.Empty(t, products[0].GetSteps())
	require.ElementsMatch(t, want, words(products[0].GetDrift()))

	// The plan explains failures, held products and dead ones, also without named products.
	for i, id := range []string{"slow", "held", "bad"} {
		r.Observe(id, "Old", 1)
		r.Desire(id, "New", uint64(20+i))
	}
	require.NoError(t,
		r.Mesh.RetryLater(t.Context(), topology.Push,
			&meshv1.Retry{
				Account:   "default",
				ProductId: "slow",
				Version:   20,
				Attempts:  4,
				Lane:      "live",
				Error:     "Stripe: 500 [req_1]",
			}, time.Hour))
	_, err := r.Stores.Observed().Update(t.Context(), "default", "held", func(o *catalogv1.Observed) error {
		o.Hold = &catalogv1.Hold{Version: 21, Findings: []*catalogv1.Finding{{Rule: "amount_change"}}}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, r.Mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
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
			for _, p := range controltest.Ask[controlv1.PlanResponse](r, "Plan", request).GetProducts() {
				of[p.GetProductId()] = p
			}
			return of["bad"].GetRefused() == "Invalid currency: xxx" && of["held"].GetHeld() &&
				of["held"].GetHold().GetVersion() == 21 && !of["slow"].GetHeld() &&
				of["slow"].GetAttempts() == 4 && of["slow"].GetWaiting() == "Stripe: 500 [req_1]" &&
				of["slow"].GetNextAttemptAt().AsTime().After(time.Now())
		}, controltest.Patience, 20*time.Millisecond, request)
	}
}

func TestSyncProducts_BackfillsBeforeSync(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.Desire("mug", "Mug", 1)
	r.Desire("cup", "Cup", 1)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	r.Eventually("cup", controlv1.ProductState_PRODUCT_STATE_PENDING)
	resp := controltest.Ask[controlv1.SyncProductsResponse](r, "SyncProducts", `{"product_ids":["mug","cup","mug"]}`)
	require.Empty(t, resp.GetUnknown())
	plan := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`)
	require.EqualValues(t, 3, plan.GetOrders())
	require.EqualValues(t, 1, plan.GetIngestionOrders())
	commands := make(chan *meshv1.Command, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Ingestion, Consumer: topology.IngestionCommand},
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
