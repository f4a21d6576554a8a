package mesh_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/local/localtest"
	"github.com/driftless-sync/driftless/services/mesh"
)

// cluster runs three servers that know each other, each with a tag of its own and one in common.
func cluster(t *testing.T) []*server.Server {
	t.Helper()
	ports := make([]string, 3)
	routes := make([]string, 3)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ports[i] = l.Addr().String()
		routes[i] = "nats://" + ports[i]
		require.NoError(t, l.Close())
	}
	servers := make([]*server.Server, 3)
	for i := range servers {
		servers[i] = localtest.NATSConfig(t, `server_name: n%d
			server_tags: ["n%d", "disk:ssd"]
			jetstream: enabled
			cluster { name: C, listen: %q, routes: ["%s"] }`, i, i, ports[i], strings.Join(routes, `", "`))
	}
	require.Eventually(t, func() bool {
		for _, s := range servers {
			if !s.JetStreamIsCurrent() || s.ClusterName() != "C" || s.NumRoutes() == 0 {
				return false
			}
		}
		return servers[0].JetStreamIsLeader() || servers[1].JetStreamIsLeader() || servers[2].JetStreamIsLeader()
	}, 3*time.Minute, 20*time.Millisecond, "the cluster does not come together")
	return servers
}

func open(t *testing.T, url string) *mesh.Mesh {
	t.Helper()
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

func TestStreamsAreScaledFromOneReplicaToThreeWithAllTheyHold(t *testing.T) {
	servers := cluster(t)
	m := open(t, servers[0].ClientURL())
	ctx := t.Context()
	one := mesh.TopologyOptions{Replicas: 1}
	require.NoError(t, mesh.ApplyTopology(ctx, m.JetStream(), one))
	for i := range 50 {
		publish(t, m, mesh.Live, fmt.Sprint("p", i), uint64(i+1))
	}
	handled(ctx, t, m, mesh.Push, mesh.PushLive)
	floor := func() string {
		c, err := m.JetStream().Consumer(ctx, mesh.StreamCatalog, mesh.PushLive.Durable("default"))
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint("acknowledged up to ", c.CachedInfo().AckFloor.Stream)
	}
	require.Eventually(t, func() bool { return floor() == "acknowledged up to 1" }, 3*time.Minute, 50*time.Millisecond, floor())

	three := mesh.TopologyOptions{Replicas: 3}
	diffs, err := mesh.PlanTopology(ctx, m.JetStream(), three)
	require.NoError(t, err)
	require.Len(t, diffs, 11, "every stream and bucket: %v", diffs)
	for _, d := range diffs {
		require.Equal(t, "replicas is 1, declared 3", d.Detail)
		require.Empty(t, d.Loses)
	}
	require.NoError(t, mesh.ApplyTopology(ctx, m.JetStream(), three))
	diffs, err = mesh.PlanTopology(ctx, m.JetStream(), three)
	require.NoError(t, err)
	require.Empty(t, diffs)
	caughtUp := func(c *jetstream.ClusterInfo) bool {
		return c != nil && len(c.Replicas) == 2 && c.Replicas[0].Current && c.Replicas[1].Current
	}
	require.Eventually(t, func() bool {
		s, err := m.JetStream().Stream(ctx, mesh.StreamCatalog)
		if err != nil || !caughtUp(s.CachedInfo().Cluster) {
			return false
		}
		c, err := m.JetStream().Consumer(ctx, mesh.StreamCatalog, mesh.PushLive.Durable("default"))
		return err == nil && caughtUp(c.CachedInfo().Cluster)
	}, 3*time.Minute, 50*time.Millisecond, "the replicas do not catch up")

	// With one server gone everything is still there, and goes on from where it was.
	leader := servers[0]
	leader.Shutdown()
	leader.WaitForShutdown()
	// The client finds another server by itself.
	require.Eventually(t, func() bool {
		newest, err := m.Desired().Newest(ctx, "default", "p49")
		return err == nil && newest.GetVersion() == 50
	}, 3*time.Minute, 50*time.Millisecond, "what was stored is not there any more")
	if !assert.Eventually(t, func() bool { return floor() == "acknowledged up to 1" }, 3*time.Minute, 50*time.Millisecond) {
		require.FailNow(t, "the consumer has lost its place", floor())
	}
	require.Eventually(t, func() bool {
		return m.Publish(ctx, mesh.CatalogSubject("default", mesh.Live, "p0"), change("p0", 51), mesh.WithVersion(51)) == nil
	}, 3*time.Minute, 50*time.Millisecond, "two of three servers do not store anything")
}

func TestStreamsLiveWhereTheyAreToldTo(t *testing.T) {
	servers := cluster(t)
	m := open(t, servers[0].ClientURL())
	here := mesh.TopologyOptions{Replicas: 1, Placement: mesh.Placement{Tags: []string{"n2"}}}
	require.NoError(t, mesh.ApplyTopology(t.Context(), m.JetStream(), here))
	for _, name := range []string{mesh.StreamCatalog, "KV_" + mesh.BucketObserved} {
		s, err := m.JetStream().Stream(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, "n2", s.CachedInfo().Cluster.Leader)
	}
	diffs, err := mesh.PlanTopology(t.Context(), m.JetStream(), here)
	require.NoError(t, err)
	require.Empty(t, diffs)
	diffs, err = mesh.PlanTopology(t.Context(), m.JetStream(), mesh.TopologyOptions{Replicas: 1, Placement: mesh.Placement{Tags: []string{"n1"}}})
	require.NoError(t, err)
	require.NotEmpty(t, diffs)
	require.Equal(t, "placement is n2, declared n1", diffs[0].Detail)
}

func TestATopologyThatWouldLoseMessagesIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		before func(*jetstream.StreamConfig)
		store  []string
		loses  string
	}{
		"fewer states of a product": {mesh.StreamCatalog, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 64 }, []string{"catalog.default.live.mug"}, "all but the newest 16 messages of each subject"},
		"no limit before":           {mesh.StreamDead, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = -1 }, []string{"dead.push.default.mug"}, "all but the newest 1 messages of each subject"},
		"subjects that go":          {mesh.StreamSync, func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "audit.>") }, []string{"audit.a", "audit.b", "sync.default.applied.mug"}, "from every consumer 2 messages on subjects"},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t)
			ctx, js := t.Context(), m.JetStream()
			s, err := js.Stream(ctx, c.stream)
			require.NoError(t, err)
			before := s.CachedInfo().Config
			c.before(&before)
			_, err = js.UpdateStream(ctx, before)
			require.NoError(t, err)
			// Empty, there is nothing to lose.
			diffs, err := mesh.PlanTopology(ctx, js, mesh.TopologyOptions{})
			require.NoError(t, err)
			require.Len(t, diffs, 1)
			require.Empty(t, diffs[0].Loses)

			for _, subject := range c.store {
				_, err := js.Publish(ctx, subject, nil)
				require.NoError(t, err)
			}
			diffs, err = mesh.PlanTopology(ctx, js, mesh.TopologyOptions{})
			require.NoError(t, err)
			require.Len(t, diffs, 1)
			require.Contains(t, diffs[0].Loses, c.loses)
			require.Contains(t, diffs[0].String(), c.stream)

			err = mesh.ApplyTopology(ctx, js, mesh.TopologyOptions{})
			require.ErrorIs(t, err, mesh.ErrLoses)
			require.ErrorContains(t, err, c.loses)
			require.ErrorContains(t, err, c.stream)
			now, err := js.Stream(ctx, c.stream)
			require.NoError(t, err)
			require.Equal(t, before.Subjects, now.CachedInfo().Config.Subjects)
			require.Equal(t, before.MaxMsgsPerSubject, now.CachedInfo().Config.MaxMsgsPerSubject)

			require.NoError(t, mesh.ApplyTopology(ctx, js, mesh.TopologyOptions{AllowDataLoss: true}))
			diffs, err = mesh.PlanTopology(ctx, js, mesh.TopologyOptions{})
			require.NoError(t, err)
			require.Empty(t, diffs)
		})
	}
}

