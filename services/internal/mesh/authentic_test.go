package mesh_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// errorLog collects records of level error.
type errorLog struct {
	mu   sync.Mutex
	text []string
}

func (l *errorLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (l *errorLog) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *errorLog) WithGroup(string) slog.Handler                    { return l }

func (l *errorLog) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, r.Message)
	return nil
}

func (l *errorLog) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.text {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// A user who makes the server publish a stored message again changes nothing: readers detect it by the headers.
func TestCheckRepublished_RefusesAnswersToDirectGet(t *testing.T) {
	a := underAttack(t, "nats-server.conf")
	pull := attackerAs(t, a.Server, topology.Pull)
	told := &errorLog{}
	as := func(user string) *mesh.Mesh {
		cfg := as(t, a.Server, user, os.Getenv("NATS_TLS_CERT"))
		cfg.Logger = slog.New(told)
		m, err := mesh.Connect(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(m.Close)
		return m
	}
	push, ingestion := as(topology.Push), as(topology.Ingestion)
	command, err := proto.Marshal(&meshv1.Command{Account: "default"})
	require.NoError(t, err)
	republish := func(subject, stream string, body []byte) {
		t.Helper()
		require.Empty(t, pull.request("$KV.OBSERVED.default.evil", body, mesh.VersionHeader, "1152921504606846976"))
		require.True(t, a.stores(stream, func() {
			pull.send("$JS.API.DIRECT.GET.KV_OBSERVED.$KV.OBSERVED.default.evil", subject, nil)
		}))
	}
	republish("catalog.default.live.mug", topology.StreamCatalog, forged(t, "mug"))
	republish("catalog.default.bulk.mug", topology.StreamCatalog, forged(t, "mug"))
	republish("catalog.default.live.new", topology.StreamCatalog, forged(t, "new"))
	republish("command.push.default.sync.mug", topology.StreamCommand, command)

	// Every method that reads a desired state returns the published one.
	for _, m := range []*mesh.Mesh{push, ingestion} {
		store := state.New(m).Desired()
		newest, err := store.Latest(t.Context(), "default", "mug")
		require.NoError(t, err)
		require.EqualValues(t, 7, newest.GetVersion())
		newest, err = store.LatestInLane(t.Context(), "default", topology.Bulk, "mug")
		require.NoError(t, err)
		require.Nil(t, newest)
		newest, err = store.Latest(t.Context(), "default", "new")
		require.NoError(t, err)
		require.Nil(t, newest, "nothing was ever published of it")
		many, err := store.LatestMany(t.Context(), "default", []string{"new", "mug", "cap"})
		require.NoError(t, err)
		require.Nil(t, many[0])
		require.EqualValues(t, 7, many[1].GetVersion())
		require.EqualValues(t, 7, many[2].GetVersion())
		last, err := store.LastLive(t.Context(), "default")
		require.NoError(t, err)
		require.EqualValues(t, 7, last)
		change, err := store.LastLiveChange(t.Context(), "default")
		require.NoError(t, err)
		require.EqualValues(t, 7, change.GetVersion())
	}

	// Consumers terminate them: later messages arrive, and nothing is redelivered.
	subject := topology.CommandSubject(topology.Push, "default", topology.VerbSync, "cap")
	require.NoError(t, a.reconciliation.Publish(t.Context(), subject, &meshv1.Command{Account: "default"}))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	var products []string
	ends := make(chan error, 2)
	note := func(subject string) {
		mu.Lock()
		defer mu.Unlock()
		products = append(products, subject)
	}
	go func() {
		ends <- mesh.ConsumeBatches(ctx, push, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive}, 10,
			func(_ context.Context, batch []mesh.Delivery[*catalogv1.ProductChange]) []mesh.Verdict {
				for _, d := range batch {
					note(d.Subject)
				}
				return make([]mesh.Verdict, len(batch))
			})
	}()
	go func() {
		ends <- mesh.Consume(ctx, push, mesh.Worker{Service: topology.Push, Consumer: topology.PushCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				note(msg.Subject)
				return mesh.Ack()
			})
	}()
	require.Eventually(t, func() bool {
		live, err := a.reconciliation.Consumers(t.Context())
		require.NoError(t, err)
		for _, c := range live {
			ours := c.Consumer == topology.PushLive || c.Consumer == topology.PushCommand
			if ours && c.Pending+c.InFlight > 0 {
				return false
			}
		}
		return true
	}, 30*time.Second, 20*time.Millisecond, "the refused messages stay in flight")
	stop()
	require.NoError(t, <-ends)
	require.NoError(t, <-ends)
	mu.Lock()
	defer mu.Unlock()
	require.ElementsMatch(t, []string{
		"catalog.default.live.mug", "catalog.default.live.cap", "command.push.default.sync.cap",
	}, products)
	require.Equal(t, 2, told.count("message refused"), "each service says so once a minute")
	require.Zero(t, a.state(topology.StreamDead).Msgs)
}
