package mesh_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// signers are the services of a mesh with signed messages, and their keys.
type signers struct {
	url  string
	keys map[string]signing.PrivateKey
	// trusted is the setting of all readers.
	trusted string
	clients map[string]*mesh.Mesh
	// outside is a client without keys that may publish anything.
	outside *mesh.Mesh
}

var services = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}

func newSigners(t *testing.T) *signers {
	t.Helper()
	s := &signers{keys: map[string]signing.PrivateKey{}, clients: map[string]*mesh.Mesh{}}
	s.url, _ = localtest.NATS(t)
	var trusted []string
	for _, name := range services {
		s.keys[name] = newKey(t)
		trusted = append(trusted, name+"="+s.keys[name].Public().String())
	}
	s.trusted = strings.Join(trusted, ",")
	s.outside = s.connect(t, "test", mesh.Signing{})
	require.NoError(t, topology.Apply(t.Context(), s.outside.JetStream(), topology.Options{}))
	for _, name := range services {
		s.clients[name] = s.connect(t, name, mesh.Signing{Key: s.keys[name].Reveal(), Trusted: s.trusted})
	}
	return s
}

func newKey(t *testing.T) signing.PrivateKey {
	t.Helper()
	key, err := signing.Create()
	require.NoError(t, err)
	return key
}

func (s *signers) connect(t *testing.T, name string, keys mesh.Signing) *mesh.Mesh {
	t.Helper()
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: s.url, Name: name, Signing: keys})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

// signedAs returns a message as the holder of a key could make it.
func signedAs(t *testing.T, key signing.PrivateKey, role, subject string, body proto.Message, at time.Time,
	headers ...string,
) *nats.Msg {
	t.Helper()
	msg := unsigned(t, subject, body, headers...)
	msg.Header.Set(mesh.SignatureHeader, key.Sign(role, signing.Message{
		Subject: subject, ID: msg.Header.Get(jetstream.MsgIDHeader), Version: msg.Header.Get(mesh.VersionHeader),
		Body: msg.Data,
	}, at, 0))
	return msg
}

func unsigned(t *testing.T, subject string, body proto.Message, headers ...string) *nats.Msg {
	t.Helper()
	data, err := proto.Marshal(body)
	require.NoError(t, err)
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	return msg
}

// put stores messages unchanged.
func (s *signers) put(t *testing.T, msgs ...*nats.Msg) (last *jetstream.PubAck) {
	t.Helper()
	for _, msg := range msgs {
		var err error
		last, err = s.outside.JetStream().PublishMsg(t.Context(), msg)
		require.NoError(t, err)
	}
	return last
}

// again returns a stored message, to be published again.
func (s *signers) again(t *testing.T, stream string, sequence uint64) *nats.Msg {
	t.Helper()
	from, err := s.outside.JetStream().Stream(t.Context(), stream)
	require.NoError(t, err)
	raw, err := from.GetMsg(t.Context(), sequence)
	require.NoError(t, err)
	header := nats.Header{}
	for name, values := range raw.Header {
		if strings.HasPrefix(name, "Driftless-") || name == jetstream.MsgIDHeader {
			header[name] = values
		}
	}
	return &nats.Msg{Subject: raw.Subject, Data: raw.Data, Header: header}
}

// settled waits until a consumer has no messages left.
func (s *signers) settled(t *testing.T, c topology.Consumer) {
	t.Helper()
	require.Eventually(t, func() bool {
		cons, err := s.outside.JetStream().Consumer(t.Context(), c.Stream, c.Durable("default"))
		return err == nil && cons.CachedInfo().NumPending == 0 && cons.CachedInfo().NumAckPending == 0
	}, patience, 10*time.Millisecond)
}

const high = 1 << 60

