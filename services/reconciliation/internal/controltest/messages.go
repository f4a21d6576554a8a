package controltest

import (
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Messages returns the number of messages in a stream.
func (r *Rig) Messages(stream string) uint64 {
	r.T.Helper()
	s, err := r.Mesh.JetStream().Stream(r.T.Context(), stream)
	require.NoError(r.T, err)
	info, err := s.Info(r.T.Context())
	require.NoError(r.T, err)
	return info.State.Msgs
}

// RefuseMessages makes a stream refuse every message until the returned function is called.
func (r *Rig) RefuseMessages(stream string) (accept func()) {
	r.T.Helper()
	set := func(maxSize int32) {
		s, err := r.Mesh.JetStream().Stream(r.T.Context(), stream)
		require.NoError(r.T, err)
		cfg := s.CachedInfo().Config
		cfg.MaxMsgSize = maxSize
		_, err = r.Mesh.JetStream().UpdateStream(r.T.Context(), cfg)
		require.NoError(r.T, err)
	}
	set(1)
	return func() { set(-1) }
}

// Idle waits until reconciliation has processed every message.
func (r *Rig) Idle() {
	r.T.Helper()
	require.Eventually(r.T, func() bool {
		for _, c := range Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetConsumers() {
			if c.GetConsumer() == topology.Reconciliation && c.GetPending()+c.GetInFlight() > 0 {
				return false
			}
		}
		return true
	}, 3*Patience, 20*time.Millisecond)
}

// PublishOutcome publishes an outcome, as push does.
func (r *Rig) PublishOutcome(product, id string) {
	r.T.Helper()
	r.publish(&meshv1.Outcome{
		Id:        id,
		ProductId: product,
		Kind:      meshv1.OutcomeKind_OUTCOME_KIND_APPLIED,
		At:        timestamppb.Now(),
	})
}

// PublishOutcomeOf publishes an outcome of a kind.
func (r *Rig) PublishOutcomeOf(product string, kind meshv1.OutcomeKind, at time.Time, detail string) {
	r.T.Helper()
	r.publish(&meshv1.Outcome{
		Id:        kind.String() + product,
		ProductId: product,
		Kind:      kind,
		At:        timestamppb.New(at),
		Detail:    detail,
	})
}

func (r *Rig) publish(o *meshv1.Outcome) {
	r.T.Helper()
	o.Account, o.Version = "default", 1
	require.NoError(r.T, r.Mesh.Publish(r.T.Context(), topology.SyncSubject("default", o.GetKind(), o.GetProductId()),
		o, mesh.WithID(o.GetId())))
}
