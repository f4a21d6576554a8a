package mesh_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

var allBuckets = []string{
	topology.BucketObserved, topology.BucketCursor, topology.BucketBudget, topology.BucketLink, topology.BucketProcess,
}

// asBefore creates the buckets as earlier versions did, with two values each.
func asBefore(t *testing.T, js jetstream.JetStream, change func(*jetstream.KeyValueConfig)) {
	t.Helper()
	for _, name := range allBuckets {
		require.NoError(t, js.DeleteKeyValue(t.Context(), name))
		config := jetstream.KeyValueConfig{Bucket: name, History: 1}
		if change != nil {
			change(&config)
		}
		kv, err := js.CreateKeyValue(t.Context(), config)
		require.NoError(t, err)
		for _, key := range []string{"default.one", "default.two"} {
			_, err := kv.PutString(t.Context(), key, "kept")
			require.NoError(t, err)
		}
	}
}

// wipe publishes with the header that replaces all messages of a stream.
func wipe(t *testing.T, js jetstream.JetStream, subject string) error {
	t.Helper()
	_, err := js.PublishMsg(t.Context(), &nats.Msg{
		Subject: subject, Data: []byte("{}"), Header: nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupAll}},
	})
	return err
}

func TestApplyTopology_ForbidsRollupsWithoutDataLoss(t *testing.T) {
	m := meshtest.Start(t)
	js := m.JetStream()
	asBefore(t, js, nil)
	// An operator allowed them on streams as well.
	for _, name := range []string{topology.StreamCatalog, topology.StreamSync} {
		s, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		config := s.CachedInfo().Config
		config.AllowRollup = true
		_, err = js.UpdateStream(t.Context(), config)
		require.NoError(t, err)
	}

	diffs, err := topology.Plan(t.Context(), js, topology.Options{})
	require.NoError(t, err)
	told := map[string]string{}
	for _, d := range diffs {
		told[d.Name] = d.String()
		require.Empty(t, d.Lowers, d.Name)
		require.Empty(t, d.DataLoss, d.Name)
	}
	for _, name := range append(allBuckets, topology.StreamCatalog, topology.StreamSync) {
		require.Contains(t, told[name], "rollup is true, declared false", name)
	}
	require.NoError(t, topology.Apply(t.Context(), js, topology.Options{}))
	diffs, err = topology.Plan(t.Context(), js, topology.Options{})
	require.NoError(t, err)
	require.NotEmpty(t, told)
	require.NotContains(t, strings.Join(details(diffs), "\n"), "rollup")

	for _, name := range allBuckets {
		kv, err := js.KeyValue(t.Context(), name)
		require.NoError(t, err)
		require.Error(t, wipe(t, js, "$KV."+name+".default.one"), name)
		s, err := js.Stream(t.Context(), "KV_"+name)
		require.NoError(t, err)
		require.Error(t, s.DeleteMsg(t.Context(), 1), name)
		for _, key := range []string{"default.one", "default.two"} {
			entry, err := kv.Get(t.Context(), key)
			require.NoError(t, err, "%s of %s", key, name)
			require.Equal(t, "kept", string(entry.Value()))
		}
	}
	for _, subject := range []string{
		"catalog.default.live.mug", "stripe.default.mug", "sync.default.applied.mug", "dead.push.default.mug",
		"command.push.default.sync.mug",
	} {
		require.Error(t, wipe(t, js, subject), subject)
	}
	// RETRY has schedules, which are roll-ups to JetStream; see docs/security.md.
	require.NoError(t, wipe(t, js, "retry.push.default.mug"))
	for _, name := range []string{topology.BucketCursor, topology.BucketBudget, topology.BucketLink} {
		s, err := js.Stream(t.Context(), "KV_"+name)
		require.NoError(t, err)
		require.Error(t, s.Purge(t.Context()), name)
	}
}

func details(diffs []topology.Difference) []string {
	out := make([]string, len(diffs))
	for i, d := range diffs {
		out[i] = d.String()
	}
	return out
}

// If the server keeps roll-ups, the plan keeps reporting them, and everything else is applied.
func TestApplyTopology_ReportsRefusedProtections(t *testing.T) {
	m := meshtest.Start(t)
	js := m.JetStream()
	// The server accepts the update, and allows roll-ups again.
	asBefore(t, js, func(c *jetstream.KeyValueConfig) { c.LimitMarkerTTL = time.Hour })
	require.NoError(t, js.DeleteConsumer(t.Context(), topology.StreamCatalog, topology.PushLive.Durable("default")))

	err := topology.Apply(t.Context(), js, topology.Options{})
	for _, name := range allBuckets {
		require.ErrorContains(t, err, "apply bucket "+name)
	}
	require.ErrorContains(t, err, "subject_delete_marker_ttl")
	_, err = js.Consumer(t.Context(), topology.StreamCatalog, topology.PushLive.Durable("default"))
	require.NoError(t, err, "the rest was applied")

	refused := map[string]string{}
	require.NoError(t, topology.Apply(t.Context(), js, topology.Options{
		Refused: func(d topology.Difference, err error) { refused[d.Name] = err.Error() },
	}))
	for _, name := range allBuckets {
		require.Contains(t, refused[name], "the server left it unchanged")
	}
	diffs, err := topology.Plan(t.Context(), js, topology.Options{})
	require.NoError(t, err)
	require.Contains(t, strings.Join(details(diffs), "\n"), "rollup is true, declared false")
}
