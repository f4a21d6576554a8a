package mesh_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// The server refuses each of these, see the first table of "NATS" in docs/security.md.
func TestAttack_RefusedByPermissionsAndTopology(t *testing.T) {
	for _, file := range []string{"nats-server.conf", isolated} {
		t.Run(file, func(t *testing.T) { closed(t, underAttack(t, file)) })
	}
}

func closed(t *testing.T, a attacked) {
	t.Helper()
	attackers := map[string]attacker{}
	for _, user := range users {
		attackers[user] = attackerAs(t, a.Server, user)
	}
	pull := attackers[topology.Pull]
	_, err := state.New(a.push).Observed().Update(t.Context(), "default", "mug", oneMore)
	require.NoError(t, err)
	require.NoError(t, state.New(a.push).Record(topology.KeyHalted, "default").PutString(t.Context(), "no"))
	require.NoError(t, state.New(a.ingestion).Record(topology.KeyOrigin, "default").PutString(t.Context(), "here"))
	require.NoError(t, state.New(a.pull).Record(topology.KeyPoll, "default").PutString(t.Context(), "here"))

	t.Run("a roll-up does not wipe a bucket", func(t *testing.T) {
		before := a.state("KV_" + topology.BucketCursor).Msgs
		for user, subject := range map[string]string{
			topology.Pull: "$KV.CURSOR.poll.default", topology.Ingestion: "$KV.CURSOR.origin.default",
			topology.Push: "$KV.CURSOR.halted.default", topology.Reconciliation: "$KV.CURSOR.guard.default",
		} {
			for _, what := range []string{"all", "sub"} {
				require.Contains(t, attackers[user].request(subject, nil, "Nats-Rollup", what), "rollup not permitted",
					user)
			}
		}
		require.Equal(t, before, a.state("KV_"+topology.BucketCursor).Msgs)
		for _, subject := range []string{
			"$KV.OBSERVED.default.mug", "$KV.BUDGET.default", "stripe.default.mug", "sync.default.applied.mug",
			"dead.pull.default.mug", "command.pull.default.scan",
		} {
			require.Contains(t, pull.request(subject, nil, "Nats-Rollup", "all"), "rollup not permitted", subject)
		}
	})
	t.Run("no user purges or deletes streams, buckets or consumers", func(t *testing.T) {
		for user, attacker := range attackers {
			for _, stream := range []string{
				topology.StreamCatalog, topology.StreamStripe, topology.StreamSync, topology.StreamDead,
				topology.StreamCommand, topology.StreamRetry,
				"KV_" + topology.BucketObserved, "KV_" + topology.BucketCursor, "KV_" + topology.BucketBudget,
				"KV_" + topology.BucketLink, "KV_" + topology.BucketProcess,
			} {
				require.False(t, attacker.send("$JS.API.STREAM.PURGE."+stream, "", nil), "%s purges %s", user, stream)
				require.False(t, attacker.send("$JS.API.STREAM.DELETE."+stream, "", nil), "%s deletes %s", user, stream)
				for _, consumer := range []string{
					"reconciliation-default", "reconciliation-us", "push-live-default",
					"x",
				} {
					subject := "$JS.API.CONSUMER.DELETE." + stream + "." + consumer
					require.False(t, attacker.send(subject, "", nil), "%s deletes %s of %s", user, consumer, stream)
				}
			}
		}
		require.Positive(t, a.state("KV_"+topology.BucketObserved).Msgs)
	})
	t.Run("no service creates a consumer", func(t *testing.T) {
		streams := []string{
			topology.StreamCatalog, topology.StreamCommand, "KV_" + topology.BucketObserved,
			"KV_" + topology.BucketLink,
		}
		before := map[string]int{}
		for _, stream := range streams {
			before[stream] = a.consumers(stream)
		}
		for user, attacker := range attackers {
			for i, stream := range streams {
				config := map[string]any{"stream_name": stream, "config": map[string]any{
					"durable_name": "spy", "ack_policy": "none", "deliver_subject": topology.InboxPrefix(user) + ".spy",
				}}
				filters := []string{
					"catalog.default.live.*", "command.>", "$KV.OBSERVED.default.*",
					"$KV.LINK.default.*",
				}
				for _, subject := range []string{
					"$JS.API.CONSUMER.CREATE." + stream,
					"$JS.API.CONSUMER.CREATE." + stream + ".spy",
					"$JS.API.CONSUMER.DURABLE.CREATE." + stream + ".spy",
					"$JS.API.CONSUMER.CREATE." + stream + ".spy." + filters[i],
				} {
					require.False(t, attacker.send(subject, "", config), "%s makes a consumer by %s", user, subject)
				}
			}
		}
		for _, stream := range streams {
			require.Equal(t, before[stream], a.consumers(stream), stream)
		}
	})
	t.Run("the topology user creates only the declared consumers of its accounts", func(t *testing.T) {
		admin := attackers[topology.AdminUser]
		for _, subject := range []string{
			"CATALOG.push-live-us.catalog.us.live.*", "CATALOG.push-live-default.catalog.>",
			"CATALOG.push-live-default",
			"KV_CURSOR.spy.$KV.CURSOR.>",
		} {
			require.False(t, admin.send("$JS.API.CONSUMER.CREATE."+subject, "", nil), subject)
		}
		require.False(t, admin.send("$JS.API.CONSUMER.MSG.NEXT.CATALOG.push-live-default", "", nil))
		require.False(t, admin.send("$JS.API.STREAM.MSG.GET.CATALOG", "", nil))
		require.False(t, admin.send("$JS.API.DIRECT.GET.CATALOG", "", nil))
		// An update with it leaves a pull consumer.
		require.NotEmpty(t, admin.request("$JS.API.CONSUMER.CREATE.CATALOG.push-live-default.catalog.default.live.*",
			[]byte(`{"stream_name":"CATALOG","config":{"durable_name":"push-live-default","ack_policy":"explicit",
				"filter_subject":"catalog.default.live.*","deliver_subject":"_INBOX_topology.spy"}}`)))
	})
	t.Run("a schedule has no target outside of RETRY", func(t *testing.T) {
		for _, target := range []string{
			"catalog.default.live.mug", "command.push.default.sync.mug", "$KV.CURSOR.guard.default",
		} {
			said := attackers[topology.Push].request("retry.push.default.mug", nil,
				"Nats-Schedule", inAnHour(), "Nats-Schedule-Target", target)
			require.Contains(t, said, "message schedules target is invalid", target)
		}
	})
}

