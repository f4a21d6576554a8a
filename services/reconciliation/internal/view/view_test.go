package view

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// completeLedger is the ledger's answer that it has everything.
func completeLedger(context.Context) (string, error) { return "", nil }

// newReader returns a mesh without services, and a reader of it.
func newReader(t *testing.T) (*mesh.Mesh, *Reader) {
	t.Helper()
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	return m, New(m, "default", completeLedger, func() string { return "" }, slog.New(slog.DiscardHandler))
}

// TestConvergence_FollowsRealMesh follows a change through both lanes, a failure and its retry.
func TestConvergence_FollowsRealMesh(t *testing.T) {
	m, r := newReader(t)

	version := uint64(100)
	report := func() time.Time {
		t.Helper()
		now, err := m.Clock().Now(t.Context())
		require.NoError(t, err)
		sequence, err := m.LastSequence(t.Context(), topology.StreamCatalog)
		require.NoError(t, err)
		require.NoError(t, state.New(m).Capture("default").Put(t.Context(), &meshv1.CaptureReport{
			At:              timestamppb.New(now),
			State:           meshv1.CaptureState_CAPTURE_STATE_READING,
			CapturedUpTo:    timestamppb.New(now),
			CatalogSequence: sequence,
			Version:         version,
		}))
		return now
	}
	update := func(times int) map[string]time.Time {
		t.Helper()
		for range times {
			require.NoError(t, r.updateLanes(t.Context()))
		}
		_, converged := r.Latest()
		return converged
	}
	publish := func(lane topology.Lane, product string) {
		version++
		change := &catalogv1.ProductChange{Account: "default", ProductId: product, Version: version}
		require.NoError(t,
			m.Publish(t.Context(), topology.CatalogSubject("default", lane, product), change,
				mesh.WithVersion(version)))
	}

	require.Empty(t, update(3), "nothing was reported")
	first := report()
	require.Equal(t, map[string]time.Time{"live": first, "bulk": first}, update(2), "it goes on while idle")

	publish(topology.Live, "mug")
	publish(topology.Bulk, "cup")
	report()
	require.Equal(t, map[string]time.Time{"live": first, "bulk": first}, update(3), "push has come to neither")
	handle[catalogv1.ProductChange](t, m, topology.PushBulk, 1, nil)
	bulk := report()
	require.Equal(t, map[string]time.Time{"live": first, "bulk": bulk}, update(2), "each lane for itself")

	// The mug fails: push stores a retry and acknowledges the message.
	require.NoError(t,
		m.RetryLater(t.Context(), topology.Push,
			&meshv1.Retry{Account: "default", ProductId: "mug", Version: version - 1, Attempts: 5, Lane: "live"},
			time.Second))
	handle[catalogv1.ProductChange](t, m, topology.PushLive, 1, nil)
	second := report()
	require.Equal(t, map[string]time.Time{"live": first, "bulk": second}, update(2), "what failed is not in Stripe")

	// The retry comes due and waits for push, then succeeds.
	require.Eventually(t, func() bool {
		all, err := m.Consumers(t.Context())
		require.NoError(t, err)
		return statusOf(all, topology.PushRetry).Pending == 1
	}, 10*time.Second, 10*time.Millisecond)
	report()
	require.Equal(t, first, update(3)["live"])
	handle[meshv1.Retry](t, m, topology.PushRetry, 1, nil)
	last := report()
	require.Equal(t, map[string]time.Time{"live": last, "bulk": last}, update(3))

	// The guard holds a change: an operator decides.
	publish(topology.Live, "pot")
	require.NoError(t,
		m.RetryLater(t.Context(), topology.Push,
			&meshv1.Retry{Account: "default", ProductId: "pot", Version: version, Lane: "bulk"}, time.Hour))
	handle[catalogv1.ProductChange](t, m, topology.PushLive, 1, nil)
	held := report()
	require.Equal(t, map[string]time.Time{"live": held, "bulk": held}, update(2))

	// CATALOG is created again, so earlier conclusions are invalid.
	require.NoError(t, m.JetStream().DeleteStream(t.Context(), topology.StreamCatalog))
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	again := report()
	require.Empty(t, update(1))
	require.Equal(t, map[string]time.Time{"live": again, "bulk": again}, update(2))
}

