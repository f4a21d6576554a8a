package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const patience = 30 * time.Second

func start(t *testing.T) *mesh.Mesh {
	t.Helper()
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	return m
}

func change(product string, version uint64) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{Account: "default", ProductId: product, Version: version}
}

func publish(t *testing.T, m *mesh.Mesh, lane topology.Lane, product string, version uint64) {
	t.Helper()
	require.NoError(t,
		m.Publish(t.Context(), topology.CatalogSubject("default", lane, product), change(product, version),
			mesh.WithVersion(version)))
}

func TestPlan_IsEmptyAfterApply(t *testing.T) {
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.ErrorContains(t, m.Bind(t.Context(), topology.PushLive), "driftless topology apply")

	diffs, err := topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.NotEmpty(t, diffs)
	for _, d := range diffs {
		require.True(t, d.Missing, d)
	}
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	diffs, err = topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Empty(t, diffs)
	require.NoError(t, m.Bind(t.Context(), topology.PushLive, topology.ReconciliationObserved))
}

func TestConnect_ErrorsHideSecrets(t *testing.T) {
	for name, url := range map[string]string{
		"several servers": "nats://a:hush@127.0.0.1:1,nats://b:hush@127.0.0.1:2",
		"a token":         "nats://hush@127.0.0.1:1",
		"a broken URL":    "nats://a:hush%@127.0.0.1:1",
		"a broken port":   "nats://a:hush/b@127.0.0.1:1",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
			require.Error(t, err)
			require.ErrorContains(t, err, "NATS_URL")
			require.NotContains(t, err.Error(), "hush")
		})
	}
}

func TestApply_RepairsDifferencesAndKeepsPositions(t *testing.T) {
	m := start(t)
	publish(t, m, topology.Live, "p", 1)
	stream, err := m.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgsPerSubject = 2
	_, err = m.JetStream().UpdateStream(t.Context(), cfg)
	require.NoError(t, err)

	diffs, err := topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Len(t, diffs, 1)
	require.Contains(t, diffs[0].String(), "max messages per subject is 2, declared 16")
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	diffs, err = topology.Plan(t.Context(), m.JetStream(), topology.Options{})
	require.NoError(t, err)
	require.Empty(t, diffs)
	newest, err := m.Desired().Latest(t.Context(), "default", "p")
	require.NoError(t, err)
	require.EqualValues(t, 1, newest.GetVersion())
}

func TestConnect_UnreachableServerIsOneSentence(t *testing.T) {
	_, err := mesh.Connect(t.Context(), mesh.Config{URL: "nats://user:hidden@127.0.0.1:1", Name: "test"})
	require.ErrorContains(t, err, "cannot reach NATS at")
	require.ErrorContains(t, err, "NATS_URL")
	require.NotContains(t, err.Error(), "hidden")
}

func TestToken_IsDistinctAndValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Short ids, and long ones with common beginnings.
		id := rapid.OneOf(rapid.String(), rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(rapid.SampledFrom([]string{"a", "é", "="}).Draw(t, "of"),
				rapid.IntRange(80, 1500).Draw(t, "n")) + rapid.StringN(0, 2, -1).Draw(t, "end")
		}))
		a, b := id.Draw(t, "a"), id.Draw(t, "b")
		ta, tb := topology.Token(a), topology.Token(b)
		if ta == "" || len(ta) > 512 || strings.ContainsAny(ta, ".*> \t") {
			t.Fatalf("%q is no token", ta)
		}
		if as := topology.Token(ta); as == ta && ta != a {
			t.Fatalf("%q is the token of %q, and of an id of that text", ta, a)
		}
		if (a == b) != (ta == tb) {
			t.Fatalf("%q and %q have tokens %q and %q", a, b, ta, tb)
		}
	})
}

