package mesh_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// settled waits until a consumer has no messages left.
func settled(t *testing.T, s *meshtest.Signers, c topology.Consumer) {
	t.Helper()
	require.Eventually(t, func() bool {
		cons, err := s.Outside.JetStream().Consumer(t.Context(), c.Stream, c.Durable("default"))
		return err == nil && cons.CachedInfo().NumPending == 0 && cons.CachedInfo().NumAckPending == 0
	}, patience, 10*time.Millisecond)
}

func TestConsume_HandlesOnlyAuthenticStates(t *testing.T) {
	s := meshtest.NewSigners(t)
	subject := topology.CatalogSubject("default", topology.Live, "mug")
	for name, msg := range s.ForgedStates(t, subject) {
		if msg.Header.Get("Status") != "" {
			// The client interprets a message without a body and with such a header as a status of the server.
			continue
		}
		t.Log(name)
		s.Put(t, msg)
	}
	meshtest.Publish(t, s.Clients[topology.Ingestion], topology.Live, "mug", 7)
	fence, err := s.Clients[topology.Ingestion].Fence(t.Context(), "default")
	require.NoError(t, err)
	require.NoError(t, fence.Raise(t.Context()))
	require.NoError(t, fence.Publish(t.Context(), topology.Live, []mesh.Outgoing{
		{Subject: subject, Body: meshtest.Change("mug", 8), Version: 8},
		{Subject: subject, Body: meshtest.Change("mug", 9), Version: 9},
	}))
	for _, c := range []topology.Consumer{topology.PushLive, topology.ReconciliationCatalog} {
		require.Equal(t, []uint64{7, 8, 9}, versions(t, s, c, 3), c.Name)
		settled(t, s, c)
	}
}

// versions returns the versions that a consumer's handler gets, in batches for reconciliation.
func versions(t *testing.T, s *meshtest.Signers, c topology.Consumer, n int) (got []uint64) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var mu sync.Mutex
	took := func(v uint64) mesh.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if got = append(got, v); len(got) == n {
			stop()
		}
		return mesh.Ack()
	}
	if c == topology.ReconciliationCatalog {
		require.NoError(t,
			mesh.ConsumeBatches(ctx, s.Clients[topology.Reconciliation],
				mesh.Worker{Service: topology.Reconciliation, Consumer: c}, 100,
				func(_ context.Context, batch []mesh.Delivery[*catalogv1.ProductChange]) (out []mesh.Verdict) {
					for _, d := range batch {
						out = append(out, took(d.Body.GetVersion()))
					}
					return out
				}))
		return got
	}
	require.NoError(t, mesh.Consume(ctx, s.Clients[topology.Push], mesh.Worker{Service: topology.Push, Consumer: c},
		func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
			return took(msg.Body.GetVersion())
		}))
	return got
}

// OBSERVED is not signed, and its writers may write any key. The state of one product must not pass for that of
// another.
func TestConsume_RefusesStateOfAnotherProduct(t *testing.T) {
	s := meshtest.NewSigners(t)
	s.Put(
		t,
		meshtest.Unsigned(t, "$KV.OBSERVED.default.evil", &catalogv1.Observed{Account: "default", ProductId: "mug"}),
		meshtest.Unsigned(t, "$KV.OBSERVED.default.cap", &catalogv1.Observed{Account: "other", ProductId: "cap"}),
		meshtest.Unsigned(t, "$KV.OBSERVED.default.a=2Eb", &catalogv1.Observed{Account: "default", ProductId: "a.b"}),
	)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var got []string
	require.NoError(t,
		mesh.Consume(ctx, s.Clients[topology.Reconciliation],
			mesh.Worker{Service: topology.Reconciliation, Consumer: topology.ReconciliationObserved},
			func(_ context.Context, msg mesh.Message[*catalogv1.Observed]) mesh.Verdict {
				got = append(got, msg.Body.GetProductId())
				stop()
				return mesh.Ack()
			}))
	require.Equal(t, []string{"a.b"}, got)
}

func command(verb string) *meshv1.Command {
	c := &meshv1.Command{Id: "c", Account: "default"}
	switch verb {
	case topology.VerbSync:
		c.Verb = &meshv1.Command_Sync{Sync: &meshv1.SyncProduct{ProductId: "mug"}}
	case topology.VerbWriteBack:
		c.Verb = &meshv1.Command_WriteBack{WriteBack: &meshv1.WriteBack{ProductId: "mug"}}
	case topology.VerbBackfill:
		c.Verb = &meshv1.Command_Backfill{Backfill: &meshv1.Backfill{}}
	case topology.VerbScan:
		c.Verb = &meshv1.Command_Scan{Scan: &meshv1.Scan{}}
	}
	return c
}

