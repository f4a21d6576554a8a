package mesh_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// clusterConfigs returns the configurations of three clustered servers. Each has its own tag, and they share one.
func clusterConfigs(t *testing.T) []string {
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
	configs := make([]string, 3)
	for i := range configs {
		configs[i] = fmt.Sprintf(`server_name: n%d
			server_tags: ["n%d", "disk:ssd"]
			jetstream: enabled
			cluster { name: C, listen: %q, routes: ["%s"] }`, i, i, ports[i], strings.Join(routes, `", "`))
	}
	return configs
}

// cluster starts the three servers of clusterConfigs.
func cluster(t *testing.T) []*server.Server {
	t.Helper()
	servers := make([]*server.Server, 3)
	for i, config := range clusterConfigs(t) {
		servers[i] = localtest.NATSConfig(t, "%s", config)
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

func TestApplyTopology_ScalesReplicasWithoutDataLoss(t *testing.T) {
	servers := cluster(t)
	m := open(t, servers[0].ClientURL())
	ctx := t.Context()
	one := topology.Options{Replicas: 1}
	require.NoError(t, m.ApplyTopology(ctx, one, time.Minute))
	for i := range 50 {
		meshtest.Publish(t, m, topology.Live, fmt.Sprint("p", i), uint64(i+1))
	}
	handled(ctx, t, m, topology.Push, topology.PushLive)
	floor := func() string {
		c, err := m.JetStream().Consumer(ctx, topology.StreamCatalog, topology.PushLive.Durable("default"))
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint("acknowledged up to ", c.CachedInfo().AckFloor.Stream)
	}
	require.Eventually(t, func() bool { return floor() == "acknowledged up to 1" }, 3*time.Minute, 50*time.Millisecond,
		floor())

	three := topology.Options{Replicas: 3}
	diffs, err := topology.Plan(ctx, m.JetStream(), three)
	require.NoError(t, err)
	require.Len(t, diffs, len(topology.StreamNames()), "every stream and bucket: %v", diffs)
	for _, d := range diffs {
		require.Equal(t, "replicas is 1, declared 3", d.Detail)
		require.Empty(t, d.DataLoss)
	}
	require.NoError(t, m.ApplyTopology(ctx, three, time.Minute))
	diffs, err = topology.Plan(ctx, m.JetStream(), three)
	require.NoError(t, err)
	require.Empty(t, diffs)
	caughtUp := func(c *jetstream.ClusterInfo) bool {
		return c != nil && len(c.Replicas) == 2 && c.Replicas[0].Current && c.Replicas[1].Current
	}
	require.Eventually(t, func() bool {
		s, err := m.JetStream().Stream(ctx, topology.StreamCatalog)
		if err != nil || !caughtUp(s.CachedInfo().Cluster) {
			return false
		}
		c, err := m.JetStream().Consumer(ctx, topology.StreamCatalog, topology.PushLive.Durable("default"))
		return err == nil && caughtUp(c.CachedInfo().Cluster)
	}, 3*time.Minute, 50*time.Millisecond, "the replicas do not catch up")

	// With one server gone everything is still there, and continues from its position.
	leader := servers[0]
	leader.Shutdown()
	leader.WaitForShutdown()
	// The client reconnects to another server.
	require.Eventually(t, func() bool {
		newest, err := state.New(m).Desired().Latest(ctx, "default", "p49")
		return err == nil && newest.GetVersion() == 50
	}, 3*time.Minute, 50*time.Millisecond, "what was stored is not there any more")
	if !assert.Eventually(t, func() bool { return floor() == "acknowledged up to 1" }, 3*time.Minute,
		50*time.Millisecond) {
		require.FailNow(t, "the consumer has lost its place", floor())
	}
	require.Eventually(t, func() bool {
		return m.Publish(ctx, topology.CatalogSubject("default", topology.Live, "p0"), meshtest.Change("p0", 51),
			mesh.WithVersion(51)) == nil
	}, 3*time.Minute, 50*time.Millisecond, "two of three servers do not store anything")
}

func TestApplyTopology_PlacesStreams(t *testing.T) {
	servers := cluster(t)
	m := open(t, servers[0].ClientURL())
	here := topology.Options{Replicas: 1, Placement: topology.Placement{Tags: []string{"n2"}}}
	require.NoError(t, m.ApplyTopology(t.Context(), here, time.Minute))
	for _, name := range []string{topology.StreamCatalog, "KV_" + topology.BucketObserved} {
		s, err := m.JetStream().Stream(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, "n2", s.CachedInfo().Cluster.Leader)
	}
	diffs, err := topology.Plan(t.Context(), m.JetStream(), here)
	require.NoError(t, err)
	require.Empty(t, diffs)
	diffs, err = topology.Plan(t.Context(), m.JetStream(), topology.Options{
		Replicas:  1,
		Placement: topology.Placement{Tags: []string{"n1"}},
	})
	require.NoError(t, err)
	require.NotEmpty(t, diffs)
	require.Equal(t, "placement is n2, declared n1", diffs[0].Detail)
}

func TestApplyTopology_LosesMessagesOnlyIfAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		before func(*jetstream.StreamConfig)
		store  []string
		loses  string
	}{
		"fewer states of a product": {
			topology.StreamCatalog,
			func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 64 },
			[]string{"catalog.default.live.mug"},
			"all but the latest 16 messages of each subject",
		},
		"no limit before": {
			topology.StreamDead, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = -1 },
			[]string{"dead.push.default.mug"},
			"all but the latest 1 messages of each subject",
		},
		"subjects that go": {
			topology.StreamSync,
			func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "audit.>") },
			[]string{"audit.a", "audit.b", "sync.default.applied.mug"},
			"2 messages on subjects that the stream would no longer have, for every consumer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := meshtest.Start(t)
			ctx, js := t.Context(), m.JetStream()
			s, err := js.Stream(ctx, c.stream)
			require.NoError(t, err)
			before := s.CachedInfo().Config
			c.before(&before)
			_, err = js.UpdateStream(ctx, before)
			require.NoError(t, err)
			// An empty stream has nothing to lose.
			diffs, err := topology.Plan(ctx, js, topology.Options{})
			require.NoError(t, err)
			require.Len(t, diffs, 1)
			require.Empty(t, diffs[0].DataLoss)
			require.NotEmpty(t, diffs[0].Lowers)

			for _, subject := range c.store {
				_, err := js.Publish(ctx, subject, nil)
				require.NoError(t, err)
			}
			diffs, err = topology.Plan(ctx, js, topology.Options{})
			require.NoError(t, err)
			require.Len(t, diffs, 1)
			require.Contains(t, diffs[0].DataLoss, c.loses)
			require.Contains(t, diffs[0].String(), c.stream)

			// It is refused by default, and also with lowering allowed.
			require.NoError(t, topology.Apply(ctx, js, topology.Options{}))
			err = topology.Apply(ctx, js, topology.Options{AllowLowering: true})
			require.ErrorIs(t, err, topology.ErrDataLoss)
			require.ErrorContains(t, err, c.loses)
			require.ErrorContains(t, err, c.stream)
			now, err := js.Stream(ctx, c.stream)
			require.NoError(t, err)
			require.Equal(t, before.Subjects, now.CachedInfo().Config.Subjects)
			require.Equal(t, before.MaxMsgsPerSubject, now.CachedInfo().Config.MaxMsgsPerSubject)

			require.NoError(t, topology.Apply(ctx, js, topology.Options{AllowDataLoss: true}))
			diffs, err = topology.Plan(ctx, js, topology.Options{})
			require.NoError(t, err)
			require.Empty(t, diffs)
		})
	}
}

