package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"go.opentelemetry.io/otel/trace"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

var unlimited = stripesim.Config{Limits: stripesim.Limits{Off: true}}

func TestSync_ChangeReachesStripeAndIsConfirmed(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	p, prices := r.stripeProduct("mug")
	require.Equal(t, "Mug", p.Name)
	require.Equal(t, map[string]string{"sku": "M1"}, p.Metadata)
	require.Len(t, prices, 2)
	require.EqualValues(t, 1400, prices["mug-one"].UnitAmount)
	require.Equal(t, prices["mug-one"].ID, p.DefaultPrice.ID)
	require.Equal(t, "mug-one", prices["mug-one"].LookupKey)
	first := prices["mug-one"].ID

	// Stripe never changes the amount of a price. Another price replaces it.
	r.upsert(mug("Mug", "1600"))
	r.waitConverged()
	p, prices = r.stripeProduct("mug")
	require.EqualValues(t, 1600, prices["mug-one"].UnitAmount)
	require.Equal(t, prices["mug-one"].ID, p.DefaultPrice.ID)
	require.NotEqual(t, first, prices["mug-one"].ID)
	old, err := r.stripe.Prices.Get(first, nil)
	require.NoError(t, err)
	require.False(t, old.Active)

	// The old amount unarchives the old price.
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	_, prices = r.stripeProduct("mug")
	require.Equal(t, first, prices["mug-one"].ID)

	// The same change again, with the same parameters as before. Stripe must not replay the earlier answers.
	r.upsert(mug("Mug", "1600"))
	r.waitConverged()
	p, prices = r.stripeProduct("mug")
	require.EqualValues(t, 1600, prices["mug-one"].UnitAmount)
	require.Equal(t, prices["mug-one"].ID, p.DefaultPrice.ID)

	r.exec(`DELETE FROM driftless.products WHERE id = 'mug'`)
	r.waitConverged()
	p, prices = r.stripeProduct("mug")
	require.False(t, p.Active)
	require.Empty(t, prices)
}

func TestSync_BurstOfEditsTakesFewCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	for i := range 100 {
		r.exec(`INSERT INTO driftless.products (id, name) VALUES ('mug', $1) ON CONFLICT (id) DO UPDATE SET name = excluded.name`, fmt.Sprintf("Edition %d", i))
	}
	r.waitConverged()
	p, _ := r.stripeProduct("mug")
	require.Equal(t, "Edition 99", p.Name)
	requests, err := r.admin.Requests(t.Context(), stripesim.RequestFilter{Object: "mug"})
	require.NoError(t, err)
	require.Less(t, len(requests), 60, "superseded changes are skipped")
	require.NotEmpty(t, requests)
}

func TestDrift_EditInStripeIsRepaired(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	_, err := r.stripe.Products.Update("mug", &stripe.ProductParams{
		Name:     stripe.String("By hand"),
		Metadata: map[string]string{"theirs": "1"},
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		p, _ := r.stripeProduct("mug")
		return p.Name == "Mug"
	}, patience, tick)
	r.waitConverged()
	p, _ := r.stripeProduct("mug")
	require.Equal(t, map[string]string{"sku": "M1", "theirs": "1"}, p.Metadata, "metadata of others stays")
	require.Eventually(t, func() bool {
		kinds := ""
		for _, e := range r.history("mug") {
			kinds += e.GetKind() + " "
		}
		return strings.Contains(kinds, "drifted") && strings.Contains(kinds, "repaired")
	}, patience, tick)
}

func TestDrift_DeletedProductIsCreatedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	r.upsert(&catalogv1.Product{Id: "poster", Name: "Poster"})
	r.waitConverged()
	_, err := r.stripe.Products.Del("poster", nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		p, err := r.stripe.Products.Get("poster", nil)
		return err == nil && p.Name == "Poster"
	}, patience, tick)
	r.waitConverged()
}

