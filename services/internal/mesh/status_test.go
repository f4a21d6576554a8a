package mesh_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func status(t *testing.T, m *mesh.Mesh, c topology.Consumer) mesh.ConsumerStatus {
	t.Helper()
	all, err := m.Consumers(t.Context())
	require.NoError(t, err)
	for _, s := range all {
		if s.Consumer == c {
			return s
		}
	}
	t.Fatalf("no consumer %v", c)
	return mesh.ConsumerStatus{}
}

func TestConsumers_ReportOpenRequests(t *testing.T) {
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	require.Zero(t, status(t, m, topology.PushLive).Waiting)

	worker, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "push"})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(context.Background(), worker,
			mesh.Worker{Service: topology.Push, Consumer: topology.PushLive, Concurrency: 2},
			func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
				return mesh.Ack()
			})
	}()
	require.Eventually(t, func() bool { return status(t, m, topology.PushLive).Waiting == 2 }, patience,
		10*time.Millisecond)
	meshtest.Publish(t, m, topology.Live, "mug", 1)
	require.Eventually(t, func() bool {
		s := status(t, m, topology.PushLive)
		return s.Delivered == 1 && s.Pending+s.InFlight == 0
	}, patience, 10*time.Millisecond)
	// This simulates a killed process: its connection is gone, and its requests have not expired.
	worker.Close()
	require.Eventually(t, func() bool { return status(t, m, topology.PushLive).Waiting == 0 }, patience,
		10*time.Millisecond)
	<-done
}

func TestOldestMessage_ReturnsFirstUnacknowledged(t *testing.T) {
	m := meshtest.Start(t)
	oldest := func() uint64 {
		t.Helper()
		sequence, stored, err := m.OldestMessage(t.Context(), status(t, m, topology.PushLive))
		require.NoError(t, err)
		require.Equal(t, sequence == 0, stored.IsZero())
		return sequence
	}
	require.Zero(t, oldest())
	meshtest.Publish(t, m, topology.Bulk, "cup", 1)
	meshtest.Publish(t, m, topology.Bulk, "pot", 2)
	require.Zero(t, oldest(), "they are of another lane")
	meshtest.Publish(t, m, topology.Live, "mug", 3)
	meshtest.Publish(t, m, topology.Live, "jug", 4)
	require.EqualValues(t, 3, oldest())
}

func TestRetries_ReturnsAtMostLimit(t *testing.T) {
	m := meshtest.Start(t)
	none, more, err := m.Retries(t.Context(), topology.Push, "default", 3)
	require.NoError(t, err)
	require.Empty(t, none)
	require.False(t, more)
	for i := range 4 {
		retry := &meshv1.Retry{
			Account:   "default",
			ProductId: fmt.Sprintf("p%d", i),
			Version:   uint64(i + 1),
			Attempts:  2,
			Lane:      "live",
			Error:     "500",
		}
		require.NoError(t, m.RetryLater(t.Context(), topology.Push, retry, time.Hour))
	}
	require.NoError(t,
		m.RetryLater(t.Context(), topology.Push, &meshv1.Retry{Account: "other", ProductId: "p0", Version: 9},
			time.Hour))
	require.NoError(t,
		m.RetryLater(t.Context(), topology.Push,
			&meshv1.Retry{Account: "default", ProductId: "p0", Version: 9, Attempts: 3}, time.Hour))
	got, more, err := m.Retries(t.Context(), topology.Push, "default", 4)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, got, 4)
	require.Equal(t, "p0", got[3].GetProductId(), "the latest of a product takes the place of an earlier one")
	require.EqualValues(t, 3, got[3].GetAttempts())
	require.Equal(t, "it has failed", got[3].GetError())
	got, more, err = m.Retries(t.Context(), topology.Push, "default", 3)
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, got, 3)

	one, err := m.RetryOf(t.Context(), topology.Push, "default", "p2")
	require.NoError(t, err)
	require.Equal(t, "500", one.GetError())
	one, err = m.RetryOf(t.Context(), topology.Push, "default", "unknown")
	require.NoError(t, err)
	require.Nil(t, one)
}

func TestConsumers_ListsAllStreams(t *testing.T) {
	m := meshtest.Start(t)
	for i := range 3 {
		meshtest.Publish(t, m, topology.Live, "p", uint64(i+1))
	}
	// The server counts new messages of a consumer slightly after it has stored them.
	for _, c := range []topology.Consumer{topology.PushLive, topology.ReconciliationCatalog} {
		require.Eventually(t, func() bool { return pending(t, m, c) == 3 }, patience, 10*time.Millisecond)
	}
	calls, err := m.Conn().SubscribeSync("$JS.API.CONSUMER.>")
	require.NoError(t, err)
	defer func() { require.NoError(t, calls.Unsubscribe()) }()
	all, err := m.Consumers(t.Context())
	require.NoError(t, err)
	require.NoError(t, m.Conn().Flush())
	backlog, streams := map[topology.Consumer]uint64{}, map[string]bool{}
	for _, c := range all {
		backlog[c.Consumer] = c.Pending
		streams["$JS.API.CONSUMER.LIST."+c.Stream] = true
	}
	n, _, err := calls.Pending()
	require.NoError(t, err)
	require.Len(t, streams, n, "one call for each stream")
	for range n {
		call, err := calls.NextMsg(patience)
		require.NoError(t, err)
		require.True(t, streams[call.Subject], call.Subject)
	}
	require.EqualValues(t, 3, backlog[topology.PushLive])
	require.EqualValues(t, 3, backlog[topology.ReconciliationCatalog])
	require.Contains(t, backlog, topology.ReconciliationObserved)

	require.NoError(t,
		m.JetStream().DeleteConsumer(t.Context(), topology.PushBulk.Stream, topology.PushBulk.Durable("default")))
	_, err = m.Consumers(t.Context())
	require.ErrorContains(t, err, "CATALOG has no consumer push-bulk")
}