// Within one account of NATS the server publishes the answer to a request on any reply subject, whatever the user may
// publish. With an account for each service it does not. docs/security.md lists the consequences. If the server refuses
// one of these in one account, the page must be corrected.
func TestAttack_PublishesThroughReplySubjectsInOneAccount(t *testing.T) {
	for _, file := range []string{"nats-server.conf", isolated} {
		t.Run(file, func(t *testing.T) { replySubjects(t, underAttack(t, file), file != isolated) })
	}
}

func replySubjects(t *testing.T, a attacked, open bool) {
	t.Helper()
	pull, reconciliation := attackerAs(t, a.Server, topology.Pull), attackerAs(t, a.Server, topology.Reconciliation)
	direct := "$JS.API.DIRECT.GET.KV_OBSERVED.$KV.OBSERVED.default.evil"
	require.Empty(t, pull.request("$KV.OBSERVED.default.evil", forged(t, "mug")))

	t.Run("a direct get is stored anywhere", func(t *testing.T) {
		for subject, stream := range map[string]string{
			"catalog.default.live.mug": topology.StreamCatalog, "command.push.default.sync.mug": topology.StreamCommand,
			"dead.push.default.mug": topology.StreamDead, "retry.due.push.default.mug": topology.StreamRetry,
			"$KV.CURSOR.guard.default": "KV_" + topology.BucketCursor,
			"$KV.LINK.default.prod_1":  "KV_" + topology.BucketLink,
			"fence.default.live":       topology.StreamCatalog,
		} {
			require.Equal(t, open, a.stores(stream, func() { require.True(t, pull.send(direct, subject, nil)) }),
				subject)
		}
	})
	t.Run("a consumer redelivers a published message with chosen headers", func(t *testing.T) {
		require.Empty(t, pull.request("stripe.default.x", forged(t, "cap"), mesh.VersionHeader, strconv.Itoa(1<<60)))
		require.Equal(t, open, a.stores(topology.StreamCatalog, func() {
			request := "$JS.API.CONSUMER.MSG.NEXT.STRIPE." + topology.PullStripe.Durable("default")
			require.True(t, pull.send(request, "catalog.default.live.cap", nil))
		}))
	})
	t.Run("the answer to any request is stored", func(t *testing.T) {
		require.Equal(t, open, a.stores(topology.StreamCatalog, func() {
			require.True(t, reconciliation.send("$JS.API.INFO", "catalog.default.live.hat", nil))
		}))
	})
	// A message without a body is a complete request to JetStream.
	nothing := "$JS.API.DIRECT.GET.KV_OBSERVED.$KV.OBSERVED.default.none"
	t.Run("a bucket is purged", func(t *testing.T) {
		require.True(t, pull.send(nothing, "$JS.API.STREAM.PURGE.KV_OBSERVED", nil))
		require.Equal(t, open, becomes(func() bool { return a.state("KV_"+topology.BucketObserved).Msgs == 0 }))
	})
	t.Run("a bucket that denies purges is not purged", func(t *testing.T) {
		before := a.state("KV_" + topology.BucketCursor).Msgs
		require.NoError(t, state.New(a.pull).Record(topology.KeyPoll, "default").PutString(t.Context(), "here"))
		require.True(t, pull.send(nothing, "$JS.API.STREAM.PURGE.KV_CURSOR", nil))
		require.False(t, becomes(func() bool { return a.state("KV_"+topology.BucketCursor).Msgs <= before }))
	})
	t.Run("a consumer is deleted", func(t *testing.T) {
		before := a.consumers(topology.StreamCatalog)
		require.True(t,
			pull.send(nothing, "$JS.API.CONSUMER.DELETE.CATALOG."+topology.PushBulk.Durable("default"), nil))
		require.Equal(t, open, becomes(func() bool { return a.consumers(topology.StreamCatalog) < before }))
	})
	t.Run("a consumer that delivers to the user inbox is created", func(t *testing.T) {
		before := a.consumers(topology.StreamSync)
		inbox, err := pull.conn.SubscribeSync("_INBOX_pull.spy")
		require.NoError(t, err)
		outcome := topology.SyncSubject("default", meshv1.OutcomeKind_OUTCOME_KIND_APPLIED, "mug")
		require.NoError(t, a.push.Publish(t.Context(), outcome, &meshv1.Outcome{}))
		require.Empty(t, pull.request("$KV.OBSERVED.default.evil",
			[]byte(`{"stream_name":"SYNC","config":{
				"durable_name":"spy","ack_policy":"none","deliver_subject":"_INBOX_pull.spy"}}`)))
		require.True(t, pull.send(direct, "$JS.API.CONSUMER.CREATE.SYNC.spy", nil))
		require.Equal(t, open, becomes(func() bool { return a.consumers(topology.StreamSync) > before }))
		wait := time.Second
		if open {
			wait = time.Minute
		}
		_, err = inbox.NextMsg(wait)
		require.Equal(t, open, err == nil)
	})
	t.Run("a stream is deleted", func(t *testing.T) {
		require.True(t, pull.send(nothing, "$JS.API.STREAM.DELETE.DEAD", nil))
		require.Equal(t, open, becomes(func() bool { return !a.exists(topology.StreamDead) }))
	})
}

