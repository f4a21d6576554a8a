package push_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func archivals(least uint64) guard.Config {
	return guard.Config{Products: guard.Limit{Share: 0.1, Least: least}}
}

func TestGuard_HoldsAMassArchivalUntilApproved(t *testing.T) {
	needsLeniency(t, "to clear default_price")
	r := newRig(t)
	r.pushWith(archivals(2))
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
		r.want(numbered(i, 1400), 10)
	}
	eachMug(products, func(id string) { r.applied(id, 10) })
	eachMug(products, func(id string) { r.remove(id, 20) })
	active := func() (n int) {
		list := r.stripe.Products.List(&stripe.ProductListParams{Active: stripe.Bool(true)})
		for list.Next() {
			n++
		}
		require.NoError(t, list.Err())
		return n
	}
	require.Eventually(t, func() bool {
		return len(r.counted(guard.ArchivedProducts).GetHeld()) == products-2 && active() == products-2
	}, patience, 10*time.Millisecond)
	held := r.counted(guard.ArchivedProducts).GetHeld()
	for _, id := range held {
		require.Equal(t, []string{"archived_products"}, rulesOf(r.held(id, 20)))
	}
	localtest.Holds(t, 300*time.Millisecond, func() bool { return active() == products-2 }, "held")
	require.Nil(t, r.letter("mug0"))

	r.openRule(guard.ArchivedProducts)
	for _, id := range held {
		r.commandSync(id)
	}
	require.Eventually(t, func() bool {
		return active() == 0 && len(r.counted(guard.ArchivedProducts).GetHeld()) == 0
	}, patience, 10*time.Millisecond)
	for _, id := range held {
		require.Nil(t, r.applied(id, 20).GetHold())
	}
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
	count := &meshv1.GuardCount{Since: timestamppb.Now(), Changed: admitted}
	for i := range products {
		id := fmt.Sprintf("cup%d", i)
		_, err := r.stores.Observed().Put(t.Context(), &catalogv1.Observed{
			Account: "default", ProductId: id, Product: &catalogv1.Product{Id: id, Name: "Cup", Active: new(true)},
		}, 0)
		require.NoError(t, err)
		if i < admitted {
			count.Recent = append(count.Recent, id)
		}
	}
	record := &meshv1.Guard{Counts: map[string]*meshv1.GuardCount{string(guard.ArchivedProducts): count}}
	_, err := r.stores.Guard("default").CompareAndPut(t.Context(), record, 0)
	require.NoError(t, err)
	r.pushWith(archivals(1))
	r.want(numbered(0), 10)
	r.applied("mug0", 10)
	r.remove("mug0", 20)
	r.held("mug0", 20)
	require.Len(t, r.counted(guard.ArchivedProducts).GetHeld(), 1)
	require.Equal(t, uint64(products+1), r.counted(guard.ArchivedProducts).GetTotal(), "the cups and the mug")
}

func TestGuard_ReleasesAProductThatTheCatalogWantsAgain(t *testing.T) {
	r := newRig(t)
	r.pushWith(archivals(1))
	for i := range 3 {
		r.want(numbered(i), 10)
	}
	eachMug(3, func(id string) { r.applied(id, 10) })
	eachMug(3, func(id string) { r.remove(id, 20) })
	listed := func() []string { return r.counted(guard.ArchivedProducts).GetHeld() }
	require.Eventually(t, func() bool { return len(listed()) == 2 }, patience, 10*time.Millisecond)
	for _, id := range listed() {
		p := numbered(0)
		p.Id = id
		r.want(p, 30)
		require.Nil(t, r.applied(id, 30).GetHold())
		r.nthOutcome(meshv1.OutcomeKind_OUTCOME_KIND_RELEASED, id, 1)
	}
	require.Eventually(t, func() bool { return len(listed()) == 0 }, patience, 10*time.Millisecond,
		"nothing else would take them off the list")
}

// TestGuard_JudgesARetryOfAnOlderProgramAgain: older programs had held products wait on RETRY.
func TestGuard_JudgesARetryOfAnOlderProgramAgain(t *testing.T) {
	r := newRig(t)
	r.shop(defaultRules, 1)
	require.NoError(t, r.mesh.Pause(t.Context(), time.Hour, topology.PushLive))
	r.want(numbered(0, 14), 20)
	before := r.writes()
	require.NoError(t, r.mesh.RetryLater(t.Context(), topology.Push,
		&meshv1.Retry{Account: "default", ProductId: "mug0", Version: 20, Lane: "bulk"}, 0))
	r.held("mug0", 20)
	require.Eventually(t, func() bool {
		retrying, err := r.mesh.Retrying(t.Context(), topology.Push, "default", "mug0")
		return err == nil && !retrying
	}, patience, 20*time.Millisecond)
	require.Equal(t, before, r.writes())
}

// TestGuard_ForgetsAProductThatIsNotHeld: a process died after it listed the product, before it recorded the hold. The
// entry of another product is damaged, and may have a hold.
func TestGuard_ForgetsAProductThatIsNotHeld(t *testing.T) {
	r := newRig(t)
	damaged := "$KV." + topology.BucketObserved + ".default.damaged"
	_, err := r.mesh.JetStream().Publish(t.Context(), damaged, []byte{0xff})
	require.NoError(t, err)
	record := &meshv1.Guard{Counts: map[string]*meshv1.GuardCount{
		string(guard.ArchivedProducts): {
			Since: timestamppb.Now(), Held: []string{"damaged", "mug0"}, HeldSince: timestamppb.Now(),
		},
	}}
	_, err = r.stores.Guard("default").CompareAndPut(t.Context(), record, 0)
	require.NoError(t, err)
	r.pushWith(defaultRules)
	require.Eventually(t, func() bool {
		return slices.Equal(r.counted(guard.ArchivedProducts).GetHeld(), []string{"damaged"})
	}, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		record := &meshv1.Guard{}
		_, err := r.stores.Guard("default").GetAt(t.Context(), record)
		return err == nil && record.GetRules() != 0
	}, patience, 10*time.Millisecond, "the held products were judged")
}
