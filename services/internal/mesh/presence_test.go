package mesh_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestConsume_ContinuesAfterResourceIsCreatedAgain(t *testing.T) {
	url, _ := localtest.NATS(t)
	admin := open(t, url)
	js := admin.JetStream()
	apply := func() { require.NoError(t, topology.Apply(t.Context(), js, topology.Options{})) }
	apply()
	told := &warnings{}
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: topology.Pull, Logger: slog.New(told)})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, m.Bind(t.Context(), topology.PushLive, topology.ReconciliationCatalog))
	links, err := state.New(m).Links().Watch(t.Context(), "default")
	require.NoError(t, err)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var one, many atomic.Int64
	ends := make(chan error, 3)
	go func() {
		ends <- mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive, Concurrency: 3},
			func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
				one.Add(1)
				return mesh.Ack()
			})
	}()
	go func() {
		ends <- mesh.ConsumeBatches(ctx, m,
			mesh.Worker{Service: topology.Reconciliation, Consumer: topology.ReconciliationCatalog}, 10,
			func(_ context.Context, batch []mesh.Delivery[*catalogv1.ProductChange]) []mesh.Verdict {
				many.Add(int64(len(batch)))
				return make([]mesh.Verdict, len(batch))
			})
	}()
	go func() { ends <- links.Follow(ctx) }()
	works := func(what string) {
		t.Helper()
		before, beforeMany := one.Load(), many.Load()
		meshtest.Publish(t, admin, topology.Live, "mug", 1)
		require.Eventually(t, func() bool { return one.Load() > before && many.Load() > beforeMany }, patience,
			10*time.Millisecond, what)
	}
	works("from the start")

	durable := topology.PushLive.Durable("default")
	for _, c := range []struct {
		what   string
		remove func() error
		// gone lists the resources that are missing.
		gone string
	}{
		{
			"a stream", func() error { return js.DeleteStream(t.Context(), topology.StreamCatalog) },
			"consumer push-live-default of stream CATALOG",
		},
		{
			"a consumer", func() error { return js.DeleteConsumer(t.Context(), topology.StreamCatalog, durable) },
			"consumer push-live-default of stream CATALOG",
		},
		{"a bucket", func() error { return js.DeleteKeyValue(t.Context(), topology.BucketLink) }, "bucket LINK"},
	} {
		before := len(told.all())
		require.NoError(t, c.remove(), c.what)
		require.Eventually(t, func() bool {
			err := m.Ready(t.Context())
			return err != nil && strings.Contains(err.Error(), c.gone) && strings.Contains(err.Error(),
				"driftless topology apply")
		}, patience, 10*time.Millisecond, c.what)
		apply()
		require.Eventually(t, func() bool { return m.Ready(t.Context()) == nil }, patience, 10*time.Millisecond, c.what)
		works(c.what)
		// Each of the stream's two consumers is reported when it is deleted and when it is created.
		require.LessOrEqual(t, len(told.all())-before, 4, told.all()[before:])
		require.GreaterOrEqual(t, len(told.all())-before, 2)
	}
	require.NoError(t, state.New(admin).Links().Put(t.Context(), "default", "prod_1", "mug"))
	require.Eventually(t, func() bool { return links.Product("prod_1") == "mug" }, patience, 10*time.Millisecond)

	// Deleted and created again between two polls.
	cons, err := js.Consumer(t.Context(), topology.StreamCatalog, durable)
	require.NoError(t, err)
	config := cons.CachedInfo().Config
	require.NoError(t, js.DeleteConsumer(t.Context(), topology.StreamCatalog, durable))
	_, err = js.CreateConsumer(t.Context(), topology.StreamCatalog, config)
	require.NoError(t, err)
	works("at once")
	stop()
	for range cap(ends) {
		require.NoError(t, <-ends)
	}
}

func TestConsume_ContinuesAfterStreamWasDeletedWhileDisconnected(t *testing.T) {
	url, _ := localtest.NATS(t)
	admin := open(t, url)
	js := admin.JetStream()
	require.NoError(t, topology.Apply(t.Context(), js, topology.Options{}))
	m := open(t, url)
	ctx, stop := context.WithCancel(t.Context())
	var n atomic.Int64
	end := make(chan error, 1)
	go func() {
		end <- mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive},
			func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
				n.Add(1)
				return mesh.Ack()
			})
	}()
	meshtest.Publish(t, admin, topology.Live, "mug", 1)
	require.Eventually(t, func() bool { return n.Load() == 1 }, patience, 10*time.Millisecond)
	require.NoError(t, m.Conn().ForceReconnect())
	require.NoError(t, js.DeleteStream(t.Context(), topology.StreamCatalog))
	require.Eventually(t, func() bool { return m.Ready(t.Context()) != nil && m.Conn().IsConnected() }, patience,
		10*time.Millisecond)
	require.NoError(t, topology.Apply(t.Context(), js, topology.Options{}))
	meshtest.Publish(t, admin, topology.Live, "mug", 2)
	require.Eventually(t, func() bool { return n.Load() == 2 }, patience, 10*time.Millisecond)
	stop()
	require.NoError(t, <-end)
	_, err := js.Stream(t.Context(), topology.StreamCatalog)
	require.NotErrorIs(t, err, jetstream.ErrStreamNotFound)
}