// The test tries what each key must not do. The last command of each consumer is authentic.
func TestConsume_HandlesOnlyAuthenticCommands(t *testing.T) {
	s := meshtest.NewSigners(t)
	now := time.Now()
	sync := topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug")
	writeBack := topology.CommandSubject(topology.Ingestion, "default", topology.VerbWriteBack, "mug")
	backfill := topology.CommandSubject(topology.Ingestion, "default", topology.VerbBackfill, "")
	scan := topology.CommandSubject(topology.Pull, "default", topology.VerbScan, "")
	foreign := command(topology.VerbSync)
	foreign.Account = "other"
	s.Put(
		t,
		meshtest.Unsigned(t, sync, command(topology.VerbSync)),
		meshtest.SignedAs(t, s.Keys[topology.Pull], topology.Pull, sync, command(topology.VerbSync), now),
		meshtest.SignedAs(t, s.Keys[topology.Push], topology.Push, sync, command(topology.VerbSync), now),
		meshtest.SignedAs(t, s.Keys[topology.Ingestion], topology.Ingestion, sync, command(topology.VerbSync), now),
		meshtest.SignedAs(t, s.Keys[topology.Reconciliation], topology.Reconciliation, sync, command(topology.VerbSync),
			now.Add(-3*time.Minute)),
		meshtest.SignedAs(t, s.Keys[topology.Reconciliation], topology.Reconciliation, sync, command(topology.VerbScan),
			now),
		meshtest.SignedAs(t, s.Keys[topology.Reconciliation], topology.Reconciliation, sync, foreign, now),
		meshtest.Unsigned(t, writeBack, command(topology.VerbWriteBack)),
		meshtest.SignedAs(t, s.Keys[topology.Push], topology.Push, writeBack, command(topology.VerbWriteBack), now),
		// Push may command rereads, and sends another command on that subject.
		meshtest.SignedAs(t, s.Keys[topology.Push], topology.Push, backfill, command(topology.VerbWriteBack), now),
		meshtest.SignedAs(t, s.Keys[topology.Pull], topology.Pull, backfill, command(topology.VerbBackfill), now),
		meshtest.Unsigned(t, scan, command(topology.VerbScan)),
		meshtest.SignedAs(t, s.Keys[topology.Push], topology.Push, scan, command(topology.VerbScan), now),
	)
	from := func(role, subject, verb string) {
		c := command(verb)
		c.Id = role + verb
		require.NoError(t, s.Clients[role].Publish(t.Context(), subject, c, mesh.WithID(c.GetId())))
	}
	from(topology.Reconciliation, sync, topology.VerbSync)
	from(topology.Reconciliation, writeBack, topology.VerbWriteBack)
	from(topology.Push, backfill, topology.VerbBackfill)
	from(topology.Ingestion, backfill, topology.VerbBackfill)
	from(topology.Pull, scan, topology.VerbScan)
	for c, want := range map[topology.Consumer][]string{
		topology.PushCommand:      {"reconciliationsync"},
		topology.IngestionCommand: {"reconciliationwrite-back", "pushbackfill", "ingestionbackfill"},
		topology.PullCommand:      {"pullscan"},
	} {
		require.Equal(t, want, ids(t, s, c, len(want)), c.Name)
		settled(t, s, c)
	}
}

// ids returns the ids of the commands that a consumer's handler gets.
func ids(t *testing.T, s *meshtest.Signers, c topology.Consumer, n int) (got []string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	require.NoError(t, mesh.Consume(ctx, s.Clients[c.Name], mesh.Worker{Service: c.Name, Consumer: c},
		func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
			if got = append(got, msg.Body.GetId()); len(got) == n {
				stop()
			}
			return mesh.Ack()
		}))
	return got
}

// JetStream knows the signed id for two minutes, and readers refuse commands that were signed longer ago.
func TestConsume_RefusesRepublishedCommand(t *testing.T) {
	s := meshtest.NewSigners(t)
	require.NoError(t,
		s.Clients[topology.Reconciliation].Publish(t.Context(),
			topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug"),
			command(topology.VerbSync), mesh.WithID("c")))
	again := s.Again(t, topology.StreamCommand, 1)
	require.NotEmpty(t, again.Header.Get(mesh.SignatureHeader))
	require.True(t, s.Put(t, again).Duplicate)
	again.Header.Del(jetstream.MsgIDHeader)
	require.False(t, s.Put(t, again).Duplicate)
	require.Equal(t, []string{"c"}, ids(t, s, topology.PushCommand, 1))
	settledAfter(t, s, topology.PushCommand)
	stream, err := s.Outside.JetStream().Stream(t.Context(), topology.StreamCommand)
	require.NoError(t, err)
	require.GreaterOrEqual(t, stream.CachedInfo().Config.Duplicates, 2*time.Minute, "readers rely on it")
}

// settledAfter runs a consumer's handler until it has refused everything that is left.
func settledAfter(t *testing.T, s *meshtest.Signers, c topology.Consumer) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, s.Clients[c.Name], mesh.Worker{Service: c.Name, Consumer: c},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				t.Errorf("the handler got %s", msg.Subject)
				return mesh.Ack()
			})
	}()
	settled(t, s, c)
	stop()
	require.NoError(t, <-done)
}

func TestRetryLater_SignsRetryThroughSchedule(t *testing.T) {
	s := meshtest.NewSigners(t)
	push, rec := s.Clients[topology.Push], s.Clients[topology.Reconciliation]
	s.Put(t, meshtest.Unsigned(t, "retry.push.default.cap", &meshv1.Retry{
		Account:   "default",
		ProductId: "cap",
		Overwrite: []string{"name"},
	}))
	retrying, err := rec.Retrying(t.Context(), topology.Push, "default", "cap")
	require.NoError(t, err)
	require.False(t, retrying, "a forged retry hides drift")
	s.Put(t, meshtest.Unsigned(t, "retry.due.push.default.hat", &meshv1.Retry{
		Account:   "default",
		ProductId: "hat",
		Overwrite: []string{"name"},
	}))
	require.NoError(t,
		push.RetryLater(t.Context(), topology.Push, &meshv1.Retry{Account: "default", ProductId: "mug", Version: 7},
			time.Second))
	retrying, err = rec.Retrying(t.Context(), topology.Push, "default", "mug")
	require.NoError(t, err)
	require.True(t, retrying)
	listed, _, err := rec.Retries(t.Context(), topology.Push, "default", 10)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	got := ""
	require.NoError(t, mesh.Consume(ctx, push, mesh.Worker{Service: topology.Push, Consumer: topology.PushRetry},
		func(_ context.Context, msg mesh.Message[*meshv1.Retry]) mesh.Verdict {
			got += msg.Body.GetProductId()
			stop()
			return mesh.Ack()
		}))
	require.Equal(t, "mug", got)
}