func TestLatest_ReturnsHighestVersionOfBothLanes(t *testing.T) {
	m := start(t)
	newest, err := m.Desired().Latest(t.Context(), "default", "p/1")
	require.NoError(t, err)
	require.Nil(t, newest)
	for _, c := range []struct {
		lane          topology.Lane
		version, want uint64
	}{
		{topology.Bulk, 10, 10},
		{topology.Live, 20, 20},
		// It was read before the live change, and published after it.
		{topology.Bulk, 15, 20},
		{topology.Bulk, 30, 30},
	} {
		publish(t, m, c.lane, "p/1", c.version)
		newest, err := m.Desired().Latest(t.Context(), "default", "p/1")
		require.NoError(t, err)
		require.Equal(t, c.want, newest.GetVersion())
	}
	last, err := m.Desired().LastLive(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, 20, last)
	tokens, err := m.Desired().Products(t.Context(), "default")
	require.NoError(t, err)
	require.Equal(t, []string{topology.Token("p/1")}, tokens)
}

func TestPublishBatch_KeepsOrder(t *testing.T) {
	m := start(t)
	const n = 2*mesh.MaxBatch + 1
	out := make([]mesh.Outgoing, n)
	for i := range out {
		out[i] = mesh.Outgoing{
			Subject: topology.CatalogSubject("default", topology.Live, "p"),
			Body:    change("p", uint64(i+1)),
			Version: uint64(i + 1),
		}
	}
	require.NoError(t, m.PublishBatch(t.Context(), out))
	last, err := m.Desired().LastLive(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, n, last)
}

func TestPublishBatch_SplitsLargeMessages(t *testing.T) {
	m := start(t)
	out := make([]mesh.Outgoing, 1000)
	for i := range out {
		c := change(fmt.Sprintf("p%d", i), uint64(i+1))
		c.Product = &catalogv1.Product{Id: c.GetProductId(), Description: strings.Repeat("x", 512<<10)}
		out[i] = mesh.Outgoing{
			Subject: topology.CatalogSubject("default", topology.Live, c.GetProductId()),
			Body:    c,
			Version: uint64(i + 1),
		}
	}
	require.NoError(t, m.PublishBatch(t.Context(), out), "500 MB, and the server buffers 128")
	tokens, err := m.Desired().Products(t.Context(), "default")
	require.NoError(t, err)
	require.Len(t, tokens, len(out))
}

func TestObservedStore_ComparesAndSets(t *testing.T) {
	m := start(t)
	store := m.Observed()
	o, revision, err := store.Get(t.Context(), "default", "p")
	require.NoError(t, err)
	require.Zero(t, revision)
	require.Equal(t, "p", o.GetProductId())

	const writers, each = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				_, err := store.Update(context.WithoutCancel(t.Context()), "default", "p",
					func(o *catalogv1.Observed) error {
						o.Generation++
						return nil
					})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	o, revision, err = store.Get(t.Context(), "default", "p")
	require.NoError(t, err)
	require.EqualValues(t, writers*each, o.GetGeneration(), "no update may be lost")

	_, err = store.UpdateAt(t.Context(), "default", "p", revision-1, func(*catalogv1.Observed) error { return nil })
	require.ErrorIs(t, err, mesh.ErrConflict)
	_, err = store.UpdateAt(t.Context(), "default", "p", revision,
		func(*catalogv1.Observed) error { return mesh.ErrNoChange })
	require.NoError(t, err)
	_, err = store.UpdateAt(t.Context(), "default", "p", revision,
		func(o *catalogv1.Observed) error { o.Generation = 7; return nil })
	require.NoError(t, err)
}

func TestObservedStore_WritesAfterKeyWasRemoved(t *testing.T) {
	m := start(t)
	set := func(o *catalogv1.Observed) error { o.Generation++; return nil }
	_, err := m.Observed().Update(t.Context(), "default", "p", set)
	require.NoError(t, err)
	kv, err := m.JetStream().KeyValue(t.Context(), topology.BucketObserved)
	require.NoError(t, err)
	require.NoError(t, kv.Delete(t.Context(), "default.p"))
	o, err := m.Observed().Update(t.Context(), "default", "p", set)
	require.NoError(t, err)
	require.EqualValues(t, 1, o.GetGeneration())
}

func work(t *testing.T, m *mesh.Mesh,
	handle func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict,
) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushLive, Concurrency: 4},
			handle)
	}()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func pending(t *testing.T, m *mesh.Mesh, c topology.Consumer) uint64 {
	t.Helper()
	all, err := m.Consumers(t.Context())
	require.NoError(t, err)
	for _, s := range all {
		if s.Consumer == c {
			return s.Pending + s.InFlight
		}
	}
	t.Fatalf("no consumer %v", c)
	return 0
}

