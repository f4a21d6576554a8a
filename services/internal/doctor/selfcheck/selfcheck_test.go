package selfcheck_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/selfcheck"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const patience = 20 * time.Second

// The process of push may publish nothing on DEAD. It says so of its own user, on a connection of its own. Its finding
// about a fault of its part goes with the fault.
func TestRun_FindsWhatThisProcessLacks(t *testing.T) {
	t.Parallel()
	broker := localtest.NATSConfig(t, `jetstream { store_dir: %q }
		authorization { users: [
			{ user: admin, password: a }, { user: push, password: p, permissions: { publish: { deny: ["dead.>"] } } }
		] }`, t.TempDir())
	admin := connect(t, config(broker, "admin:a", topology.AdminUser))
	require.NoError(t, topology.Apply(t.Context(), admin.JetStream(), topology.Options{}))
	own := config(broker, "push:p", topology.Push)
	var isBroken atomic.Bool
	isBroken.Store(true)
	checker := selfcheck.New(selfcheck.Config{
		Service: topology.Push, Mesh: connect(t, own), NATS: own, Interval: 20 * time.Millisecond,
		Probes: []doctor.Probe{{
			Name: "test", Covers: []string{doctor.StripeWritePrices},
			Run: func(_ context.Context, r *doctor.Recorder) error {
				if isBroken.Load() {
					r.Foundf(doctor.StripeWritePrices, "", "it is broken")
				}
				return nil
			},
		}},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- checker.Run(ctx) }()
	result := func(id string) *meshv1.CheckResult {
		p := &meshv1.Process{}
		checker.Describe(p)
		for _, r := range p.GetChecks() {
			if r.GetId() == id {
				return r
			}
		}
		return nil
	}
	becomes := func(id, state string) {
		t.Helper()
		require.Eventually(t, func() bool { return result(id).GetState() == state }, patience, time.Millisecond, id)
	}

	becomes(doctor.NATSPermissions, doctor.StateFinding)
	require.Equal(t, "the user of push may not publish on dead.push.default.*",
		result(doctor.NATSPermissions).GetFindings()[0].GetMessage())
	becomes(doctor.StripeWritePrices, doctor.StateFinding)
	becomes(doctor.NATSVersion, doctor.StateFine)
	becomes(doctor.ClocksNATS, doctor.StateFine)
	fine := result(doctor.ClocksNATS)
	require.True(t, fine.GetExpiresAt().AsTime().After(fine.GetAt().AsTime()), "a result does not count for ever")
	require.Equal(t, doctor.StateNotLooked, result(doctor.StripeKey).GetState(), "no probe has looked")
	isBroken.Store(false)
	becomes(doctor.StripeWritePrices, doctor.StateFine)
	cancel()
	require.NoError(t, <-done)
}

// A standby leaves the heavy probes to the active replica, and forgets what it saw when it was the active one.
func TestRun_LeavesHeavyProbesToTheActiveReplica(t *testing.T) {
	t.Parallel()
	broker := localtest.NATSConfig(t, `jetstream { store_dir: %q }
		authorization { users: [ { user: admin, password: a } ] }`, t.TempDir())
	own := config(broker, "admin:a", topology.AdminUser)
	m := connect(t, own)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	var isStandby atomic.Bool
	var looks atomic.Int64
	isStandby.Store(true)
	checker := selfcheck.New(selfcheck.Config{
		Service: topology.Ingestion, Mesh: m, NATS: own, Interval: 20 * time.Millisecond,
		LeavesHeavy: isStandby.Load,
		Heavy: []doctor.Probe{{
			Name: "test", Covers: []string{"mapping.unwatched"},
			Run: func(_ context.Context, r *doctor.Recorder) error {
				looks.Add(1)
				r.Foundf("mapping.unwatched", "", "a table")
				return nil
			},
		}},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- checker.Run(ctx) }()
	result := func(id string) *meshv1.CheckResult {
		p := &meshv1.Process{}
		checker.Describe(p)
		for _, r := range p.GetChecks() {
			if r.GetId() == id {
				return r
			}
		}
		return nil
	}
	require.Eventually(t, func() bool { return result(doctor.NATSVersion).GetState() == doctor.StateFine }, patience,
		time.Millisecond)
	require.Zero(t, looks.Load())
	require.Equal(t, doctor.LeftToActive, result("mapping.unwatched").GetReason())
	isStandby.Store(false)
	require.Eventually(t, func() bool { return result("mapping.unwatched").GetState() == doctor.StateFinding },
		patience,
		time.Millisecond)
	isStandby.Store(true)
	require.Equal(t, doctor.StateNotLooked, result("mapping.unwatched").GetState(), "it may no longer be so")
	cancel()
	require.NoError(t, <-done)
}

func config(broker *server.Server, user, name string) mesh.Config {
	return mesh.Config{URL: "nats://" + user + "@" + broker.Addr().String(), Name: name}
}

func connect(t *testing.T, cfg mesh.Config) *mesh.Mesh {
	t.Helper()
	m, err := mesh.Connect(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}
