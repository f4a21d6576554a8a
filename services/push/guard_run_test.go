package push_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push"
)

func TestGuard_HoldsAMassArchivalUntilApproved(t *testing.T) {
	needsLeniency(t, "to clear default_price")
	r := newRig(t)
	r.run(func(ctx context.Context) error {
		cfg := r.config(key)
		cfg.Guard = push.GuardConfig{Share: 0.1, Minimum: 2}
		return push.Run(ctx, cfg)
	})
	// Products that are archived already do not count.
	for i := range 60 {
		id := fmt.Sprintf("former%d", i)
		_, err := r.stores.Observed().Put(t.Context(), &catalogv1.Observed{
			Account: "default", ProductId: id, Product: &catalogv1.Product{Id: id, Name: "Former", Active: new(false)},
		}, 0)
		require.NoError(t, err)
	}
	const products = 6
	for i := range products {
		p := mug("Mug", "1400")
		p.Id = fmt.Sprintf("mug%d", i)
		r.want(p, 10)
	}
	for i := range products {
		r.applied(fmt.Sprintf("mug%d", i), 10)
	}
	for i := range products {
		id := fmt.Sprintf("mug%d", i)
		require.NoError(t,
			r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, id), &catalogv1.ProductChange{
				Account: "default", ProductId: id, Version: 20, Operation: catalogv1.Operation_OPERATION_DELETE,
			}, mesh.WithVersion(20)))
	}
	guard := func() *meshv1.Guard {
		g := &meshv1.Guard{}
		_, err := r.stores.Guard("default").GetAt(t.Context(), g)
		require.NoError(t, err)
		return g
	}
	active := func() (n int) {
		list := r.stripe.Products.List(&stripe.ProductListParams{Active: stripe.Bool(true)})
		for list.Next() {
			n++
		}
		require.NoError(t, list.Err())
		return n
	}
	require.Eventually(t, func() bool { return len(guard().GetHeld()) == products-2 && active() == products-2 },
		patience, 10*time.Millisecond)
	localtest.Holds(t, 300*time.Millisecond, func() bool { return active() == products-2 }, "held")
	require.Nil(t, r.letter("mug0"))

	g := guard()
	held := g.GetHeld()
	g.ApprovedUntil = timestamppb.New(time.Now().Add(time.Minute))
	revision, err := r.stores.Guard("default").GetAt(t.Context(), &meshv1.Guard{})
	require.NoError(t, err)
	_, err = r.stores.Guard("default").CompareAndPut(t.Context(), g, revision)
	require.NoError(t, err)
	for _, id := range held {
		r.commandSync(id)
	}
	require.Eventually(t, func() bool { return active() == 0 && len(guard().GetHeld()) == 0 }, patience,
		10*time.Millisecond)
	require.Eventually(t, func() bool {
		n, err := r.mesh.RetryingCount(t.Context(), topology.Push, "default")
		return err == nil && n == 0
	}, patience, 10*time.Millisecond, "no retry is left")
}

// TestGuard_CountsAProductOnceWhileItIsArchived: a product that the guard has admitted stays active in OBSERVED until
// the call that archives it is recorded.
func TestGuard_CountsAProductOnceWhileItIsArchived(t *testing.T) {
	r := newRig(t)
	const products, admitted = 10, 4
	record := &meshv1.Guard{Since: timestamppb.Now(), Archived: admitted}
	for i := range products {
		id := fmt.Sprintf("cup%d", i)
		_, err := r.stores.Observed().Put(t.Context(), &catalogv1.Observed{
			Account: "default", ProductId: id, Product: &catalogv1.Product{Id: id, Name: "Cup", Active: new(true)},
		}, 0)
		require.NoError(t, err)
		if i < admitted {
			record.Recent = append(record.Recent, id)
		}
	}
	_, err := r.stores.Guard("default").CompareAndPut(t.Context(), record, 0)
	require.NoError(t, err)
	r.run(func(ctx context.Context) error {
		cfg := r.config(key)
		cfg.Guard = push.GuardConfig{Share: 0.1, Minimum: 1}
		return push.Run(ctx, cfg)
	})
	p := mug("Mug", "1400")
	p.Prices, p.DefaultPrice = nil, ""
	r.want(p, 10)
	r.applied("mug", 10)
	require.NoError(t, r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, "mug"),
		&catalogv1.ProductChange{
			Account: "default", ProductId: "mug", Version: 20, Operation: catalogv1.Operation_OPERATION_DELETE,
		}, mesh.WithVersion(20)))
	guard := &meshv1.Guard{}
	require.Eventually(t, func() bool {
		guard = &meshv1.Guard{}
		_, err := r.stores.Guard("default").GetAt(t.Context(), guard)
		return err == nil && len(guard.GetHeld()) == 1
	}, patience, 10*time.Millisecond)
	require.Equal(t, uint64(products+1), guard.GetProducts(), "the cups and the mug")
}

func TestGuard_ReleasesAProductThatACommandSyncs(t *testing.T) {
	r := newRig(t)
	r.run(func(ctx context.Context) error {
		cfg := r.config(key)
		cfg.Guard = push.GuardConfig{Share: 0.1, Minimum: 1}
		return push.Run(ctx, cfg)
	})
	cup := func(i int) *catalogv1.Product {
		p := mug("Cup", "1400")
		p.Id = fmt.Sprintf("cup%d", i)
		p.Prices, p.DefaultPrice = nil, ""
		return p
	}
	for i := range 3 {
		r.want(cup(i), 10)
		r.applied(cup(i).GetId(), 10)
	}
	for i := range 3 {
		require.NoError(t,
			r.mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, cup(i).GetId()),
				&catalogv1.ProductChange{
					Account: "default", ProductId: cup(i).GetId(), Version: 20,
					Operation: catalogv1.Operation_OPERATION_DELETE,
				}, mesh.WithVersion(20)))
	}
	held := func() []string {
		g := &meshv1.Guard{}
		_, err := r.stores.Guard("default").GetAt(t.Context(), g)
		require.NoError(t, err)
		return g.GetHeld()
	}
	require.Eventually(t, func() bool { return len(held()) == 2 }, patience, 10*time.Millisecond)
	for _, id := range held() {
		p := cup(0)
		p.Id = id
		r.want(p, 30)
		r.applied(id, 30)
		r.commandSync(id)
	}
	require.Eventually(t, func() bool { return len(held()) == 0 }, patience, 10*time.Millisecond,
		"nothing else would take them off the list")
}
