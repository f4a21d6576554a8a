package push_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// writeWhileRead has push reread mug0 for a change, and writes its observed state before Stripe has answered. So push
// decides by a state that another process replaces.
func (r *rig) writeWhileRead(change func(), write func(*catalogv1.Observed)) {
	r.t.Helper()
	update := func(edit func(*catalogv1.Observed)) {
		_, err := r.stores.Observed().Update(r.t.Context(), "default", "mug0", func(o *catalogv1.Observed) error {
			edit(o)
			return nil
		})
		require.NoError(r.t, err)
	}
	update(func(o *catalogv1.Observed) { o.Stale = true })
	_, err := r.admin.AddFault(r.t.Context(), stripesim.Fault{
		Kind:   stripesim.FaultLatency,
		Method: http.MethodGet,
		Delay:  time.Second,
		Count:  1,
	})
	require.NoError(r.t, err)
	change()
	require.Eventually(r.t, func() bool {
		faults, err := r.admin.Faults(r.t.Context())
		return err == nil && len(faults) == 1 && faults[0].Hits == 1
	}, patience, 5*time.Millisecond, "the read is under way")
	update(func(o *catalogv1.Observed) {
		o.Stale = false
		write(o)
	})
}

// TestGuard_PublishesOnlyAReleaseThatIsStored: the write that would end a hold loses to one that keeps the change
// dangerous.
func TestGuard_PublishesOnlyAReleaseThatIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.shop(defaultRules, 1)
	r.want(numbered(0, 14), 20)
	r.held("mug0", 20)
	r.writeWhileRead(func() { r.want(numbered(0, 1400), 30) }, func(o *catalogv1.Observed) {
		o.Prices[0].Price.UnitAmount = "140000"
	})
	require.Equal(t, []string{"amount_change"}, rulesOf(r.held("mug0", 30)))
	require.Zero(t, r.outcomes(releasedOutcome, "mug0"), "the change was held all the time")

	r.want(numbered(0, 140000), 40)
	require.Nil(t, r.applied("mug0", 40).GetHold())
	require.Equal(t, "version 30 was held, and this one is not dangerous",
		r.nthOutcome(releasedOutcome, "mug0", 1).GetDetail())
	require.Eventually(t, func() bool { return r.observed("mug0").GetReleased() == nil }, patience, 10*time.Millisecond)
}

// TestGuard_PublishesTheReleaseOfAPushThatDied: it had stored the end of a hold, and published nothing.
func TestGuard_PublishesTheReleaseOfAPushThatDied(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.shop(defaultRules, 1)
	_, err := r.stores.Observed().Update(t.Context(), "default", "mug0", func(o *catalogv1.Observed) error {
		o.Version = 20
		o.Released = &catalogv1.Release{HeldVersion: 15, HeldSince: timestamppb.Now(), Version: 20}
		return nil
	})
	require.NoError(t, err)
	r.want(numbered(0, 1400), 20)
	out := r.nthOutcome(releasedOutcome, "mug0", 1)
	require.Equal(t, "version 15 was held, and this one is not dangerous", out.GetDetail())
	require.EqualValues(t, 20, out.GetVersion())
	require.Eventually(t, func() bool { return r.observed("mug0").GetReleased() == nil }, patience, 10*time.Millisecond)
}

// TestGuard_ForgetsAHoldThatIsNotStored: the write that would hold a change loses to one that leaves nothing to do.
func TestGuard_ForgetsAHoldThatIsNotStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.shop(archivals(0), 1)
	r.writeWhileRead(func() { r.remove("mug0", 20) }, func(o *catalogv1.Observed) {
		o.Product.Active = new(false)
		for _, p := range o.GetPrices() {
			p.Price.Active = new(false)
		}
	})
	require.Nil(t, r.applied("mug0", 20).GetHold())
	require.Zero(t, r.outcomes(heldOutcome, "mug0"))
	require.Contains(t, r.guard().GetCounts(), string(guard.ArchivedProducts), "the archival was judged")
	require.Empty(t, guard.Held(r.guard()))
}
