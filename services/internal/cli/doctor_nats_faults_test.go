package cli

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func (r *doctorRig) natsFaults() map[string]fault {
	js := r.admin.JetStream()
	slowSync := localtest.NATSConfig(r.t, "jetstream { store_dir: %q }", r.t.TempDir())
	update := func(stream string, change func(*jetstream.StreamConfig)) func() func() {
		return func() func() {
			s, err := js.Stream(r.t.Context(), stream)
			require.NoError(r.t, err)
			cfg := s.CachedInfo().Config
			change(&cfg)
			_, err = js.UpdateStream(r.t.Context(), cfg)
			require.NoError(r.t, err)
			return r.applyTopology
		}
	}
	as := func(user string) map[string]any { return map[string]any{"nats_url": natsUser(r.broker, user)} }
	return map[string]fault{
		"no NATS": {
			only:     "nats",
			settings: map[string]any{"nats_url": "nats://" + closedPort},
			want:     []string{doctor.NATSReachable},
		},
		"an account without JetStream": {only: "nats", settings: as("bare:b"), want: []string{doctor.NATSJetStream}},
		"a user with few rights": {
			only: "nats.permissions", settings: as("weak:w"), want: []string{doctor.NATSPermissions},
			fix: "driftless topology permissions",
		},
		"a user that may not ask for its rights": {
			only: "nats.permissions", settings: as("mute:m"), want: []string{doctor.NATSPermissions},
			command: func(cmd *doctorCmd) { cmd.User = topology.Push },
		},
		"a stream that differs": {
			only:  "nats",
			cause: update(topology.StreamAdvisory, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }),
			want:  []string{doctor.NATSStream},
			fix:   "driftless topology apply --account default",
		},
		"a bucket that differs": {
			only:  "nats",
			cause: update("KV_"+topology.BucketLink, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 }),
			want:  []string{doctor.NATSBucket},
			fix:   "driftless topology apply --account default",
		},
		"a consumer that differs": {
			only: "nats",
			cause: func() func() {
				c, err := js.Consumer(r.t.Context(), topology.StreamRetry, topology.PushRetry.Durable("default"))
				require.NoError(r.t, err)
				cfg := c.CachedInfo().Config
				cfg.MaxAckPending = 5
				_, err = js.UpdateConsumer(r.t.Context(), topology.StreamRetry, cfg)
				require.NoError(r.t, err)
				return r.applyTopology
			},
			want: []string{doctor.NATSConsumer},
			fix:  "driftless topology apply --account default",
		},
		"a server that syncs every two minutes": {
			only:    "nats",
			command: func(cmd *doctorCmd) { cmd.Monitors = []string{monitor(r.t, slowSync)} },
			want:    []string{doctor.NATSSync},
			fix:     "sync_interval: always",
		},
	}
}
