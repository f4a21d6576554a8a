package mesh_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestDeadLetter_StoresIDsOfAnyLength(t *testing.T) {
	m := meshtest.Start(t)
	stores := state.New(m)
	for _, id := range []string{strings.Repeat("é", 2500), strings.Repeat("é", 2499) + "e", strings.Repeat("p", 5000)} {
		letter := &meshv1.DeadLetter{
			Service:   topology.Push,
			Account:   "default",
			ProductId: id,
			Reason:    topology.ReasonRefused,
		}
		require.NoError(t, m.DeadLetter(t.Context(), letter))
		meshtest.Publish(t, m, topology.Live, id, 1)
		newest, err := stores.Desired().Latest(t.Context(), "default", id)
		require.NoError(t, err)
		require.Equal(t, id, newest.GetProductId())
		_, err = stores.Observed().Update(t.Context(), "default", id, func(*catalogv1.Observed) error { return nil })
		require.NoError(t, err)
		many, err := stores.Observed().GetMany(t.Context(), "default", []string{id})
		require.NoError(t, err)
		require.NotZero(t, many[0].Revision)
		require.Equal(t, id, many[0].Observed.GetProductId())
		require.NoError(t, stores.Links().Put(t.Context(), "default", id, "mug"))
		product, err := stores.Links().Product(t.Context(), "default", id)
		require.NoError(t, err)
		require.Equal(t, "mug", product)
		require.NoError(t,
			m.RetryLater(t.Context(), topology.Push, &meshv1.Retry{Account: "default", ProductId: id, Version: 1},
				time.Hour))
		require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", id, 1, false))
	}
	require.NoError(t, m.Ready(t.Context()))
}

func TestDeadLetter_UnknownProductForShortenedToken(t *testing.T) {
	m := meshtest.Start(t)
	subject := topology.CatalogSubject("default", topology.Live, strings.Repeat("é", 700))
	_, err := m.JetStream().Publish(t.Context(), subject, []byte("\xff"))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive},
			func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict { return mesh.Ack() })
	}()
	dead, err := m.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	letter := &meshv1.DeadLetter{}
	require.Eventually(t, func() bool {
		msg, err := dead.GetLastMsgForSubject(t.Context(), topology.DeadSubject(topology.Push, "default", "unknown"))
		return err == nil && proto.Unmarshal(msg.Data, letter) == nil
	}, patience, 10*time.Millisecond)
	require.Equal(t, "unknown", letter.GetProductId())
	require.Equal(t, subject, letter.GetSubject())
	stop()
	require.NoError(t, <-done)
}

func TestDeleteLetter_KeepsLaterLetter(t *testing.T) {
	m := meshtest.Start(t)
	letter := func(product string) *meshv1.DeadLetter {
		l := &meshv1.DeadLetter{
			Service:   topology.Push,
			Account:   "default",
			ProductId: product,
			Reason:    topology.ReasonRefused,
		}
		require.NoError(t, m.DeadLetter(t.Context(), l))
		return l
	}
	held := func(product string) bool {
		stream, err := m.JetStream().Stream(t.Context(), topology.StreamDead)
		require.NoError(t, err)
		_, err = stream.GetLastMsgForSubject(t.Context(), topology.DeadSubject(topology.Push, "default", product))
		if err != nil {
			require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
		}
		return err == nil
	}
	older, newer, other := letter("a mug"), letter("a mug"), letter("cup")
	require.NoError(t, m.DeleteLetter(t.Context(), older))
	require.True(t, held("a mug"))
	require.NoError(t, m.DeleteLetter(t.Context(), newer))
	require.False(t, held("a mug"))
	require.True(t, held("cup"))
	require.NoError(t, m.DeleteLetter(t.Context(), newer), "it is gone already")
	require.NoError(t, m.DeleteLetter(t.Context(), other))
	require.False(t, held("cup"))
}

func TestOpenLetters_ReturnsLetterOfEachProduct(t *testing.T) {
	m := meshtest.Start(t)
	letter := &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   "default",
		ProductId: "a mug",
		Reason:    topology.ReasonQueryFailed,
	}
	require.NoError(t, m.DeadLetter(t.Context(), letter))
	require.NoError(t,
		m.DeadLetter(t.Context(), &meshv1.DeadLetter{Service: topology.Push, Account: "default", ProductId: "cap"}))
	ask := func() []*meshv1.DeadLetter {
		open, err := m.OpenLetters(t.Context(), topology.Ingestion, "default", []string{"hat", "a mug", "cap"})
		require.NoError(t, err)
		return open
	}
	open := ask()
	require.Equal(t, topology.ReasonQueryFailed, open[1].GetReason())
	require.Nil(t, open[0])
	require.Nil(t, open[2], "the letter on cap is push's")
	require.NoError(t, m.DeleteLetter(t.Context(), letter))
	require.Nil(t, ask()[1])
}
