package push_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/types/known/durationpb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// wantFor publishes a state whose replaced prices stay active for a while.
func (r *rig) wantFor(p *catalogv1.Product, version uint64, overlap time.Duration) {
	r.t.Helper()
	change := &catalogv1.ProductChange{
		Account: "default", ProductId: p.GetId(), Version: version, Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product: p,
	}
	if overlap > 0 {
		change.ArchiveAfter = durationpb.New(overlap)
	}
	require.NoError(r.t, r.mesh.Publish(r.t.Context(), topology.CatalogSubject("default", topology.Live, p.GetId()),
		change, mesh.WithVersion(version)))
}

// priceOf returns the recorded price of an amount.
func (r *rig) priceOf(product, amount string) *catalogv1.ObservedPrice {
	r.t.Helper()
	for _, p := range r.observed(product).GetPrices() {
		if p.GetPrice().GetUnitAmount() == amount {
			return p
		}
	}
	return nil
}

// archivals returns when Stripe archived prices, by their ids: the last write to each archived price.
func (r *rig) archivals() map[string]time.Time {
	r.t.Helper()
	var ids []string
	list := r.stripe.Prices.List(&stripe.PriceListParams{Active: stripe.Bool(false)})
	for list.Next() {
		ids = append(ids, list.Price().ID)
	}
	require.NoError(r.t, list.Err())
	requests, err := r.admin.Requests(r.t.Context(), stripesim.RequestFilter{Operation: "POST /v1/prices/{price}"})
	require.NoError(r.t, err)
	out := map[string]time.Time{}
	for _, q := range requests {
		if q.Executed && slices.Contains(ids, q.Object) {
			out[q.Object] = q.Time
		}
	}
	return out
}

func (r *rig) archived(id string) time.Time {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return !r.archivals()[id].IsZero() }, patience, 20*time.Millisecond,
		"price %s is not archived", id)
	return r.archivals()[id]
}

func TestPush_KeepsReplacedPriceForItsOverlap(t *testing.T) {
	t.Parallel()
	const overlap = 3 * time.Second
	r := newRig(t)
	r.push()
	r.wantFor(mug("Mug", "1400"), 10, overlap)
	r.applied("mug", 10)
	old := r.priceOf("mug", "1400")
	require.NoError(t, r.admin.ClearRequests(t.Context()))
	r.wantFor(mug("Mug", "1600"), 20, overlap)
	r.applied("mug", 20)
	kept := r.priceOf("mug", "1400")
	require.True(t, catalog.IsKept(kept))
	require.Equal(t, overlap, kept.GetKeepUntil().AsTime().Sub(kept.GetReplacedAt().AsTime()))
	require.Equal(t, r.priceOf("mug", "1600").GetStripeId(), r.observed("mug").GetProduct().GetDefaultPrice())
	requests, err := r.admin.Requests(t.Context(), stripesim.RequestFilter{})
	require.NoError(t, err)
	var paths []string
	for _, q := range requests {
		paths = append(paths, q.Path)
	}
	require.Equal(t, []string{"/v1/prices", "/v1/products/mug"}, paths, "the old price is not archived")
	active, archived := r.prices("mug")
	require.Equal(t, []int{2, 0}, []int{active, archived})
	retrying, err := r.mesh.RetryingCount(t.Context(), topology.Push, "default")
	require.NoError(t, err)
	require.Zero(t, retrying, "nothing has failed")

	at := r.archived(old.GetStripeId())
	require.False(t, at.Before(kept.GetKeepUntil().AsTime()), "archived too early: %s", at)
	require.Len(t, r.archivals(), 1)
	require.Eventually(t, func() bool { return r.priceOf("mug", "1400").GetReplacedAt() == nil }, patience,
		20*time.Millisecond)
	active, archived = r.prices("mug")
	require.Equal(t, []int{1, 1}, []int{active, archived})
}

func TestPush_KeepsEachReplacedPriceForItsOwnOverlap(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push()
	for i, amount := range []string{"1400", "1600", "1800"} {
		r.wantFor(mug("Mug", amount), uint64(10*(i+1)), 4*time.Second)
		r.applied("mug", uint64(10*(i+1)))
	}
	first, second := r.priceOf("mug", "1400"), r.priceOf("mug", "1600")
	require.True(t, catalog.IsKept(first) && catalog.IsKept(second))
	require.True(t, first.GetKeepUntil().AsTime().Before(second.GetKeepUntil().AsTime()))
	for _, p := range []*catalogv1.ObservedPrice{first, second} {
		require.False(t, r.archived(p.GetStripeId()).Before(p.GetKeepUntil().AsTime()))
	}
	active, archived := r.prices("mug")
	require.Equal(t, []int{1, 2}, []int{active, archived})
}