func TestApplyTopology_KeepsHigherAndUndeclaredSettings(t *testing.T) {
	m := meshtest.Start(t)
	ctx, js := t.Context(), m.JetStream()
	edit := func(name string, change func(*jetstream.StreamConfig)) {
		s, err := js.Stream(ctx, name)
		require.NoError(t, err)
		c := s.CachedInfo().Config
		change(&c)
		_, err = js.UpdateStream(ctx, c)
		require.NoError(t, err)
	}
	config := func(name string) jetstream.StreamConfig {
		s, err := js.Stream(ctx, name)
		require.NoError(t, err)
		return s.CachedInfo().Config
	}
	edit(topology.StreamCatalog, func(c *jetstream.StreamConfig) {
		c.Description, c.MaxMsgsPerSubject, c.MaxBytes, c.Subjects = "ours", 64, 1<<30,
			[]string{"catalog.*.*.*", "audit.>"}
		c.Metadata = map[string]string{"owner": "ops"}
	})
	edit(topology.StreamSync, func(c *jetstream.StreamConfig) { c.MaxAge = 90 * 24 * time.Hour })
	edit("KV_"+topology.BucketLink, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.Description = 10, "ours" })
	durable := topology.PushLive.Durable(topology.DefaultAccount)
	consumer, err := js.Consumer(ctx, topology.StreamCatalog, durable)
	require.NoError(t, err)
	edited := consumer.CachedInfo().Config
	edited.MaxAckPending, edited.AckWait = 20_000, time.Second
	_, err = js.UpdateConsumer(ctx, topology.StreamCatalog, edited)
	require.NoError(t, err)
	_, err = js.PauseConsumer(ctx, topology.StreamCatalog, durable, time.Now().Add(time.Hour))
	require.NoError(t, err)

	var kept []string
	o := topology.Options{OnKept: func(d topology.Difference) { kept = append(kept, d.Name+": "+d.Lowers) }}
	require.NoError(t, topology.Apply(ctx, js, o))
	require.Len(t, kept, 4, kept)
	catalog := config(topology.StreamCatalog)
	require.NotEqual(t, "ours", catalog.Description, "what is declared and not lower is applied")
	require.Equal(t, []string{"catalog.*.*.*", "audit.>", "fence.*.*"}, catalog.Subjects,
		"what is missing is added, and nothing removed")
	require.EqualValues(t, 64, catalog.MaxMsgsPerSubject)
	require.EqualValues(t, 1<<30, catalog.MaxBytes, "what is not declared stays")
	require.Equal(t, "ops", catalog.Metadata["owner"])
	require.Equal(t, 90*24*time.Hour, config(topology.StreamSync).MaxAge)
	require.EqualValues(t, 10, config("KV_"+topology.BucketLink).MaxMsgsPerSubject)
	require.NotEqual(t, "ours", config("KV_"+topology.BucketLink).Description)
	consumer, err = js.Consumer(ctx, topology.StreamCatalog, durable)
	require.NoError(t, err)
	require.Equal(t, 20_000, consumer.CachedInfo().Config.MaxAckPending)
	require.Equal(t, 4*time.Second, consumer.CachedInfo().Config.AckWait, "more than there was")
	require.True(t, consumer.CachedInfo().Paused, "a pause is no business of the topology's")

	o.AllowLowering = true
	require.NoError(t, topology.Apply(ctx, js, o))
	diffs, err := topology.Plan(ctx, js, o)
	require.NoError(t, err)
	require.Empty(t, diffs)
	require.EqualValues(t, 1<<30, config(topology.StreamCatalog).MaxBytes)
}

