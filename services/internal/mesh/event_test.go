package mesh_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func someEvents(from, to int) (out []mesh.Event) {
	for i := from; i < to; i++ {
		out = append(out, mesh.Event{
			Subject: topology.EventsSubject("default", "price.live"),
			ID:      fmt.Sprintf("e%d", i),
			Body:    fmt.Appendf(nil, `{"id":"e%d"}`, i),
		})
	}
	return out
}

// storedEvents returns the ids of the events in the stream, in order.
func storedEvents(t *testing.T, m *mesh.Mesh) (ids []string) {
	t.Helper()
	s, err := m.JetStream().Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	for sequence := uint64(1); sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		msg, err := s.GetMsg(t.Context(), sequence)
		require.NoError(t, err)
		require.Equal(t, "application/cloudevents+json", msg.Header.Get("Content-Type"))
		var event struct {
			ID string `json:"id"`
		}
		require.NoError(t, json.Unmarshal(msg.Data, &event))
		ids = append(ids, event.ID)
	}
	return ids
}

// A call that was repeated by another process stores nothing twice, and keeps the order.
func TestPublishEvents_StoresEachOnceInOrder(t *testing.T) {
	t.Parallel()
	m := meshtest.Start(t)
	for _, part := range [][2]int{{0, 40}, {0, 60}, {60, 63}, {60, 64}} {
		events := someEvents(part[0], part[1])
		n, err := m.PublishEvents(t.Context(), events)
		require.NoError(t, err)
		require.Len(t, events, n)
	}
	var want []string
	for i := range 64 {
		want = append(want, fmt.Sprintf("e%d", i))
	}
	require.Equal(t, want, storedEvents(t, m))

	large := someEvents(64, 66)
	large[1].Body = make([]byte, m.MaxBody()+1<<16)
	n, err := m.PublishEvents(t.Context(), large)
	require.Error(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, m.JetStream().DeleteStream(t.Context(), topology.StreamEvents))
	n, err = m.PublishEvents(t.Context(), large[:1])
	require.True(t, mesh.IsUnavailable(err), "%v", err)
	require.Zero(t, n)
}

// Without events a mesh has no stream for them, and reconciliation can still read the sizes of the others.
func TestStreams_WithoutEvents(t *testing.T) {
	t.Parallel()
	m := meshtest.Start(t)
	require.NoError(t, m.JetStream().DeleteStream(t.Context(), topology.StreamEvents))
	off := topology.Options{NoEvents: true}
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), off))
	_, err := m.JetStream().Stream(t.Context(), topology.StreamEvents)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	for _, names := range [][]string{off.StreamNames(), topology.StreamNames()} {
		// The second time the streams are bound.
		for range 2 {
			sizes, err := m.Streams(t.Context(), names)
			require.NoError(t, err)
			require.Len(t, sizes, len(topology.StreamNames())-1)
		}
	}
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	sizes, err := m.Streams(t.Context(), topology.StreamNames())
	require.NoError(t, err)
	require.Len(t, sizes, len(topology.StreamNames()))
	require.NoError(t, m.JetStream().DeleteStream(t.Context(), topology.StreamEvents))
	sizes, err = m.Streams(t.Context(), topology.StreamNames())
	require.NoError(t, err, "the stream was there, and is gone")
	require.Len(t, sizes, len(topology.StreamNames())-1)
}

// TestReaderPermissions_ReadEventsOnly reads events as a program with the permissions of a reader, and tries the rest.
func TestReaderPermissions_ReadEventsOnly(t *testing.T) {
	t.Parallel()
	users := topology.PermissionsFile(topology.Options{}, "billing-app") + "accounts { A { jetstream: enabled, users: [\n"
	for _, user := range []string{
		topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation, topology.AdminUser, "billing-app",
	} {
		variable := "$DRIFTLESS_" + strings.ToUpper(user)
		if user == "billing-app" {
			variable = "$DRIFTLESS_READER_BILLING_APP"
		}
		users += fmt.Sprintf("{ user: %q, password: secret, permissions: %s }\n", user, variable)
	}
	password := regexp.MustCompile(`\$[A-Z_]+_PASSWORD`)
	accounts := password.ReplaceAllString(topology.AccountsFile(topology.Options{}, "billing-app"), "secret")
	for name, text := range map[string]string{
		"in one account": users + "] } }\n",
		"isolated":       "accounts {\n" + accounts + "}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := filepath.Join(t.TempDir(), "nats.conf")
			text += "listen: \"127.0.0.1:-1\"\njetstream { store_dir: \"" + t.TempDir() + "\" }\n"
			require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
			readsEventsOnly(t, localtest.NATSConfigured(t, conf).Addr().String(), name == "isolated")
		})
	}
	require.Error(t, topology.CheckReader("Billing App"))
	require.Error(t, topology.CheckReader(topology.Push))
	require.NoError(t, topology.CheckReader("billing-app"))
}