// forgedStates returns messages on CATALOG that only ingestion could publish, and that ingestion did not publish.
func (s *signers) forgedStates(t *testing.T, subject string) map[string]*nats.Msg {
	t.Helper()
	forged, now := change("mug", high), time.Now()
	version := []string{mesh.VersionHeader, fmt.Sprint(uint64(high))}
	other := signedAs(t, s.keys[topology.Ingestion], topology.Ingestion, "catalog.default.live.cap", forged, now,
		version...)
	other.Subject = subject
	raised := signedAs(t, s.keys[topology.Ingestion], topology.Ingestion, subject, change("mug", 5), now,
		mesh.VersionHeader, "5")
	raised.Header.Set(mesh.VersionHeader, version[1])
	emptied := signedAs(t, s.keys[topology.Ingestion], topology.Ingestion, subject, forged, now, version...)
	emptied.Data = nil
	return map[string]*nats.Msg{
		"not signed": unsigned(t, subject, forged, version...),
		"signed with an unknown key": signedAs(t, newKey(t), topology.Ingestion, subject, forged, now,
			version...),
		"signed by pull as pull": signedAs(t, s.keys[topology.Pull], topology.Pull, subject, forged, now,
			version...),
		"signed by pull as ingestion": signedAs(t, s.keys[topology.Pull], topology.Ingestion, subject, forged,
			now, version...),
		"signed by reconciliation": signedAs(t, s.keys[topology.Reconciliation], topology.Reconciliation,
			subject, forged, now, version...),
		"an authentic one of another product": other,
		"an authentic one with more version":  raised,
		"an authentic one without its body":   emptied,
		"headers of a missing message": unsigned(t, subject, &catalogv1.ProductChange{}, "Status", "404",
			"Description", "Message Not Found"),
		"headers of no stream": unsigned(t, subject, &catalogv1.ProductChange{}, "Status", "503"),
		"headers of the end of a batch": unsigned(t, subject, &catalogv1.ProductChange{}, "Status", "204",
			"Description", "EOB", "Nats-Num-Pending", "0"),
		"headers of another message": unsigned(t, subject, forged, "Nats-Subject", "catalog.default.live.cap",
			"Nats-Sequence", "1",
			"Nats-Stream", "CATALOG", "Nats-Time-Stamp", "yesterday", mesh.VersionHeader, version[1]),
	}
}

func TestConsume_HandlesOnlyAuthenticStates(t *testing.T) {
	s := newSigners(t)
	subject := topology.CatalogSubject("default", topology.Live, "mug")
	for name, msg := range s.forgedStates(t, subject) {
		if msg.Header.Get("Status") != "" {
			// The client interprets a message without a body and with such a header as a status of the server.
			continue
		}
		t.Log(name)
		s.put(t, msg)
	}
	publish(t, s.clients[topology.Ingestion], topology.Live, "mug", 7)
	fence, err := s.clients[topology.Ingestion].Fence(t.Context(), "default")
	require.NoError(t, err)
	require.NoError(t, fence.Raise(t.Context()))
	require.NoError(t, fence.Publish(t.Context(), topology.Live, []mesh.Outgoing{
		{Subject: subject, Body: change("mug", 8), Version: 8}, {Subject: subject, Body: change("mug", 9), Version: 9},
	}))
	for _, c := range []topology.Consumer{topology.PushLive, topology.ReconciliationCatalog} {
		require.Equal(t, []uint64{7, 8, 9}, s.versions(t, c, 3), c.Name)
		s.settled(t, c)
	}
}

// versions returns the versions that a consumer's handler gets, in batches for reconciliation.
func (s *signers) versions(t *testing.T, c topology.Consumer, n int) (got []uint64) {
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
			mesh.ConsumeBatches(ctx, s.clients[topology.Reconciliation],
				mesh.Worker{Service: topology.Reconciliation, Consumer: c}, 100,
				func(_ context.Context, batch []mesh.Delivery[*catalogv1.ProductChange]) (out []mesh.Verdict) {
					for _, d := range batch {
						out = append(out, took(d.Body.GetVersion()))
					}
					return out
				}))
		return got
	}
	require.NoError(t, mesh.Consume(ctx, s.clients[topology.Push], mesh.Worker{Service: topology.Push, Consumer: c},
		func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
			return took(msg.Body.GetVersion())
		}))
	return got
}