func TestApplyTopology_ShortensFormerAckWait(t *testing.T) {
	js := meshtest.Start(t).JetStream()
	durable := topology.PushLive.Durable(topology.DefaultAccount)
	apply := func(had time.Duration) time.Duration {
		cons, err := js.Consumer(t.Context(), topology.StreamCatalog, durable)
		require.NoError(t, err)
		edited := cons.CachedInfo().Config
		edited.AckWait = had
		_, err = js.UpdateConsumer(t.Context(), topology.StreamCatalog, edited)
		require.NoError(t, err)
		require.NoError(t, topology.Apply(t.Context(), js, topology.Options{}))
		cons, err = js.Consumer(t.Context(), topology.StreamCatalog, durable)
		require.NoError(t, err)
		return cons.CachedInfo().Config.AckWait
	}
	require.Equal(t, 4*time.Second, apply(10*time.Second))
	require.Equal(t, 11*time.Second, apply(11*time.Second), "an operator's own")
}

func TestApplyTopology_LowersReplicasOnlyIfAllowed(t *testing.T) {
	servers := cluster(t)
	m := open(t, servers[0].ClientURL())
	ctx, js := t.Context(), m.JetStream()
	placement, all := topology.Placement{Tags: []string{"disk:ssd"}}, len(topology.StreamNames())
	require.NoError(t, m.ApplyTopology(ctx, topology.Options{Replicas: 3, Placement: placement}, time.Minute))
	replicas := func() map[int]int {
		out := map[int]int{}
		for info := range js.ListStreams(ctx).Info() {
			out[info.Config.Replicas]++
			if info.Config.Placement == nil {
				out[0]++
			}
		}
		return out
	}
	require.Equal(t, map[int]int{3: all}, replicas())
	one := topology.Options{Replicas: 1}
	kept := 0
	one.OnKept = func(d topology.Difference) {
		require.Contains(t, d.Lowers, "replicas is 3, declared 1")
		require.Contains(t, d.Lowers, "placement is disk:ssd, declared anywhere")
		kept++
	}
	require.NoError(t, m.ApplyTopology(ctx, one, time.Minute))
	require.Equal(t, all, kept)
	require.Equal(t, map[int]int{3: all}, replicas())
	one.AllowLowering = true
	require.NoError(t, topology.Apply(ctx, js, one))
	require.Equal(t, map[int]int{1: all, 0: all}, replicas())

	// A service that expects three replicas logs that there is one.
	told := &warnings{}
	service, err := mesh.Connect(ctx, mesh.Config{
		URL:      servers[1].ClientURL(),
		Name:     topology.Push,
		Replicas: 3,
		Logger:   slog.New(told),
	})
	require.NoError(t, err)
	t.Cleanup(service.Close)
	// Consumers follow their stream slightly later.
	require.Eventually(t, func() bool {
		if err := service.Bind(ctx, topology.PushLive, topology.PushBulk, topology.PushRetry); err != nil {
			return false // it moves
		}
		last := told.all()[len(told.all())-1]
		return strings.Contains(last, "fewer replicas") && strings.Contains(last,
			"[CATALOG RETRY OBSERVED CURSOR BUDGET LINK PROCESS]")
	}, 2*time.Minute, 100*time.Millisecond)
	require.NoError(t, m.ApplyTopology(ctx, topology.Options{Replicas: 3}, time.Minute))
	require.Eventually(t, func() bool {
		before := len(told.all())
		return service.Bind(ctx, topology.PushLive, topology.PushBulk, topology.PushRetry) == nil &&
			len(told.all()) == before
	}, 2*time.Minute, 100*time.Millisecond, "there are three")
}

