package push_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
)

// defaultRules are those of the settings' defaults.
var defaultRules = guard.Config{
	AmountChange: 50, ZeroAmount: true, NoActivePrice: true, NoDefaultPrice: true,
	Prices:     guard.Limit{Share: 0.1, Least: 20},
	Currencies: guard.Limit{Share: 0.1, Least: 5},
	Products:   guard.Limit{Share: 0.1, Least: 20},
	Approvers:  1,
}

func (r *rig) pushWith(rules guard.Config) (stop func()) {
	return r.run(func(ctx context.Context) error {
		cfg := r.config(key)
		cfg.Guard = rules
		return push.Run(ctx, cfg)
	})
}

// numbered is a mug with a number, and prices of these amounts.
func numbered(i int, amounts ...int) *catalogv1.Product {
	id := fmt.Sprintf("mug%d", i)
	p := &catalogv1.Product{Id: id, Name: "Mug"}
	for j, amount := range amounts {
		p.Prices = append(p.Prices, &catalogv1.Price{
			Id: fmt.Sprintf("%s-%d", id, j), Currency: "eur", UnitAmount: fmt.Sprint(amount),
		})
		p.DefaultPrice = p.Prices[0].GetId()
	}
	return p
}

// remove publishes that a product has left the catalog.
func (r *rig) remove(product string, version uint64) {
	r.t.Helper()
	require.NoError(r.t, r.mesh.Publish(r.t.Context(), topology.CatalogSubject("default", topology.Live, product),
		&catalogv1.ProductChange{
			Account: "default", ProductId: product, Version: version, Operation: catalogv1.Operation_OPERATION_DELETE,
		}, mesh.WithVersion(version)))
}

// held waits until a version of a product is held.
func (r *rig) held(product string, version uint64) *catalogv1.Hold {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		return r.observed(product).GetHold().GetVersion() == version
	}, patience, 10*time.Millisecond, "%s is not held", product)
	return r.observed(product).GetHold()
}

func rulesOf(hold *catalogv1.Hold) (out []string) {
	for _, f := range hold.GetFindings() {
		out = append(out, f.GetRule())
	}
	return out
}

// writes counts the requests that write to Stripe.
func (r *rig) writes() (n int) {
	r.t.Helper()
	for _, count := range r.calls() {
		n += count
	}
	return n
}

// outcomes counts the published outcomes of a kind about a product.
func (r *rig) outcomes(kind meshv1.OutcomeKind, product string) int {
	r.t.Helper()
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamSync)
	require.NoError(r.t, err)
	subject := topology.SyncSubject("default", kind, product)
	info, err := stream.Info(r.t.Context(), jetstream.WithSubjectFilter(subject))
	require.NoError(r.t, err)
	return int(info.State.Subjects[subject])
}

// nthOutcome waits for a number of outcomes of a kind about a product, and returns the latest.
func (r *rig) nthOutcome(kind meshv1.OutcomeKind, product string, n int) *meshv1.Outcome {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.outcomes(kind, product) == n }, patience, 10*time.Millisecond,
		"%s: %d of %s", product, n, kind)
	stream, err := r.mesh.JetStream().Stream(r.t.Context(), topology.StreamSync)
	require.NoError(r.t, err)
	msg, err := stream.GetLastMsgForSubject(r.t.Context(), topology.SyncSubject("default", kind, product))
	require.NoError(r.t, err)
	out := &meshv1.Outcome{}
	require.NoError(r.t, proto.Unmarshal(msg.Data, out))
	return out
}

func (r *rig) approveChange(product string, version uint64, actor string) {
	r.t.Helper()
	require.NoError(r.t, r.mesh.Publish(r.t.Context(),
		topology.CommandSubject(topology.Push, "default", topology.VerbApprove, product), &meshv1.Command{
			Id: fmt.Sprint("approve:", product, version, actor, time.Now().UnixNano()), Account: "default",
			Issuer: actor, Reason: "a sale",
			Verb: &meshv1.Command_Approve{Approve: &meshv1.ApproveChange{ProductId: product, Version: version}},
		}))
}

func (r *rig) guard() *meshv1.Guard {
	r.t.Helper()
	g := &meshv1.Guard{}
	_, err := r.stores.Guard("default").GetAt(r.t.Context(), g)
	require.NoError(r.t, err)
	return g
}

// counted returns what a rule has counted.
func (r *rig) counted(rule guard.Rule) *meshv1.GuardCount { return r.guard().GetCounts()[string(rule)] }

// openRule lets a rule pass everything for a minute, as the control API does.
func (r *rig) openRule(rule guard.Rule) {
	r.t.Helper()
	for {
		g := &meshv1.Guard{}
		revision, err := r.stores.Guard("default").GetAt(r.t.Context(), g)
		require.NoError(r.t, err)
		guard.Open(g, rule, time.Now().Add(time.Minute))
		if _, err = r.stores.Guard("default").CompareAndPut(r.t.Context(), g, revision); err == nil {
			return
		}
		require.ErrorIs(r.t, err, state.ErrConflict)
	}
}

// shop starts push under the rules, and syncs products with one price of 14.00 EUR each.
func (r *rig) shop(rules guard.Config, products int) (stop func()) {
	r.t.Helper()
	stop = r.pushWith(rules)
	for i := range products {
		r.want(numbered(i, 1400), 10)
	}
	for i := range products {
		r.applied(fmt.Sprint("mug", i), 10)
	}
	return stop
}

// eachMug checks each product of a shop.
func eachMug(products int, check func(id string)) {
	for i := range products {
		check(fmt.Sprint("mug", i))
	}
}