// OBSERVED is not signed, and its writers may write any key. The state of one product must not pass for that of
// another.
func TestConsume_RefusesStateOfAnotherProduct(t *testing.T) {
	s := newSigners(t)
	s.put(
		t,
		unsigned(t, "$KV.OBSERVED.default.evil", &catalogv1.Observed{Account: "default", ProductId: "mug"}),
		unsigned(t, "$KV.OBSERVED.default.cap", &catalogv1.Observed{Account: "other", ProductId: "cap"}),
		unsigned(t, "$KV.OBSERVED.default.a=2Eb", &catalogv1.Observed{Account: "default", ProductId: "a.b"}),
	)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var got []string
	require.NoError(t,
		mesh.Consume(ctx, s.clients[topology.Reconciliation],
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
	s := newSigners(t)
	now := time.Now()
	sync := topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug")
	writeBack := topology.CommandSubject(topology.Ingestion, "default", topology.VerbWriteBack, "mug")
	backfill := topology.CommandSubject(topology.Ingestion, "default", topology.VerbBackfill, "")
	scan := topology.CommandSubject(topology.Pull, "default", topology.VerbScan, "")
	foreign := command(topology.VerbSync)
	foreign.Account = "other"
	s.put(
		t,
		unsigned(t, sync, command(topology.VerbSync)),
		signedAs(t, s.keys[topology.Pull], topology.Pull, sync, command(topology.VerbSync), now),
		signedAs(t, s.keys[topology.Push], topology.Push, sync, command(topology.VerbSync), now),
		signedAs(t, s.keys[topology.Ingestion], topology.Ingestion, sync, command(topology.VerbSync), now),
		signedAs(t, s.keys[topology.Reconciliation], topology.Reconciliation, sync, command(topology.VerbSync),
			now.Add(-3*time.Minute)),
		signedAs(t, s.keys[topology.Reconciliation], topology.Reconciliation, sync, command(topology.VerbScan), now),
		signedAs(t, s.keys[topology.Reconciliation], topology.Reconciliation, sync, foreign, now),
		unsigned(t, writeBack, command(topology.VerbWriteBack)),
		signedAs(t, s.keys[topology.Push], topology.Push, writeBack, command(topology.VerbWriteBack), now),
		// Push may command rereads, and sends another command on that subject.
		signedAs(t, s.keys[topology.Push], topology.Push, backfill, command(topology.VerbWriteBack), now),
		signedAs(t, s.keys[topology.Pull], topology.Pull, backfill, command(topology.VerbBackfill), now),
		unsigned(t, scan, command(topology.VerbScan)),
		signedAs(t, s.keys[topology.Push], topology.Push, scan, command(topology.VerbScan), now),
	)
	from := func(role, subject, verb string) {
		c := command(verb)
		c.Id = role + verb
		require.NoError(t, s.clients[role].Publish(t.Context(), subject, c, mesh.WithID(c.GetId())))
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
		require.Equal(t, want, s.ids(t, c, len(want)), c.Name)
		s.settled(t, c)
	}
}

// ids returns the ids of the commands that a consumer's handler gets.
func (s *signers) ids(t *testing.T, c topology.Consumer, n int) (got []string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	require.NoError(t, mesh.Consume(ctx, s.clients[c.Name], mesh.Worker{Service: c.Name, Consumer: c},
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
	s := newSigners(t)
	require.NoError(t,
		s.clients[topology.Reconciliation].Publish(t.Context(),
			topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug"),
			command(topology.VerbSync), mesh.WithID("c")))
	again := s.again(t, topology.StreamCommand, 1)
	require.NotEmpty(t, again.Header.Get(mesh.SignatureHeader))
	require.True(t, s.put(t, again).Duplicate)
	again.Header.Del(jetstream.MsgIDHeader)
	require.False(t, s.put(t, again).Duplicate)
	require.Equal(t, []string{"c"}, s.ids(t, topology.PushCommand, 1))
	s.settledAfter(t, topology.PushCommand)
	stream, err := s.outside.JetStream().Stream(t.Context(), topology.StreamCommand)
	require.NoError(t, err)
	require.GreaterOrEqual(t, stream.CachedInfo().Config.Duplicates, 2*time.Minute, "readers rely on it")
}

// settledAfter runs a consumer's handler until it has refused everything that is left.
func (s *signers) settledAfter(t *testing.T, c topology.Consumer) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, s.clients[c.Name], mesh.Worker{Service: c.Name, Consumer: c},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				t.Errorf("the handler got %s", msg.Subject)
				return mesh.Ack()
			})
	}()
	s.settled(t, c)
	stop()
	require.NoError(t, <-done)
}

func TestRetryLater_SignsRetryThroughSchedule(t *testing.T) {
	s := newSigners(t)
	push, rec := s.clients[topology.Push], s.clients[topology.Reconciliation]
	s.put(t, unsigned(t, "retry.push.default.cap", &meshv1.Retry{
		Account:   "default",
		ProductId: "cap",
		Overwrite: []string{"name"},
	}))
	retrying, err := rec.Retrying(t.Context(), topology.Push, "default", "cap")
	require.NoError(t, err)
	require.False(t, retrying, "a forged retry hides drift")
	s.put(t, unsigned(t, "retry.due.push.default.hat", &meshv1.Retry{
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
