package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const patience = meshtest.Patience

func work(t *testing.T, m *mesh.Mesh,
	handle func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict,
) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive, Concurrency: 4},
			handle)
	}()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func pending(t *testing.T, m *mesh.Mesh, c topology.Consumer) uint64 {
	t.Helper()
	all, err := m.Consumers(t.Context())
	require.NoError(t, err)
	for _, s := range all {
		if s.Consumer == c {
			return s.Pending + s.InFlight
		}
	}
	t.Fatalf("no consumer %v", c)
	return 0
}

func TestConsume_AppliesVerdicts(t *testing.T) {
	m := meshtest.Start(t)
	var mu sync.Mutex
	attempts := map[string][]uint64{}
	stop := work(t, m, func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		mu.Lock()
		defer mu.Unlock()
		id := msg.Body.GetProductId()
		attempts[id] = append(attempts[id], msg.Attempt)
		switch {
		case id == "retried" && msg.Attempt < 3:
			return mesh.RetryIn(10*time.Millisecond, errors.New("not yet"))
		case id == "dead":
			return mesh.Dead(&meshv1.DeadLetter{
				Account:   "default",
				ProductId: id,
				Reason:    topology.ReasonRefused,
				Message:   "no",
			})
		default:
			return mesh.Ack()
		}
	})
	defer stop()
	for _, id := range []string{"good", "retried", "dead"} {
		meshtest.Publish(t, m, topology.Live, id, 1)
	}
	require.Eventually(t, func() bool { return pending(t, m, topology.PushLive) == 0 }, patience, 10*time.Millisecond)
	stop()
	require.Equal(t, map[string][]uint64{"good": {1}, "retried": {1, 2, 3}, "dead": {1}}, attempts)

	stream, err := m.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	msg, err := stream.GetLastMsgForSubject(t.Context(), topology.DeadSubject(topology.Push, "default", "dead"))
	require.NoError(t, err)
	require.NotEmpty(t, msg.Data)
}

func TestConsume_DeadLettersUndecodableMessage(t *testing.T) {
	m := meshtest.Start(t)
	stop := work(t, m, func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		t.Error("the handler was given what it cannot read")
		return mesh.Ack()
	})
	defer stop()
	broken := &nats.Msg{
		Subject: topology.CatalogSubject("default", topology.Live, "bro/ken"),
		Data:    []byte{0xff, 0xff},
		Header:  nats.Header{},
	}
	broken.Header.Set(mesh.VersionHeader, "12345678901234567890")
	_, err := m.JetStream().PublishMsg(t.Context(), broken)
	require.NoError(t, err)
	stream, err := m.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	letter := &meshv1.DeadLetter{}
	require.Eventually(t, func() bool {
		msg, err := stream.GetLastMsgForSubject(t.Context(), topology.DeadSubject(topology.Push, "default", "bro/ken"))
		return err == nil && proto.Unmarshal(msg.Data, letter) == nil
	}, patience, 10*time.Millisecond)
	require.Equal(t, "bro/ken", letter.GetProductId())
	require.Equal(t, uint64(12345678901234567890), letter.GetVersion())
}

func TestConsume_SeparatesAccounts(t *testing.T) {
	m := meshtest.Start(t)
	other, err := mesh.Connect(t.Context(), mesh.Config{URL: m.Conn().ConnectedUrl(), Name: "other", Account: "other"})
	require.NoError(t, err)
	defer other.Close()
	require.ErrorContains(t, other.Bind(t.Context(), topology.PushLive),
		"run `driftless topology apply --account other`")
	require.NoError(t,
		topology.Apply(t.Context(), m.JetStream(), topology.Options{Accounts: []string{"default", "other"}}))
	require.NoError(t, other.Bind(t.Context(), topology.PushLive))

	_, err = m.JetStream().Publish(t.Context(), "catalog.other.live.p", nil)
	require.NoError(t, err)
	meshtest.Publish(t, m, topology.Live, "p", 1)
	// A consumer counts a message slightly after the stream has acknowledged it.
	require.Eventually(t,
		func() bool { return pending(t, m, topology.PushLive) == 1 && pending(t, other, topology.PushLive) == 1 },
		patience, 5*time.Millisecond)
	var handled atomic.Value
	stop := work(t, m, func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		if !handled.CompareAndSwap(nil, msg.Subject) {
			t.Error("handled too", msg.Subject)
		}
		return mesh.Ack()
	})
	require.Eventually(t, func() bool { return pending(t, m, topology.PushLive) == 0 }, patience, 10*time.Millisecond)
	stop()
	require.Equal(t, "catalog.default.live.p", handled.Load())
	require.EqualValues(t, 1, pending(t, other, topology.PushLive), "the other's is still there")
}

func TestConsume_ContinuesTrace(t *testing.T) {
	m := meshtest.Start(t)
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var got atomic.Value
	stop := work(t, m, func(ctx context.Context, _ mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		got.Store(trace.SpanContextFromContext(ctx).TraceID().String())
		return mesh.Ack()
	})
	defer stop()
	ctx := telemetry.ContextWithTraceparent(t.Context(), traceparent)
	require.NoError(t, m.Publish(ctx, topology.CatalogSubject("default", topology.Live, "p"), meshtest.Change("p", 1)))
	require.Eventually(t, func() bool { return got.Load() != nil }, patience, 10*time.Millisecond)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", got.Load())
}

func TestConsume_FinishesHandlersBeforeReturn(t *testing.T) {
	m := meshtest.Start(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	stop := work(t, m, func(ctx context.Context, _ mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		close(entered)
		<-release
		if ctx.Err() == nil {
			finished.Store(true)
		}
		return mesh.Ack()
	})
	meshtest.Publish(t, m, topology.Live, "p", 1)
	<-entered
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	stop()
	require.True(t, finished.Load(), "the handler's context must outlive the stop")
	require.Eventually(t, func() bool { return pending(t, m, topology.PushLive) == 0 }, patience, 10*time.Millisecond,
		"acknowledged")
}

// TestConsume_EndsWithoutErrorIfStoppedWhileItStarts: a service that is stopped right after its start has not failed.
func TestConsume_EndsWithoutErrorIfStoppedWhileItStarts(t *testing.T) {
	m := meshtest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, mesh.Consume(ctx, m, mesh.Worker{Consumer: topology.PushLive},
		func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict { return mesh.Ack() }))
}

func TestConsume_FetchesNothingAhead(t *testing.T) {
	m := meshtest.Start(t)
	for i := range 20 {
		meshtest.Publish(t, m, topology.Live, fmt.Sprintf("p%d", i), uint64(i+1))
	}
	entered, release := make(chan struct{}, 20), make(chan struct{})
	stop := work(t, m, func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		entered <- struct{}{}
		<-release
		return mesh.Ack()
	})
	for range 4 {
		<-entered
	}
	localtest.Holds(t, 300*time.Millisecond, func() bool {
		c, err := m.JetStream().Consumer(t.Context(), topology.PushLive.Stream, topology.PushLive.Durable("default"))
		require.NoError(t, err)
		return c.CachedInfo().NumAckPending == 4
	}, "four are handled, and no other waits here while its ack wait runs")
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	stop()
}
