package reconciliation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

var observedStream = topology.ReconciliationObserved.Stream

// purge removes messages of a stream, as `nats stream purge` does.
func purge(t *testing.T, r *controltest.Rig, stream string, opts ...jetstream.StreamPurgeOpt) {
	t.Helper()
	s, err := r.Mesh.JetStream().Stream(t.Context(), stream)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context(), opts...))
}

// stripeEvent stores an event of Stripe.
func stripeEvent(t *testing.T, r *controltest.Rig, id string) {
	t.Helper()
	require.NoError(t, r.Mesh.Publish(t.Context(), topology.StripeSubject("default", "mug"), &meshv1.StripeChange{
		Account: "default", ProductId: "mug", EventId: id, Type: "product.updated", ObjectId: "mug",
	}, mesh.WithID(id)))
}

// knowsRemoval waits until equality is unknown because messages of a stream were removed, and until reconciliation has
// commanded what repairs that.
func knowsRemoval(t *testing.T, r *controltest.Rig, stream string) {
	t.Helper()
	require.Eventually(t, func() bool {
		r.Report(nil)
		unknown := r.Equality().GetUnknown()
		return strings.Contains(unknown, "messages of stream "+stream+" may have been removed before they were read") &&
			strings.Contains(unknown, "a scan of Stripe has to end, and ingestion has to compare the tables")
	}, controltest.Patience, 20*time.Millisecond)
	require.Positive(t, r.Messages(topology.StreamCommand), "both were commanded")
}

// repaired simulates the scan and the comparison, and waits until equality is known again.
func repaired(t *testing.T, r *controltest.Rig) {
	t.Helper()
	scanned(t, r)
	require.Eventually(t, func() bool {
		r.Report(compared)
		return r.Equality().GetUnknown() == ""
	}, 2*controltest.Patience, 50*time.Millisecond)
}

// inSync starts reconciliation with products that are equal on both sides, and waits until it has read everything.
func inSync(t *testing.T, r *controltest.Rig, ids ...string) (stop func()) {
	t.Helper()
	r.Config.GracePeriod = time.Hour
	stop = r.Start()
	r.AckCatalog()
	for i, id := range ids {
		r.Desire(id, "Name", uint64(10+i))
		r.Observe(id, "Name", uint64(10+i))
		r.Eventually(id, controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	}
	r.Idle()
	return stop
}

// Both products were renamed in Stripe while reconciliation was down, and OBSERVED was purged before it came back.
func TestStreams_PurgedUnreadWhileStoppedAreRepaired(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop := inSync(t, r, "mug", "cup")
	r.Pull()
	stop()
	for _, id := range []string{"mug", "cup"} {
		r.Observe(id, "Renamed in Stripe", 10)
	}
	purge(t, r, observedStream)
	r.Observe("cup", "Renamed in Stripe", 10)

	r.Start()
	knowsRemoval(t, r, observedStream)
	// A scan whose read allowance left an object unread does not do.
	now := timestamppb.New(r.Now().Add(time.Minute))
	require.NoError(t, r.Stores.Record(topology.KeyScan, "default").Put(t.Context(),
		&meshv1.ScanReport{Id: "incomplete", StartedAt: now, FinishedAt: now, Unconfirmed: 1}))
	require.Eventually(t, func() bool {
		r.Report(compared)
		unknown := r.Equality().GetUnknown()
		return strings.Contains(unknown, "a scan of Stripe has to end") &&
			!strings.Contains(unknown, "ingestion has to")
	}, controltest.Patience, 50*time.Millisecond)
	// The scan finds the name that nobody has read.
	r.Observe("mug", "Renamed in Stripe", 10)
	repaired(t, r)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
}

// A change was not read, and CATALOG was purged. The comparison publishes the product that the tables still have.
func TestStreams_PurgedUnreadCatalogIsRepaired(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop := inSync(t, r, "mug", "cup")
	r.Pull()
	stop()
	r.Desire("mug", "New", 20)
	purge(t, r, topology.StreamCatalog)

	r.Start()
	knowsRemoval(t, r, topology.StreamCatalog)
	r.Desire("mug", "New", 21)
	repaired(t, r)
	require.Equal(t, []string{"cup", "mug"}, planned(r), "the cup left the catalog")
}

// planned returns the products that differ.
func planned(r *controltest.Rig) (ids []string) {
	for _, p := range controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetProducts() {
		ids = append(ids, p.GetProductId())
	}
	return ids
}

// Pull has not read the events, although reconciliation has. So nobody knows what they said about Stripe.
func TestStreams_PurgedUnreadByPullAreRepaired(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	inSync(t, r, "mug")
	stream, err := r.Mesh.JetStream().Stream(t.Context(), topology.StreamStripe)
	require.NoError(t, err)
	r.Pull()
	for i := range 3 {
		stripeEvent(t, r, fmt.Sprint("evt_", i))
	}
	r.Idle()
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, info.State.Msgs)

	purge(t, r, topology.StreamStripe)
	knowsRemoval(t, r, topology.StreamStripe)
	repaired(t, r)
	// Nothing is left of it at the next start.
	stripeEvent(t, r, "evt_4")
	r.Idle()
	r.Known()
}

// A purge of what was read changes nothing. Neither do later states that replace those which were not read.
func TestStreams_WithoutReadOrReplacedMessagesAreKnown(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	stop := inSync(t, r, "mug", "cup")
	r.Pull()
	r.Known()
	stop()
	// Each state replaces the one before, and the last ones are far behind the position.
	for i := range 20 {
		for _, id := range []string{"mug", "cup"} {
			r.Desire(id, fmt.Sprint("Name ", i), uint64(20+i))
			r.Observe(id, fmt.Sprint("Name ", i), uint64(20+i))
		}
	}
	isNotRemoved := func(s *controlv1.GetStatusResponse) {
		if strings.Contains(s.GetEquality().GetUnknown(), "removed") {
			t.Errorf("unknown: %s", s.GetEquality().GetUnknown())
		}
	}
	stop = r.Start()
	quit := r.AsksStatus(isNotRemoved)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Eventually("cup", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	r.Idle()
	r.Known()
	quit()
	stop()
	for _, stream := range []string{observedStream, topology.StreamStripe, topology.StreamSync} {
		purge(t, r, stream)
	}
	r.Start()
	quit = r.AsksStatus(isNotRemoved)
	r.Observe("mug", "Name 19", 39)
	r.PublishOutcome("mug", "outcome")
	r.Idle()
	r.Known()
	quit()
}