// warnings collects records of level warning and above. Safe for concurrent use.
type warnings struct {
	mu   sync.Mutex
	said []string
}

func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w *warnings) WithGroup(string) slog.Handler                { return w }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	w.said = append(w.said, text)
	return nil
}

func (w *warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.said)
}

func TestApplyTopology_WaitsForStartingCluster(t *testing.T) {
	configs := clusterConfigs(t)
	first := localtest.NATSConfig(t, "%s", configs[0])
	told := &warnings{}
	done := make(chan error, 1)
	go func() {
		m, err := mesh.Connect(t.Context(), mesh.Config{
			URL:      first.ClientURL(),
			Name:     topology.AdminUser,
			Patience: time.Minute,
			Logger:   slog.New(told),
		})
		if err == nil {
			defer m.Close()
			err = m.ApplyTopology(t.Context(), topology.Options{Replicas: 3}, time.Minute)
		}
		done <- err
	}()
	require.Eventually(t, func() bool { return len(told.all()) > 0 }, time.Minute, 10*time.Millisecond)
	require.Contains(t, told.all()[0], "waiting for the NATS cluster")
	for _, c := range configs[1:] {
		localtest.NATSConfig(t, "%s", c)
	}
	require.NoError(t, <-done)
	require.Less(t, len(told.all()), 6, "each reason is told once: %v", told.all())
}

func TestApplyTopology_GivesUpAfterPatience(t *testing.T) {
	alone := localtest.NATSConfig(t, "%s", clusterConfigs(t)[0])
	_, err := mesh.Connect(t.Context(), mesh.Config{
		URL:      alone.ClientURL(),
		Name:     topology.AdminUser,
		Patience: time.Second,
		Logger:   slog.New(&warnings{}),
	})
	require.ErrorContains(t, err, "waited 1s for the NATS cluster")
}

func TestApply_ChangesNothingIfRefused(t *testing.T) {
	m := meshtest.Start(t)
	ctx, js := t.Context(), m.JetStream()
	// Two differences: one in the last stream that loses messages, and one in the first that does not.
	catalog, err := js.Stream(ctx, topology.StreamCatalog)
	require.NoError(t, err)
	harmless := catalog.CachedInfo().Config
	harmless.Description = "another"
	_, err = js.UpdateStream(ctx, harmless)
	require.NoError(t, err)
	durable := topology.PushRetry.Durable(topology.DefaultAccount)
	consumer, err := js.Consumer(ctx, topology.StreamRetry, durable)
	require.NoError(t, err)
	filtered := consumer.CachedInfo().Config
	filtered.FilterSubject = "retry.due.push.default.mug"
	_, err = js.UpdateConsumer(ctx, topology.StreamRetry, filtered)
	require.NoError(t, err)
	err = topology.Apply(ctx, js, topology.Options{})
	require.ErrorIs(t, err, topology.ErrDataLoss)
	require.ErrorContains(t, err, "consumer RETRY/"+durable)
	catalog, err = js.Stream(ctx, topology.StreamCatalog)
	require.NoError(t, err)
	require.Equal(t, "another", catalog.CachedInfo().Config.Description)
}
