package controltest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Now is the time of the NATS server.
func (r *Rig) Now() time.Time {
	r.T.Helper()
	now, err := r.Mesh.Clock().Now(r.T.Context())
	require.NoError(r.T, err)
	return now
}

// Report stores the report of an ingestion that has captured everything until now.
func (r *Rig) Report(edit func(*meshv1.CaptureReport)) *meshv1.CaptureReport {
	r.T.Helper()
	at := r.Now()
	sequence, err := r.Mesh.LastSequence(r.T.Context(), topology.StreamCatalog)
	require.NoError(r.T, err)
	report := &meshv1.CaptureReport{
		At:              timestamppb.New(at),
		State:           meshv1.CaptureState_CAPTURE_STATE_READING,
		CapturedUpTo:    timestamppb.New(at),
		CatalogSequence: sequence,
		Version:         1,
	}
	if edit != nil {
		edit(report)
	}
	require.NoError(r.T, r.Stores.Capture("default").Put(r.T.Context(), report))
	return report
}

// Pull simulates a pull that polls Stripe's events and has nothing to do.
func (r *Rig) Pull() {
	r.T.Helper()
	require.NoError(r.T,
		r.Stores.Record(topology.KeyPoll, "default").Put(r.T.Context(), &meshv1.PollReport{
			At:       timestamppb.Now(),
			Interval: durationpb.New(time.Hour),
		}))
	r.Receive(topology.PullStripe)
}

// Receive fetches a consumer's messages without acknowledging them.
func (r *Rig) Receive(c topology.Consumer) (stop func()) {
	r.T.Helper()
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Pull, Consumer: c},
			func(context.Context, mesh.Message[*meshv1.StripeChange]) mesh.Verdict {
				return mesh.Busy(time.Hour)
			})
	}()
	stop = func() { cancel(); <-done }
	r.T.Cleanup(func() {
		if ctx.Err() == nil {
			stop()
		}
	})
	return stop
}

// Equality returns the status' answer about equality.
func (r *Rig) Equality() *controlv1.Equality {
	r.T.Helper()
	plan := Ask[controlv1.PlanResponse](r, "Plan", `{}`).GetEquality()
	for _, other := range []*controlv1.Equality{
		Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetEquality(),
		Ask[controlv1.ListDriftResponse](r, "ListDrift", `{}`).GetEquality(),
	} {
		require.NotNil(r.T, other, "every answer has it")
	}
	return plan
}
