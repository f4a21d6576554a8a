package natsprobe

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// A user who may do everything but ask what it may do gets one message on each subject. None of them has an effect.
func TestRefusedSubjects_ChangesNothing(t *testing.T) {
	t.Parallel()
	broker := localtest.NATSConfig(t, `jetstream { store_dir: %q }
		authorization { users: [
			{ user: admin, password: a }, { user: mute, password: m, permissions: { publish: { deny: ["$SYS.>"] } } }
		] }`, t.TempDir())
	admin := connectAs(t, broker, "admin:a")
	require.NoError(t, topology.Apply(t.Context(), admin.JetStream(), topology.Options{}))
	before := fingerprint(t, admin)
	mute := connectAs(t, broker, "mute:m")
	for _, p := range topology.UserPermissions(topology.Options{}) {
		needed, err := permissionsOf(Config{Client: mesh.Config{Name: p.User}})
		require.NoError(t, err)
		refused, err := refusedSubjects(t.Context(), mute.Conn(), needed.Publish)
		require.NoError(t, err)
		require.Empty(t, refused)
	}
	require.Equal(t, before, fingerprint(t, admin))

	_, err := refusedSubjects(t.Context(), admin.Conn(), nil)
	require.ErrorContains(t, err, "NATS does not say which rights the user has", "nothing is refused")
}

func connectAs(t *testing.T, broker *server.Server, user string) *mesh.Mesh {
	t.Helper()
	m, err := mesh.Connect(t.Context(), mesh.Config{
		URL:  "nats://" + user + "@" + broker.Addr().String(),
		Name: topology.AdminUser,
	})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

// fingerprint returns the configuration and the messages of every stream, and its consumers.
func fingerprint(t *testing.T, m *mesh.Mesh) map[string][]any {
	t.Helper()
	out := map[string][]any{}
	for _, name := range topology.StreamNames() {
		s, err := m.JetStream().Stream(t.Context(), name)
		require.NoError(t, err)
		info := s.CachedInfo()
		out[name] = []any{info.Config, info.State.LastSeq, info.State.Msgs, info.State.Consumers}
		list := s.ListConsumers(t.Context())
		for c := range list.Info() {
			out[name] = append(out[name], c.Config, c.Delivered.Consumer, c.NumWaiting, c.Paused)
		}
		require.NoError(t, list.Err())
	}
	return out
}
