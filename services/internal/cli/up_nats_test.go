package cli

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestUp_GivesEachServiceItsOwnNATSUser(t *testing.T) {
	u := &up{upCmd: &upCmd{}, dataDir: t.TempDir(), logger: slog.New(slog.DiscardHandler)}
	u.Account, u.PublishEvents = "default", true
	defer u.stopDependencies()
	require.NoError(t, u.startNATS(t.Context()))

	_, host, _ := strings.Cut(u.endpoints.NATS, "@")
	_, err := nats.Connect("nats://" + host)
	require.ErrorIs(t, err, nats.ErrAuthorization, "no other user of the machine may connect")
	_, password, _ := strings.Cut(strings.TrimSuffix(u.endpoints.NATS, "@"+host), "driftless:")
	require.NotEmpty(t, password)
	require.NotContains(t, redact.URL(u.endpoints.NATS), password, "the printed address shows no password")

	passwords := map[string]bool{}
	for _, name := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		address := u.natsURL(name)
		require.Contains(t, address, "//"+name+":")
		passwords[address] = true
		m, err := mesh.Connect(t.Context(), service.NATS(name, config.NATS{NATSURL: address}))
		require.NoError(t, err, name)
		t.Cleanup(m.Close)
		require.NoError(t, m.Bind(t.Context()), "%s finds its buckets", name)
	}
	require.Len(t, passwords, 4)
	conn, err := nats.Connect(u.natsURL(topology.Pull),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Publish("catalog.default.live.mug", nil))
	require.NoError(t, conn.Flush())
	require.ErrorIs(t, conn.LastError(), nats.ErrPermissionViolation)

	admin, err := mesh.Connect(t.Context(), service.NATS("test", config.NATS{NATSURL: u.endpoints.NATS}))
	require.NoError(t, err)
	defer admin.Close()
	diffs, err := topology.Plan(t.Context(), admin.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Empty(t, diffs)
}