func TestPoll_FindsLostWebhooks(t *testing.T) {
	t.Parallel()
	cfg := unlimited
	cfg.Faults = []stripesim.Fault{{Kind: stripesim.FaultWebhookLost}}
	r := newRig(t, cfg)
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	confirmed := func() bool {
		for _, e := range r.history("mug") {
			if e.GetKind() == "confirmed" {
				return true
			}
		}
		return false
	}
	require.Eventually(t, confirmed, patience, tick)
	_, err := r.stripe.Products.Update("mug", &stripe.ProductParams{Name: stripe.String("By hand")})
	require.NoError(t, err)
	require.Eventually(t, func() bool { p, _ := r.stripeProduct("mug"); return p.Name == "Mug" }, patience,
		tick)
}

func TestSync_FaultsOfStripeDuplicateAndLoseNothing(t *testing.T) {
	t.Parallel()
	cfg := unlimited
	for i, kind := range []stripesim.FaultKind{
		stripesim.FaultRateLimit, stripesim.FaultLockTimeout, stripesim.FaultErrorBefore, stripesim.FaultErrorAfter,
		stripesim.FaultUnavailable,
		stripesim.FaultBadGateway, stripesim.FaultResponseLost, stripesim.FaultReset, stripesim.FaultWebhookDuplicated,
		stripesim.FaultWebhookReordered,
	} {
		cfg.Faults = append(cfg.Faults, stripesim.Fault{Kind: kind, Probability: 0.1, Seed: uint64(i + 1), Count: 8})
	}
	r := newRig(t, cfg)
	const n = 20
	for round := range 3 {
		for i := range n {
			p := product(i)
			p.Name = fmt.Sprintf("Product %d, round %d", i, round)
			p.DefaultPrice = p.GetId() + "-one"
			p.Prices = []*catalogv1.Price{{
				Id:         p.GetId() + "-one",
				Currency:   "eur",
				UnitAmount: fmt.Sprint(1000 + 100*round),
			}}
			r.upsert(p)
		}
	}
	r.waitConverged()
	require.NoError(t, r.admin.ClearFaults(t.Context()))
	r.waitConverged()
	for i := range n {
		p, prices := r.stripeProduct(fmt.Sprintf("p%d", i))
		require.Equal(t, fmt.Sprintf("Product %d, round 2", i), p.Name)
		require.Len(t, prices, 1)
		// Every amount has one Stripe price, archived or not: no lost answer created a second one.
		all := r.stripe.Prices.List(&stripe.PriceListParams{Product: stripe.String(p.ID), Active: stripe.Bool(false)})
		amounts := map[int64]bool{prices[p.ID+"-one"].UnitAmount: true}
		for all.Next() {
			require.NotContains(t, amounts, all.Price().UnitAmount, "product %s has two prices of one amount", p.ID)
			amounts[all.Price().UnitAmount] = true
		}
		require.NoError(t, all.Err())
	}
}

func TestDeadLetter_HasStripesMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	// The product keeps every rule that Driftless checks, and Stripe refuses it. The id belongs to a product of
	// somebody else, and its metadata is full.
	params := &stripe.ProductParams{ID: stripe.String("full"), Name: stripe.String("Full")}
	for i := range 49 {
		params.AddMetadata(fmt.Sprintf("theirs%d", i), "v")
	}
	_, err := r.stripe.Products.New(params)
	require.NoError(t, err)
	r.upsert(&catalogv1.Product{Id: "full", Name: "Full", Metadata: map[string]string{"a": "1", "b": "2"}}, product(1))
	require.Eventually(t, func() bool {
		resp, err := r.control.ListDeadLetters(t.Context(), connect.NewRequest(&controlv1.ListDeadLettersRequest{}))
		require.NoError(t, err)
		if len(resp.Msg.GetDeadLetters()) != 1 {
			return false
		}
		l := resp.Msg.GetDeadLetters()[0]
		require.Equal(t, "full", l.GetProductId())
		require.Equal(t, topology.ReasonRefused, l.GetReason())
		require.NotEmpty(t, l.GetStripeRequestId())
		require.Contains(t, l.GetMessage(), "50")
		return true
	}, patience, tick)
	require.Eventually(t,
		func() bool { p, err := r.stripe.Products.Get("p1", nil); return err == nil && p.Name == "Product 1" },
		patience, tick)

	r.upsert(&catalogv1.Product{Id: "full", Name: "Full", Metadata: map[string]string{"a": "1"}})
	r.waitConverged()
	resp, err := r.control.ListDeadLetters(t.Context(), connect.NewRequest(&controlv1.ListDeadLettersRequest{}))
	require.NoError(t, err)
	require.Empty(t, resp.Msg.GetDeadLetters(), "a later change that fits closes the letter")
}