func readsEventsOnly(t *testing.T, address string, isolated bool) {
	t.Helper()
	clients := map[string]*mesh.Mesh{}
	for _, user := range []string{topology.AdminUser, topology.Reconciliation} {
		m, err := mesh.Connect(t.Context(), mesh.Config{
			URL: "nats://" + user + ":secret@" + address, Name: user, Logger: slog.New(refusals{t, user}),
		})
		require.NoError(t, err)
		t.Cleanup(m.Close)
		clients[user] = m
	}
	require.NoError(t, topology.Apply(t.Context(), clients[topology.AdminUser].JetStream(), topology.Options{}))

	refused := make(chan string, 100)
	reader, err := nats.Connect("nats://billing-app:secret@"+address,
		nats.CustomInboxPrefix(topology.InboxPrefix("billing-app")),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err.Error() }))
	require.NoError(t, err)
	t.Cleanup(reader.Close)
	js, err := jetstream.New(reader, jetstream.WithDefaultTimeout(5*time.Second))
	require.NoError(t, err)
	live, err := reader.SubscribeSync(topology.EventsSubject("default", ">"))
	require.NoError(t, err)
	require.NoError(t, reader.Flush())
	_, err = clients[topology.Reconciliation].PublishEvents(t.Context(), someEvents(0, 2))
	require.NoError(t, err)

	consumer, err := js.CreateOrUpdateConsumer(t.Context(), topology.StreamEvents, jetstream.ConsumerConfig{
		Durable:       topology.ReaderConsumer("billing-app", "default"),
		FilterSubject: topology.EventsSubject("default", ">"),
		AckPolicy:     jetstream.AckExplicitPolicy,
	})
	require.NoError(t, err)
	for _, want := range []string{`{"id":"e0"}`, `{"id":"e1"}`} {
		msg, err := consumer.Next()
		require.NoError(t, err)
		require.Equal(t, want, string(msg.Data()))
		require.NoError(t, msg.DoubleAck(t.Context()))
		if isolated {
			continue
		}
		got, err := live.NextMsg(5 * time.Second)
		require.NoError(t, err)
		require.Equal(t, want, string(got.Data))
	}
	stream, err := js.Stream(t.Context(), topology.StreamEvents)
	require.NoError(t, err)
	msg, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"e0"}`, string(msg.Data), "without a consumer")
	require.Empty(t, refused)

	for _, subject := range []string{
		"events.default.price.live", "catalog.default.live.mug", "command.push.default.sync.mug",
		"$KV.OBSERVED.default.mug", "$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.PURGE.EVENTS",
		"$JS.API.STREAM.MSG.DELETE.EVENTS", "$JS.API.CONSUMER.DELETE.EVENTS.billing-app-default",
		"$JS.API.CONSUMER.CREATE.EVENTS.other.events.default.>",
		"$JS.API.CONSUMER.CREATE.EVENTS.billing-app-default.events.other.>",
		"$JS.API.CONSUMER.MSG.NEXT.EVENTS.other-default", "$JS.API.DIRECT.GET.CATALOG",
	} {
		require.NoError(t, reader.Publish(subject, []byte("{}")))
		require.NoError(t, reader.Flush())
		require.Contains(t, <-refused, subject)
	}
	for _, subject := range []string{"sync.>", "events.>", "_INBOX_push.>"} {
		_, err := reader.SubscribeSync(subject)
		require.NoError(t, err)
		require.NoError(t, reader.Flush())
		require.Contains(t, <-refused, subject)
	}
}