func TestPush_UsesKeptPriceAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push()
	r.wantFor(mug("Mug", "1400"), 10, 3*time.Second)
	r.applied("mug", 10)
	first := r.priceOf("mug", "1400").GetStripeId()
	r.wantFor(mug("Mug", "1600"), 20, 3*time.Second)
	r.applied("mug", 20)
	r.wantFor(mug("Mug", "1400"), 30, 3*time.Second)
	o := r.applied("mug", 30)
	require.Equal(t, first, o.GetProduct().GetDefaultPrice())
	require.Nil(t, r.priceOf("mug", "1400").GetKeepUntil())
	require.Equal(t, "mug-one", r.priceOf("mug", "1400").GetPrice().GetLookupKey())
	other := r.priceOf("mug", "1600")
	require.True(t, catalog.IsKept(other))
	r.archived(other.GetStripeId())
	require.NotContains(t, r.archivals(), first)
}

func TestPush_EndsOverlapThatIsNoLongerWanted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push()
	r.wantFor(mug("Mug", "1400"), 10, time.Hour)
	r.applied("mug", 10)
	old := r.priceOf("mug", "1400").GetStripeId()
	r.wantFor(mug("Mug", "1600"), 20, time.Hour)
	r.applied("mug", 20)
	require.Empty(t, r.archivals())
	r.wantFor(mug("Mug", "1600"), 30, 0)
	r.applied("mug", 30)
	require.Contains(t, r.archivals(), old)
}

func TestPush_EndsOverlapAfterRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.push()
	r.wantFor(mug("Mug", "1400"), 10, 2*time.Second)
	r.applied("mug", 10)
	r.wantFor(mug("Mug", "1600"), 20, 2*time.Second)
	r.applied("mug", 20)
	kept := r.priceOf("mug", "1400")
	stop()
	require.Eventually(t, func() bool { return time.Now().After(kept.GetKeepUntil().AsTime().Add(2 * time.Second)) },
		patience, 50*time.Millisecond)
	require.Empty(t, r.archivals())
	r.push()
	r.archived(kept.GetStripeId())
}

// A process that dies during the replacement leaves the old price to the next one.
func TestPush_KeepsReplacedPriceThroughCrash(t *testing.T) {
	t.Parallel()
	for _, kind := range []stripesim.FaultKind{
		stripesim.FaultResponseLost, stripesim.FaultErrorAfter, stripesim.FaultErrorBefore,
	} {
		for _, path := range []string{"/v1/prices", "/v1/products/{id}"} {
			t.Run(string(kind)+" "+path, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				stop := r.push()
				r.wantFor(mug("Mug", "1400"), 10, time.Hour)
				r.applied("mug", 10)
				_, err := r.admin.AddFault(t.Context(), stripesim.Fault{
					Kind:   kind,
					Method: "POST",
					Path:   path,
					Count:  1,
				})
				require.NoError(t, err)
				r.wantFor(mug("Mug", "1600"), 20, time.Hour)
				require.Eventually(t, func() bool {
					requests, err := r.admin.Requests(t.Context(), stripesim.RequestFilter{})
					return err == nil && slices.ContainsFunc(requests,
						func(q stripesim.Request) bool { return q.Fault == kind })
				}, patience, 10*time.Millisecond)
				stop()
				r.push()
				r.applied("mug", 20)
				require.True(t, catalog.IsKept(r.priceOf("mug", "1400")))
				require.False(t, catalog.IsKept(r.priceOf("mug", "1600")))
				require.Empty(t, r.archivals())
				active, archived := r.prices("mug")
				require.Equal(t, []int{2, 0}, []int{active, archived})
			})
		}
	}
}

func TestPush_EndsOverlapsWithCommandIfScheduleIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push()
	r.wantFor(mug("Mug", "1400"), 10, 4*time.Second)
	r.applied("mug", 10)
	r.wantFor(mug("Mug", "1600"), 20, 4*time.Second)
	r.applied("mug", 20)
	kept := r.priceOf("mug", "1400")
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamRetry)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := stream.GetLastMsgForSubject(t.Context(), "retry.overlap.default.mug")
		return err == nil
	}, patience, 10*time.Millisecond)
	require.NoError(t, stream.Purge(t.Context()))
	over := func() bool { return time.Now().After(kept.GetKeepUntil().AsTime().Add(2 * time.Second)) }
	require.Eventually(t, over, patience, 50*time.Millisecond)
	require.Empty(t, r.archivals())
	r.commandSync("mug")
	r.archived(kept.GetStripeId())
	localtest.Holds(t, 300*time.Millisecond, func() bool { return len(r.archivals()) == 1 }, "it is archived once")
}
