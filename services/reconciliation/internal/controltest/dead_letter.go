package controltest

import (
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// AddDeadLetter publishes a dead letter.
func (r *Rig) AddDeadLetter(service, id, reason string, version uint64) *meshv1.DeadLetter {
	r.T.Helper()
	letter := &meshv1.DeadLetter{
		Service:   service,
		Account:   "default",
		ProductId: id,
		Version:   version,
		Reason:    reason,
		Message:   "no",
		LastAt:    timestamppb.Now(),
	}
	require.NoError(r.T, r.Mesh.DeadLetter(r.T.Context(), letter))
	require.Eventually(r.T, func() bool { return slices.Contains(r.Letters(`{}`), service+" "+id) }, Patience,
		10*time.Millisecond)
	return letter
}

// Letters lists the open letters of a selection by service and product.
func (r *Rig) Letters(request string) []string {
	r.T.Helper()
	out := []string{}
	for _, l := range Ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", request).GetDeadLetters() {
		out = append(out, l.GetService()+" "+l.GetProductId())
	}
	slices.Sort(out)
	return out
}

// IsStored reports whether DEAD holds a letter of a service about a product.
func (r *Rig) IsStored(service, id string) bool {
	r.T.Helper()
	return r.Last(topology.StreamDead, topology.DeadSubject(service, "default", id)) != nil
}

// Last returns the latest message on a subject of a stream, nil if there is none.
func (r *Rig) Last(stream, subject string) *jetstream.RawStreamMsg {
	r.T.Helper()
	s, err := r.Mesh.JetStream().Stream(r.T.Context(), stream)
	require.NoError(r.T, err)
	msg, err := s.GetLastMsgForSubject(r.T.Context(), subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	require.NoError(r.T, err)
	return msg
}

// LastCommand is the latest command on a subject of COMMAND.
func (r *Rig) LastCommand(subject string) *meshv1.Command {
	r.T.Helper()
	msg := r.Last(topology.StreamCommand, subject)
	if msg == nil {
		return nil
	}
	command := &meshv1.Command{}
	require.NoError(r.T, proto.Unmarshal(msg.Data, command))
	return command
}