func TestConsumers_ListsAllStreams(t *testing.T) {
	m := start(t)
	for i := range 3 {
		publish(t, m, topology.Live, "p", uint64(i+1))
	}
	// The server counts new messages of a consumer slightly after it has stored them.
	for _, c := range []topology.Consumer{topology.PushLive, topology.ReconciliationCatalog} {
		require.Eventually(t, func() bool { return pending(t, m, c) == 3 }, patience, 10*time.Millisecond)
	}
	calls, err := m.Conn().SubscribeSync("$JS.API.CONSUMER.>")
	require.NoError(t, err)
	defer func() { require.NoError(t, calls.Unsubscribe()) }()
	all, err := m.Consumers(t.Context())
	require.NoError(t, err)
	require.NoError(t, m.Conn().Flush())
	backlog, streams := map[topology.Consumer]uint64{}, map[string]bool{}
	for _, c := range all {
		backlog[c.Consumer] = c.Pending
		streams["$JS.API.CONSUMER.LIST."+c.Stream] = true
	}
	n, _, err := calls.Pending()
	require.NoError(t, err)
	require.Len(t, streams, n, "one call for each stream")
	for range n {
		call, err := calls.NextMsg(patience)
		require.NoError(t, err)
		require.True(t, streams[call.Subject], call.Subject)
	}
	require.EqualValues(t, 3, backlog[topology.PushLive])
	require.EqualValues(t, 3, backlog[topology.ReconciliationCatalog])
	require.Contains(t, backlog, topology.ReconciliationObserved)

	require.NoError(t,
		m.JetStream().DeleteConsumer(t.Context(), topology.PushBulk.Stream, topology.PushBulk.Durable("default")))
	_, err = m.Consumers(t.Context())
	require.ErrorContains(t, err, "CATALOG has no consumer push-bulk")
}

func TestConsume_AppliesVerdicts(t *testing.T) {
	m := start(t)
	var mu sync.Mutex
	attempts := map[string][]uint64{}
	stop := work(t, m, func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		mu.Lock()
		defer mu.Unlock()
		id := msg.Body.GetProductId()
		attempts[id] = append(attempts[id], msg.Attempt)
		switch {
		case id == "retried" && msg.Attempt < 3:
			return mesh.RetryIn(10*time.Millisecond, errors.New("not yet"))
		case id == "dead":
			return mesh.Dead(&meshv1.DeadLetter{
				Account:   "default",
				ProductId: id,
				Reason:    topology.ReasonRefused,
				Message:   "no",
			})
		default:
			return mesh.Ack()
		}
	})
	defer stop()
	for _, id := range []string{"good", "retried", "dead"} {
		publish(t, m, topology.Live, id, 1)
	}
	require.Eventually(t, func() bool { return pending(t, m, topology.PushLive) == 0 }, patience, 10*time.Millisecond)
	stop()
	require.Equal(t, map[string][]uint64{"good": {1}, "retried": {1, 2, 3}, "dead": {1}}, attempts)

	stream, err := m.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	msg, err := stream.GetLastMsgForSubject(t.Context(), topology.DeadSubject(topology.Push, "default", "dead"))
	require.NoError(t, err)
	require.NotEmpty(t, msg.Data)
}

func TestConsume_DeadLettersUndecodableMessage(t *testing.T) {
	m := start(t)
	stop := work(t, m, func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		t.Error("the handler was given what it cannot read")
		return mesh.Ack()
	})
	defer stop()
	broken := &nats.Msg{
		Subject: topology.CatalogSubject("default", topology.Live, "bro/ken"),
		Data:    []byte{0xff, 0xff},
		Header:  nats.Header{},
	}
	broken.Header.Set(mesh.VersionHeader, "12345678901234567890")
	_, err := m.JetStream().PublishMsg(t.Context(), broken)
	require.NoError(t, err)
	stream, err := m.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	letter := &meshv1.DeadLetter{}
	require.Eventually(t, func() bool {
		msg, err := stream.GetLastMsgForSubject(t.Context(), topology.DeadSubject(topology.Push, "default", "bro/ken"))
		return err == nil && proto.Unmarshal(msg.Data, letter) == nil
	}, patience, 10*time.Millisecond)
	require.Equal(t, "bro/ken", letter.GetProductId())
	require.Equal(t, uint64(12345678901234567890), letter.GetVersion())
}