func TestLatest_ForgetsWithoutUpdates(t *testing.T) {
	r := New(nil, "default", completeLedger, func() string { return "" }, slog.New(slog.DiscardHandler))
	equality, converged := r.Latest()
	require.Nil(t, equality)
	require.Empty(t, converged)
	r.last, r.lastSeen = complete().equality(), time.Now()
	r.lanes.converged = map[string]time.Time{"live": noon}
	equality, converged = r.Latest()
	require.Equal(t, noon.Add(-2*time.Second), equality.GetAsOf().AsTime())
	require.Equal(t, map[string]time.Time{"live": noon}, converged)
	r.lastSeen = time.Now().Add(-time.Minute)
	equality, converged = r.Latest()
	require.Nil(t, equality, "no recent update")
	require.Equal(t, map[string]time.Time{"live": noon}, converged, "that stays true")
}

// TestActivity_CountsProgress checks that progress is a sign of life: a service at its limit requests nothing.
func TestActivity_CountsProgress(t *testing.T) {
	var s lastActivity
	see := func(at, waiting int, delivered uint64) time.Duration {
		all := []mesh.ConsumerStatus{
			{Consumer: topology.PushLive, Waiting: waiting, Delivered: delivered},
			{Consumer: topology.PullStripe, Waiting: 7},
		}
		return s.update(second(at), all, pushConsumers).inactive
	}
	require.Zero(t, see(0, 0, 5), "it is not known yet")
	require.Equal(t, 3*time.Second, see(3, 0, 5))
	require.Zero(t, see(4, 0, 6), "it takes messages")
	require.Equal(t, 2*time.Second, see(6, 0, 6))
	require.Zero(t, see(7, 1, 6), "it asks for one")
	require.Equal(t, 9*time.Second, see(16, 0, 6))
}

// The ledger has to read what a scan has found, however little that is.
func TestRead_WaitsUntilTheLedgerHasAScan(t *testing.T) {
	m, r := newReader(t)
	stores := state.New(m)
	const unread = "reconciliation has not read everything that the latest scan found"
	require.NoError(t, stores.Record(topology.KeyPoll, "default").Put(t.Context(),
		&meshv1.PollReport{At: timestamppb.Now()}))
	find := func(product string) {
		t.Helper()
		_, err := stores.Observed().Update(t.Context(), "default", product, func(o *catalogv1.Observed) error {
			o.Version = 1
			return nil
		})
		require.NoError(t, err)
	}
	stripeUnknown := func() string {
		t.Helper()
		v, err := r.Read(t.Context())
		require.NoError(t, err)
		require.Contains(t, v.Equality.GetUnknown(), v.StripeUnknown)
		return v.StripeUnknown
	}
	consumers, err := m.Consumers(t.Context())
	require.NoError(t, err)
	find("mug")
	require.NotEqual(t, unread, stripeUnknown(), "no scan has ended")
	revision, err := stores.Observed().Revision(t.Context())
	require.NoError(t, err)
	scan := &meshv1.ScanReport{
		Id: "s1", StartedAt: timestamppb.Now(), FinishedAt: timestamppb.Now(), ObservedRevision: revision,
	}
	require.NoError(t, stores.Record(topology.KeyScan, "default").Put(t.Context(), scan))
	require.Equal(t, unread, stripeUnknown())
	isUnread, err := r.isScanUnread(t.Context(), scan, statusOf(consumers, topology.ReconciliationObserved))
	require.NoError(t, err)
	require.True(t, isUnread, "nothing waited when the consumer was read")
	require.NoError(t, stores.Record(topology.KeyScan, "default").Put(t.Context(),
		&meshv1.ScanReport{Id: "s2", StartedAt: timestamppb.Now(), ObservedRevision: revision}))
	require.Equal(t, unread, stripeUnknown(), "another scan has begun")
	handle[catalogv1.Observed](t, m, topology.ReconciliationObserved, 1, nil)
	require.NotEqual(t, unread, stripeUnknown())
	find("cup")
	require.NotEqual(t, unread, stripeUnknown(), "the scan has not found that")
}
