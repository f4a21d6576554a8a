package mesh

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// A single server and a cluster check expectations and ids in different places.
func TestStoreIn_OnOneServer(t *testing.T) {
	url, _ := localtest.NATS(t)
	storeRepeatedly(t, url, 1)
}

func TestStoreIn_InCluster(t *testing.T) {
	storeRepeatedly(t, localtest.Cluster(t), 3)
}

func storeRepeatedly(t *testing.T, url string, replicas int) {
	t.Helper()
	m, err := Connect(t.Context(), Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{Replicas: replicas}))
	bucket := "KV_" + topology.BucketObserved
	write := func(product string, revision uint64) *nats.Msg {
		subject := topology.KeyObserved.Sub(topology.Token(product)).Subject("default")
		msg := &nats.Msg{Subject: subject, Data: []byte(product), Header: nats.Header{}}
		msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
		repeatable(msg)
		return msg
	}
	count := func(stream string) uint64 {
		s, err := m.js.Stream(t.Context(), stream)
		require.NoError(t, err)
		return s.CachedInfo().State.Msgs
	}

	t.Run("a compare-and-set does not lose against itself", func(t *testing.T) {
		msg := write("own", 0)
		first := m.storeIn(t.Context(), bucket, msg, false)
		require.NoError(t, first.err)
		again := m.storeIn(t.Context(), bucket, msg, true)
		require.NoError(t, again.err)
		require.Equal(t, first.sequence, again.sequence)
	})
	t.Run("a compare-and-set loses against another", func(t *testing.T) {
		require.NoError(t, m.storeIn(t.Context(), bucket, write("other", 0), false).err)
		late := m.storeIn(t.Context(), bucket, write("other", 0), true)
		require.True(t, IsConflict(late.err), "%v", late.err)
	})
	t.Run("a compare-and-set loses after a later write", func(t *testing.T) {
		msg := write("since", 0)
		first := m.storeIn(t.Context(), bucket, msg, false)
		require.NoError(t, first.err)
		require.NoError(t, m.storeIn(t.Context(), bucket, write("since", first.sequence), false).err)
		again := m.storeIn(t.Context(), bucket, msg, true)
		require.True(t, IsConflict(again.err), "%v", again.err)
	})
	t.Run("a message is stored once", func(t *testing.T) {
		msg := &nats.Msg{Subject: "stripe.default.once"}
		repeatable(msg)
		require.NoError(t, m.storeIn(t.Context(), topology.StreamStripe, msg, false).err)
		again := m.storeIn(t.Context(), topology.StreamStripe, msg, true)
		require.NoError(t, again.err)
		require.False(t, again.duplicate, "it is this write that is stored")
		require.EqualValues(t, 1, count(topology.StreamStripe))
	})
	t.Run("a batch is stored once", func(t *testing.T) {
		var msgs []*nats.Msg
		for i := range 20 {
			msgs = append(msgs, &nats.Msg{Subject: "catalog.default.live.p" + strconv.Itoa(i), Header: nats.Header{}})
		}
		repeatable(msgs[0])
		_, err = m.storeBatch(t.Context(), msgs, 0)
		require.NoError(t, err)
		_, err = m.storeBatch(t.Context(), msgs, 0)
		require.NoError(t, err)
		require.EqualValues(t, len(msgs), count(topology.StreamCatalog))
	})
	t.Run("a batch in doubt is stored one by one", func(t *testing.T) {
		before := count(bucket)
		c := &committer{m: m, stream: bucket, senders: &m.senders}
		var group []*commit
		for i := range minAtomicBatch {
			group = append(group, &commit{msg: write("doubt"+strconv.Itoa(i), 0), done: make(chan stored, 1)})
		}
		require.True(t, c.storeAtomic(group))
		for _, w := range group {
			first := <-w.done
			require.NoError(t, first.err)
			// This simulates a batch without an answer.
			w.inDoubt = true
			require.Equal(t, first.sequence, c.storeOne(w).sequence)
		}
		require.Equal(t, before+minAtomicBatch, count(bucket))
	})
}

func TestRepeat_StartsSecondAttemptWithoutAnswer(t *testing.T) {
	url, _ := localtest.NATS(t)
	m, err := Connect(t.Context(), Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)

	hang := func(ctx context.Context, attempt int) (int, error) {
		if attempt < 3 {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return attempt, nil
	}
	began := time.Now()
	answered, err := repeat(t.Context(), m, hang)
	require.NoError(t, err)
	require.Equal(t, 3, answered)
	require.Less(t, time.Since(began), 10*time.Second)

	slow := make(chan struct{})
	answered, err = repeat(t.Context(), m, func(ctx context.Context, attempt int) (int, error) {
		if attempt > 1 {
			close(slow)
			<-ctx.Done()
			return 0, ctx.Err()
		}
		<-slow
		return attempt, nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, answered, "a late answer counts")

	refusal := errors.New("refused")
	calls := 0
	_, err = repeat(t.Context(), m, func(context.Context, int) (int, error) {
		calls++
		return 0, refusal
	})
	require.ErrorIs(t, err, refusal)
	require.Equal(t, 1, calls, "an answer is not asked for again")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = repeat(ctx, m, func(ctx context.Context, _ int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