func TestConsume_SeparatesAccounts(t *testing.T) {
	m := start(t)
	other, err := mesh.Connect(t.Context(), mesh.Config{URL: m.Conn().ConnectedUrl(), Name: "other", Account: "other"})
	require.NoError(t, err)
	defer other.Close()
	require.ErrorContains(t, other.Bind(t.Context(), topology.PushLive),
		"run `driftless topology apply --account other`")
	require.NoError(t,
		topology.Apply(t.Context(), m.JetStream(), topology.Options{Accounts: []string{"default", "other"}}))
	require.NoError(t, other.Bind(t.Context(), topology.PushLive))

	_, err = m.JetStream().Publish(t.Context(), "catalog.other.live.p", nil)
	require.NoError(t, err)
	publish(t, m, topology.Live, "p", 1)
	// A consumer counts a message slightly after the stream has acknowledged it.
	require.Eventually(t,
		func() bool { return pending(t, m, topology.PushLive) == 1 && pending(t, other, topology.PushLive) == 1 },
		patience, 5*time.Millisecond)
	var handled atomic.Value
	stop := work(t, m, func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		if !handled.CompareAndSwap(nil, msg.Subject) {
			t.Error("handled too", msg.Subject)
		}
		return mesh.Ack()
	})
	require.Eventually(t, func() bool { return pending(t, m, topology.PushLive) == 0 }, patience, 10*time.Millisecond)
	stop()
	require.Equal(t, "catalog.default.live.p", handled.Load())
	require.EqualValues(t, 1, pending(t, other, topology.PushLive), "the other's is still there")
}

func TestMessage_AccountIsInSubject(t *testing.T) {
	for subject, want := range map[string]string{
		topology.CatalogSubject("a", topology.Bulk, "p"):                        "a",
		topology.StripeSubject("a", "p"):                                        "a",
		topology.SyncSubject("a", meshv1.OutcomeKind_OUTCOME_KIND_APPLIED, "p"): "a",
		topology.DeadSubject(topology.Push, "a", "p"):                           "a",
		topology.CommandSubject(topology.Pull, "a", topology.VerbScan, ""):      "a",
		topology.CommandSubject(topology.Push, "a", topology.VerbSync, "p"):     "a",
		"$KV." + topology.BucketObserved + ".a.p":                               "a",
		"retry.push.a.p":     "a",
		"retry.due.push.a.p": "a",
		"nonsense":           "",
	} {
		require.Equal(t, want, mesh.Message[*meshv1.Command]{Subject: subject}.Account(), subject)
	}
}

func TestConsume_ContinuesTrace(t *testing.T) {
	m := start(t)
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var got atomic.Value
	stop := work(t, m, func(ctx context.Context, _ mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		got.Store(trace.SpanContextFromContext(ctx).TraceID().String())
		return mesh.Ack()
	})
	defer stop()
	ctx := telemetry.ContextWithTraceparent(t.Context(), traceparent)
	require.NoError(t, m.Publish(ctx, topology.CatalogSubject("default", topology.Live, "p"), change("p", 1)))
	require.Eventually(t, func() bool { return got.Load() != nil }, patience, 10*time.Millisecond)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", got.Load())
}

func TestConsume_FinishesHandlersBeforeReturn(t *testing.T) {
	m := start(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	stop := work(t, m, func(ctx context.Context, _ mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		close(entered)
		<-release
		if ctx.Err() == nil {
			finished.Store(true)
		}
		return mesh.Ack()
	})
	publish(t, m, topology.Live, "p", 1)
	<-entered
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	stop()
	require.True(t, finished.Load(), "the handler's context must outlive the stop")
	require.Eventually(t, func() bool { return pending(t, m, topology.PushLive) == 0 }, patience, 10*time.Millisecond,
		"acknowledged")
}

// TestConsume_EndsWithoutErrorIfStoppedWhileItStarts: a service that is stopped right after its start has not failed.
func TestConsume_EndsWithoutErrorIfStoppedWhileItStarts(t *testing.T) {
	m := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, mesh.Consume(ctx, m, mesh.Worker{Consumer: topology.PushLive},
		func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict { return mesh.Ack() }))
}