func TestDeadLetter_IsReplayedAfterRepair(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	params := &stripe.ProductParams{ID: stripe.String("full"), Name: stripe.String("Full")}
	for i := range 49 {
		params.AddMetadata(fmt.Sprintf("theirs%d", i), "v")
	}
	_, err := r.stripe.Products.New(params)
	require.NoError(t, err)
	r.upsert(&catalogv1.Product{Id: "full", Name: "Full", Metadata: map[string]string{"a": "1", "b": "2"}})
	letters := func() []*controlv1.DeadLetterDetail {
		resp, err := r.control.GetDeadLetters(t.Context(),
			connect.NewRequest(&controlv1.GetDeadLettersRequest{ProductId: "full"}))
		require.NoError(t, err)
		return resp.Msg.GetDeadLetters()
	}
	replay := func() {
		resp, err := r.control.ReplayDeadLetters(t.Context(), connect.NewRequest(&controlv1.ReplayDeadLettersRequest{
			Selection: &controlv1.DeadLetterSelection{ProductIds: []string{"full"}},
		}))
		require.NoError(t, err)
		require.Len(t, resp.Msg.GetResults(), 1)
		require.Empty(t, resp.Msg.GetResults()[0].GetError())
	}
	require.Eventually(t, func() bool { return len(letters()) == 1 }, patience, tick)
	first := letters()[0]
	require.Equal(t, topology.ReasonRefused, first.GetDeadLetter().GetReason())
	require.Equal(t, map[string]string{"a": "1", "b": "2"}, first.GetWanted().GetProduct().GetMetadata())

	// Nothing is repaired yet. The next refusal replaces the letter, and still shows the desired state.
	replay()
	require.Eventually(t, func() bool {
		l := letters()
		return len(l) == 1 && l[0].GetDeadLetter().GetId() != first.GetDeadLetter().GetId()
	}, patience, tick)
	require.Equal(t, "2", letters()[0].GetWanted().GetProduct().GetMetadata()["b"])

	update := &stripe.ProductParams{}
	update.AddMetadata("theirs0", "")
	_, err = r.stripe.Products.Update("full", update)
	require.NoError(t, err)
	replay()
	require.Eventually(t, func() bool { return len(letters()) == 0 }, patience, tick)
	r.waitConverged()
	p, _ := r.stripeProduct("full")
	require.Equal(t, "2", p.Metadata["b"])
	require.Len(t, p.Metadata, 50)
	dead, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		info, err := dead.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	}, patience, tick)
	kinds := []string{}
	for _, e := range r.history("full") {
		kinds = append(kinds, e.GetKind())
	}
	require.Contains(t, kinds, "ordered")
	require.Contains(t, kinds, "applied")
}

func TestServices_RestartLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	for i, name := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		r.stop(name)
		r.exec(`INSERT INTO driftless.products (id, name) VALUES ($1, 'P')`, fmt.Sprintf("p%d", i))
		r.start(name)
	}
	r.waitConverged()
	for i := range 4 {
		_, err := r.stripe.Products.Get(fmt.Sprintf("p%d", i), nil)
		require.NoError(t, err)
	}
}