func TestARefusedTopologyChangesNothing(t *testing.T) {
	m := start(t)
	ctx, js := t.Context(), m.JetStream()
	// Two differences: one that loses, in the last stream, and one that does not, in the first.
	catalog, err := js.Stream(ctx, mesh.StreamCatalog)
	require.NoError(t, err)
	harmless := catalog.CachedInfo().Config
	harmless.Description = "another"
	_, err = js.UpdateStream(ctx, harmless)
	require.NoError(t, err)
	durable := mesh.PushRetry.Durable(mesh.DefaultAccount)
	consumer, err := js.Consumer(ctx, mesh.StreamRetry, durable)
	require.NoError(t, err)
	filtered := consumer.CachedInfo().Config
	filtered.FilterSubject = "retry.due.push.default.mug"
	_, err = js.UpdateConsumer(ctx, mesh.StreamRetry, filtered)
	require.NoError(t, err)
	err = mesh.ApplyTopology(ctx, js, mesh.TopologyOptions{})
	require.ErrorIs(t, err, mesh.ErrLoses)
	require.ErrorContains(t, err, "consumer RETRY/"+durable)
	catalog, err = js.Stream(ctx, mesh.StreamCatalog)
	require.NoError(t, err)
	require.Equal(t, "another", catalog.CachedInfo().Config.Description)
}