func TestConsume_FetchesNothingAhead(t *testing.T) {
	m := start(t)
	for i := range 20 {
		publish(t, m, topology.Live, fmt.Sprintf("p%d", i), uint64(i+1))
	}
	entered, release := make(chan struct{}, 20), make(chan struct{})
	stop := work(t, m, func(context.Context, mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		entered <- struct{}{}
		<-release
		return mesh.Ack()
	})
	for range 4 {
		<-entered
	}
	localtest.Holds(t, 300*time.Millisecond, func() bool {
		c, err := m.JetStream().Consumer(t.Context(), topology.PushLive.Stream, topology.PushLive.Durable("default"))
		require.NoError(t, err)
		return c.CachedInfo().NumAckPending == 4
	}, "four are handled, and no other waits here while its ack wait runs")
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	stop()
}

func TestRetryDelay_GrowsWithJitterToFifteenMinutes(t *testing.T) {
	for attempt, most := range map[uint64]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 10: 512 * time.Second,
		11: 15 * time.Minute, 1 << 40: 15 * time.Minute,
	} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := mesh.RetryDelay(attempt)
			require.GreaterOrEqual(t, d, most/2, attempt)
			require.Less(t, d, most, attempt)
			seen[d] = true
		}
		require.Greater(t, len(seen), 50, "delays must be spread")
	}
}

func TestRecord_StoresValues(t *testing.T) {
	m := start(t)
	c := m.Record(topology.KeyEvents, "default")
	s, err := c.GetString(t.Context())
	require.NoError(t, err)
	require.Empty(t, s)
	require.NoError(t, c.PutString(t.Context(), "evt_1"))
	s, err = c.GetString(t.Context())
	require.NoError(t, err)
	require.Equal(t, "evt_1", s)
	report := &meshv1.ScanReport{}
	ok, err := m.Record(topology.KeyScan, "default").Get(t.Context(), report)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, m.Record(topology.KeyScan, "default").Put(t.Context(), &meshv1.ScanReport{Id: "s1"}))
	ok, err = m.Record(topology.KeyScan, "default").Get(t.Context(), report)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "s1", report.GetId())
}

func TestRecord_StoresAfterKeyWasDeleted(t *testing.T) {
	m := start(t)
	budget := m.Budget("default")
	_, err := budget.CompareAndPut(t.Context(), &meshv1.Budget{Next: 1}, 0)
	require.NoError(t, err)
	_, err = budget.CompareAndPut(t.Context(), &meshv1.Budget{Next: 2}, 0)
	require.ErrorIs(t, err, mesh.ErrConflict)
	kv, err := m.JetStream().KeyValue(t.Context(), topology.BucketBudget)
	require.NoError(t, err)
	require.NoError(t, kv.Delete(t.Context(), "default"))
	record := &meshv1.Budget{}
	revision, err := budget.GetAt(t.Context(), record)
	require.NoError(t, err)
	require.Zero(t, revision)
	revision, err = budget.CompareAndPut(t.Context(), &meshv1.Budget{Next: 3}, 0)
	require.NoError(t, err)
	got, err := budget.GetAt(t.Context(), record)
	require.NoError(t, err)
	require.Equal(t, revision, got)
	require.EqualValues(t, 3, record.GetNext())
}

