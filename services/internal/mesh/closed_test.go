package mesh_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// working starts consumers and other work of a service on the connection, and returns the channels on which they end.
func working(ctx context.Context, m *mesh.Mesh) map[string]chan error {
	ends := map[string]chan error{}
	begin := func(name string, run func() error) {
		end := make(chan error, 1)
		ends[name] = end
		go func() { end <- run() }()
	}
	begin("work", func() error {
		return mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive},
			func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict { return mesh.Ack() })
	})
	begin("work in batches", func() error {
		return mesh.ConsumeBatches(ctx, m,
			mesh.Worker{Service: topology.Reconciliation, Consumer: topology.ReconciliationCatalog}, 10,
			func(_ context.Context, batch []mesh.Delivery[*catalogv1.ProductChange]) []mesh.Verdict {
				return make([]mesh.Verdict, len(batch))
			})
	})
	begin("closed", func() error { return m.Closed(ctx) })
	return ends
}

// asked waits until both consumers of working wait for messages.
func asked(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	for _, c := range []topology.Consumer{topology.PushLive, topology.ReconciliationCatalog} {
		require.Eventually(t, func() bool {
			cons, err := m.JetStream().Consumer(t.Context(), c.Stream, c.Durable("default"))
			return err == nil && cons.CachedInfo().NumWaiting > 0
		}, patience, 10*time.Millisecond)
	}
}

func TestClosed_ReturnsErrorAfterPermanentClose(t *testing.T) {
	url, _ := localtest.NATS(t)
	line := localtest.LineTo(t, url)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test", InProcess: line})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ends := working(ctx, m)
	asked(t, m)
	line.Abuse(t)
	for name, end := range ends {
		select {
		case err := <-end:
			require.ErrorContains(t, err,
				"the connection to NATS was closed for good: nats: maximum control line exceeded", name)
		case <-time.After(patience):
			t.Fatalf("%s goes on without a connection", name)
		}
	}
}

func TestClosed_ReturnsNilAfterCancelAndClose(t *testing.T) {
	m := meshtest.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	ends := working(ctx, m)
	asked(t, m)
	closed := make(chan error, 1)
	go func() { closed <- m.Closed(t.Context()) }()
	stop()
	for name, end := range ends {
		require.NoError(t, <-end, name)
	}
	m.Close()
	require.NoError(t, <-closed)
}

func TestConnect_RetriesRefusedCredentials(t *testing.T) {
	file, store := filepath.Join(t.TempDir(), "nats-server.conf"), t.TempDir()
	var srv *server.Server
	// configure makes the server accept one password of the user, and refuse all others.
	configure := func(password string) {
		require.NoError(t, os.WriteFile(file, []byte(`host: 127.0.0.1, port: -1, jetstream { store_dir: "`+store+`" }
authorization { users = [ { user: d, password: `+password+` } ] }`), 0o600))
		if srv != nil {
			srv = localtest.RestartNATS(t, srv, file)
		}
	}
	configure("one")
	srv = localtest.NATSConfigured(t, file)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: "nats://d:one@" + srv.Addr().String(), Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ends := working(ctx, m)
	asked(t, m)

	configure("two")
	// By default a client gives up when it is refused twice.
	require.Eventually(t, func() bool {
		z, err := srv.Connz(&server.ConnzOptions{State: server.ConnClosed})
		refused := 0
		for _, c := range z.Conns {
			if c.Reason == server.AuthenticationViolation.String() {
				refused++
			}
		}
		return err == nil && refused > 2
	}, patience, 10*time.Millisecond, "it tries on")
	require.Error(t, m.Ready(t.Context()))
	configure("one")
	require.Eventually(t, func() bool { return m.Ready(t.Context()) == nil }, patience, 10*time.Millisecond)
	asked(t, m)
	stop()
	for name, end := range ends {
		require.NoError(t, <-end, name)
	}
}

func TestConnect_RereadsUserFromFile(t *testing.T) {
	dir := t.TempDir()
	conf, file := filepath.Join(dir, "nats-server.conf"), filepath.Join(dir, "url")
	for name, c := range map[string]struct{ server, url string }{
		"password": {"users = [ { user: d, password: %s } ]", "nats://d:%s@%s"},
		"token":    {"token: %s", "nats://%s@%s"},
	} {
		var srv *server.Server
		configure := func(secret string) {
			require.NoError(t,
				os.WriteFile(conf,
					fmt.Appendf(nil,
						"host: 127.0.0.1, port: -1, jetstream { store_dir: %q }\nauthorization { "+c.server+" }",
						filepath.Join(dir, name), secret), 0o600))
			if srv != nil {
				// A server that reads its file again has a data race while it refuses a client that works
				// (nats-server 2.15).
				srv = localtest.RestartNATS(t, srv, conf)
			}
		}
		configure("first")
		srv = localtest.NATSConfigured(t, conf)
		write := func(secret string) string {
			url := fmt.Sprintf(c.url, secret, srv.Addr())
			require.NoError(t, os.WriteFile(file, []byte(url+"\n"), 0o600))
			return url
		}
		m, err := mesh.Connect(t.Context(), mesh.Config{URL: write("first"), URLFile: file, Name: "test"})
		require.NoError(t, err, name)
		t.Cleanup(m.Close)
		write("second")
		configure("second")
		require.Eventually(t, func() bool {
			return m.Conn().Stats().Reconnects > 0 && m.Ready(t.Context()) == nil
		}, patience, 10*time.Millisecond, name)
	}
}