func TestScan_FindsEditsWithoutEvents(t *testing.T) {
	t.Parallel()
	cfg := unlimited
	r := newRig(t, cfg)
	r.upsert(mug("Mug", "1400"), product(1))
	r.waitConverged()
	r.stop(topology.Pull)
	// The edits happen while pull is stopped, and then its cursor is lost too.
	_, err := r.stripe.Products.Update("mug", &stripe.ProductParams{Name: stripe.String("By hand")})
	require.NoError(t, err)
	_, err = r.stripe.Products.Del("p1", nil)
	require.NoError(t, err)
	_, err = r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("stray"), Name: stripe.String("Stray")})
	require.NoError(t, err)
	_, err = r.admin.AddFault(t.Context(), stripesim.Fault{Kind: stripesim.FaultWebhookLost})
	require.NoError(t, err)
	require.NoError(t,
		r.stores.Record(topology.KeyEvents, "default").PutString(t.Context(),
			fmt.Sprintf("@%d", time.Now().Add(time.Hour).Unix())))
	r.start(topology.Pull)
	started, err := r.control.StartScan(t.Context(), connect.NewRequest(&controlv1.StartScanRequest{}))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		resp, err := r.control.GetScan(t.Context(), connect.NewRequest(&controlv1.GetScanRequest{}))
		return err == nil && resp.Msg.GetScan().GetId() == started.Msg.GetId() &&
			resp.Msg.GetScan().GetFinishedAt() != nil
	}, patience, tick)
	require.Eventually(t, func() bool { p, _ := r.stripeProduct("mug"); return p.Name == "Mug" }, patience,
		tick)
	require.Eventually(t, func() bool { _, err := r.stripe.Products.Get("p1", nil); return err == nil }, patience,
		tick)
	status, err := r.control.GetStatus(t.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
	require.NoError(t, err)
	require.EqualValues(t, 1, status.Msg.GetOrphans())
}

func TestSync_ThousandsOfRowsReachStripe(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	const n = 3000
	r.exec(`INSERT INTO driftless.products (id, name) SELECT 'p' || i, 'Product ' || i FROM generate_series(1, $1::int) i`, n)
	require.Eventually(t, func() bool {
		stats, err := r.admin.Stats(t.Context())
		return err == nil && stats.Objects.Products == n
	}, 3*time.Minute, tick)
	r.waitConvergedWithin(time.Minute)
}

// The test follows a change from the application's own transaction to the webhooks that confirm it.
func TestTracing_OneChangeIsOneTrace(t *testing.T) {
	recorder := telemetrytest.Start(t)
	r := newRig(t, unlimited)
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	remote, err := trace.SpanIDFromHex("00f067aa0ba902b7")
	require.NoError(t, err)
	id, err := trace.TraceIDFromHex("4bf92f3577b34da6a3ce929d0e0e4736")
	require.NoError(t, err)

	tx, err := r.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT pg_logical_emit_message(true, 'traceparent', $1)`, traceparent)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(),
		`INSERT INTO driftless.products (id, name, default_price) VALUES ('mug', 'Mug', 'mug-one')`)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(),
		`INSERT INTO driftless.prices (id, product, currency, unit_amount) VALUES ('mug-one', 'mug', 'eur', 1400)`)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))

	// Two calls make three events: product.created, price.created, price.updated.
	confirmations := func() (n int) {
		for _, e := range r.history("mug") {
			if e.GetKind() == "confirmed" {
				require.Equal(t, id.String(), e.GetTraceId())
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return confirmations() == 3 }, patience, tick)
	r.waitConverged()
	tree, err := telemetrytest.Tree(recorder.Trace(id), remote)
	require.NoError(t, err)
	t.Log("\n" + tree)
	for _, name := range []string{
		"capture", "read products", "send catalog", "process catalog", "sync product", "claim product",
		"create_product", "update_price",
		"POST /v1/products", "POST /v1/prices/{id}", "POST /stripe/webhook", "send stripe", "process stripe",
		"send sync", "process sync",
	} {
		require.Contains(t, tree, name)
	}

	t.Run("a price change has few spans", func(t *testing.T) { requireFewSpans(t, r, recorder, id) })
}