func TestObservedStore_CountsProductsOfAccount(t *testing.T) {
	m := start(t)
	for _, key := range []string{"default/a", "default/b", "other/a"} {
		account, product, _ := strings.Cut(key, "/")
		for range 2 {
			_, err := m.Observed().Update(t.Context(), account, product,
				func(o *catalogv1.Observed) error { o.Generation++; return nil })
			require.NoError(t, err)
		}
	}
	n, err := m.Observed().Count(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}

func TestRetryLater_ComesDueUnlessCanceled(t *testing.T) {
	m := start(t)
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	failing := telemetry.ContextWithTraceparent(t.Context(), traceparent)
	later := func(product string, version uint64) {
		require.NoError(t,
			m.RetryLater(failing, topology.Push,
				&meshv1.Retry{Account: "default", ProductId: product, Version: version}, 2*time.Second))
	}
	later("a", 10)
	later("b", 10)
	later("b", 20)
	later("c", 20)
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "a", 10, false))
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "c", 10, true),
		"it is about a newer version")
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "none", 10, false))
	n, err := m.RetryingCount(t.Context(), topology.Push, "default")
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.NoError(t,
		m.RetryLater(t.Context(), topology.Push,
			&meshv1.Retry{Account: "default", ProductId: "d", Version: 10, Look: true}, time.Hour))
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "d", 10, false))
	retrying, err := m.Retrying(t.Context(), topology.Push, "default", "d")
	require.NoError(t, err)
	require.True(t, retrying, "a look that was asked for is still to be taken")
	require.NoError(t, m.CancelRetry(t.Context(), topology.Push, "default", "d", 10, true))
	retrying, err = m.Retrying(t.Context(), topology.Push, "default", "d")
	require.NoError(t, err)
	require.False(t, retrying)

	due := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, m, mesh.Worker{Service: topology.Push, Consumer: topology.PushRetry},
			func(ctx context.Context, msg mesh.Message[*meshv1.Retry]) mesh.Verdict {
				due <- fmt.Sprint(msg.Body.GetProductId(), msg.Body.GetVersion(), " ",
					trace.SpanContextFromContext(ctx).TraceID())
				return mesh.Ack()
			})
	}()
	const inTrace = " 0af7651916cd43dd8448eb211c80319c"
	require.ElementsMatch(t, []string{"b20" + inTrace, "c20" + inTrace}, []string{<-due, <-due},
		"in the trace of what failed")
	localtest.Holds(t, 1500*time.Millisecond, func() bool { return len(due) == 0 },
		"each once, and what was taken back not at all")
	cancel()
	require.NoError(t, <-done)
}

func TestGetMany_ReturnsEntriesInOrder(t *testing.T) {
	m := start(t)
	store := m.Observed()
	for e, err := range store.Range(t.Context(), "default", 0, 100) {
		require.Fail(t, "an empty bucket has entries", "%v %v", e, err)
	}
	products := []string{"absent"}
	for i := range 40 {
		id := fmt.Sprintf("p/%d", i)
		products = append(products, id)
		_, err := store.Update(t.Context(), "default", id,
			func(o *catalogv1.Observed) error { o.Version = uint64(i); return nil })
		require.NoError(t, err)
	}
	_, err := store.Update(t.Context(), "other", "p", func(o *catalogv1.Observed) error { o.Version = 99; return nil })
	require.NoError(t, err)
	entries, err := store.GetMany(t.Context(), "default", products)
	require.NoError(t, err)
	require.Zero(t, entries[0].Revision)
	require.Equal(t, "absent", entries[0].Observed.GetProductId())
	for i, e := range entries[1:] {
		require.Equal(t, products[i+1], e.Observed.GetProductId())
		require.EqualValues(t, i, e.Observed.GetVersion())
	}
	end, err := store.Revision(t.Context())
	require.NoError(t, err)
	// An entry that is written again moves beyond the end, like a new one.
	_, err = store.Update(t.Context(), "default", "p/3",
		func(o *catalogv1.Observed) error { o.Version = 100; return nil })
	require.NoError(t, err)
	var versions []uint64
	last := uint64(0)
	for e, err := range store.Range(t.Context(), "default", entries[3].Revision, end) {
		require.NoError(t, err)
		require.Greater(t, e.Revision, last)
		last = e.Revision
		versions = append(versions, e.Observed.GetVersion())
	}
	require.Len(t, versions, 37)
	require.NotContains(t, versions, uint64(3))
	require.NotContains(t, versions, uint64(99), "another account's")
	_, err = store.Put(t.Context(), entries[4].Observed, entries[4].Revision)
	require.ErrorIs(t, err, mesh.ErrConflict)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range store.Range(ctx, "default", 0, end) {
		require.ErrorIs(t, err, context.Canceled)
	}
}
