package mesh_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/metrics"
)

func TestMetricsKnowEveryReason(t *testing.T) {
	require.ElementsMatch(t, mesh.Reasons(), metrics.DeadReason.Values)
}

func TestALetterIsForgottenUnlessANewerOneIsInItsPlace(t *testing.T) {
	m := start(t)
	letter := func(product string) *meshv1.DeadLetter {
		l := &meshv1.DeadLetter{Service: mesh.Push, Account: "default", ProductId: product, Reason: mesh.ReasonRefused}
		require.NoError(t, m.DeadLetter(t.Context(), l))
		return l
	}
	held := func(product string) bool {
		stream, err := m.JetStream().Stream(t.Context(), mesh.StreamDead)
		require.NoError(t, err)
		_, err = stream.GetLastMsgForSubject(t.Context(), mesh.DeadSubject(mesh.Push, "default", product))
		if err != nil {
			require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
		}
		return err == nil
	}
	older, newer, other := letter("a mug"), letter("a mug"), letter("cup")
	require.NoError(t, m.ForgetLetter(t.Context(), older))
	require.True(t, held("a mug"))
	require.NoError(t, m.ForgetLetter(t.Context(), newer))
	require.False(t, held("a mug"))
	require.True(t, held("cup"))
	require.NoError(t, m.ForgetLetter(t.Context(), newer), "it is gone already")
	require.NoError(t, m.ForgetLetter(t.Context(), other))
	require.False(t, held("cup"))
}