// These are open in both configurations: NATS cannot distinguish them from the user's work. docs/security.md lists
// them.
func TestAttack_OpenInBothConfigurations(t *testing.T) {
	for _, file := range []string{"nats-server.conf", isolated} {
		t.Run(file, func(t *testing.T) { stillOpen(t, underAttack(t, file), file != isolated) })
	}
}

func stillOpen(t *testing.T, a attacked, oneAccount bool) {
	t.Helper()
	pull, push := attackerAs(t, a.Server, topology.Pull), attackerAs(t, a.Server, topology.Push)
	admin := attackerAs(t, a.Server, topology.AdminUser)
	t.Run("push wipes RETRY", func(t *testing.T) {
		retry := &meshv1.Retry{Account: "default", ProductId: "other", Version: 7}
		require.NoError(t, a.push.RetryLater(t.Context(), topology.Push, retry, time.Hour))
		require.Empty(t, push.request("retry.push.default.mug", nil, "Nats-Rollup", "all"))
		require.EqualValues(t, 1, a.state(topology.StreamRetry).Msgs)
	})
	t.Run("a schedule of push comes due as a retry of another", func(t *testing.T) {
		require.Empty(t, push.request("retry.push.default.mug", nil,
			"Nats-Schedule", inAnHour(), "Nats-Schedule-Target", "retry.due.pull.other.x"))
	})
	t.Run("push and pull read the whole bucket, other accounts included", func(t *testing.T) {
		_, err := state.New(a.push).Observed().Update(t.Context(), "default", "mug", oneMore)
		require.NoError(t, err)
		require.NoError(t, state.New(a.push).Links().Put(t.Context(), "default", "prod_1", "mug"))
		all := []byte(`{"seq":1,"next_by_subj":"$KV.>"}`)
		answer, err := pull.conn.Request("$JS.API.DIRECT.GET.KV_LINK", all, time.Minute)
		require.NoError(t, err)
		require.NotEmpty(t, answer.Data)
		for _, attacker := range []attacker{push, pull} {
			answer, err := attacker.conn.Request("$JS.API.DIRECT.GET.KV_OBSERVED", all, time.Minute)
			require.NoError(t, err)
			require.NotEmpty(t, answer.Data)
		}
	})
	t.Run("the topology's user changes streams", func(t *testing.T) {
		inbox, err := admin.conn.SubscribeSync(topology.InboxPrefix(topology.AdminUser) + ".spy.>")
		require.NoError(t, err)
		js, err := jetstream.New(admin.conn)
		require.NoError(t, err)
		s, err := js.Stream(t.Context(), topology.StreamStripe)
		require.NoError(t, err)
		config := s.CachedInfo().Config
		config.RePublish = &jetstream.RePublish{
			Source:      ">",
			Destination: topology.InboxPrefix(topology.AdminUser) + ".spy.>",
		}
		_, err = js.UpdateStream(t.Context(), config)
		require.NoError(t, err)
		require.Empty(t, pull.request("stripe.default.mug", nil))
		// In one account it reads everything that is stored from then on.
		wait := time.Second
		if oneAccount {
			wait = time.Minute
		}
		_, err = inbox.NextMsg(wait)
		require.Equal(t, oneAccount, err == nil)
	})
}
