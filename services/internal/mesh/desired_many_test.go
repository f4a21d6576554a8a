package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestLatestMany_ReturnsLatestOfEach(t *testing.T) {
	m := start(t)
	var ids []string
	// More products than requests in flight.
	for i := range 600 {
		id := fmt.Sprintf("p %d", i)
		ids = append(ids, id)
		if i%4 == 0 {
			continue
		}
		for _, lane := range [][]topology.Lane{
			nil,
			{topology.Live},
			{topology.Bulk},
			{topology.Live, topology.Bulk},
		}[i%4] {
			publish(t, m, lane, id, uint64(i))
		}
	}
	ids = append(ids, "an id of \xff bytes", strings.Repeat("é", 2500))
	publish(t, m, topology.Live, ids[len(ids)-1], 1)
	// The higher version counts, whatever its lane and time.
	publish(t, m, topology.Live, ids[3], 9)
	publish(t, m, topology.Bulk, ids[3], 8)

	many, err := m.Desired().LatestMany(t.Context(), "default", ids)
	require.NoError(t, err)
	require.Len(t, many, len(ids))
	for i, id := range ids {
		one, err := m.Desired().Latest(t.Context(), "default", id)
		require.NoError(t, err)
		require.True(t, proto.Equal(one, many[i]), "%s: %v, %v", id, one, many[i])
	}
	require.Nil(t, many[0])
	require.EqualValues(t, 9, many[3].GetVersion())
	none, err := m.Desired().LatestMany(t.Context(), "default", nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestLatestMany_FailsWithoutStream(t *testing.T) {
	m := start(t)
	publish(t, m, topology.Live, "mug", 1)
	require.NoError(t, m.JetStream().DeleteStream(t.Context(), topology.StreamCatalog))
	_, err := m.Desired().LatestMany(t.Context(), "default", []string{"mug"})
	require.ErrorContains(t, err, "stream CATALOG")
	_, err = m.CatalogState(t.Context())
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	require.ErrorIs(t, m.Desired().EachProduct(t.Context(), "default", func([]string) error { return nil }),
		jetstream.ErrStreamNotFound)
}

func TestOpenLetters_ReturnsLetterOfEachProduct(t *testing.T) {
	m := start(t)
	letter := &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   "default",
		ProductId: "a mug",
		Reason:    topology.ReasonQueryFailed,
	}
	require.NoError(t, m.DeadLetter(t.Context(), letter))
	require.NoError(t,
		m.DeadLetter(t.Context(), &meshv1.DeadLetter{Service: topology.Push, Account: "default", ProductId: "cap"}))
	ask := func() []*meshv1.DeadLetter {
		open, err := m.OpenLetters(t.Context(), topology.Ingestion, "default", []string{"hat", "a mug", "cap"})
		require.NoError(t, err)
		return open
	}
	open := ask()
	require.Equal(t, topology.ReasonQueryFailed, open[1].GetReason())
	require.Nil(t, open[0])
	require.Nil(t, open[2], "the letter on cap is push's")
	require.NoError(t, m.DeleteLetter(t.Context(), letter))
	require.Nil(t, ask()[1])
}

func TestEachProduct_ListsEachOnceInOrder(t *testing.T) {
	m := start(t)
	// More subjects than the server lists in a page.
	const live = 100_500
	want := map[string]bool{}
	var out []mesh.Outgoing
	add := func(account string, lane topology.Lane, id string) {
		out = append(out, mesh.Outgoing{
			Subject: topology.CatalogSubject(account, lane, id),
			Body:    change(id, 1),
			Version: 1,
		})
	}
	for i := range live {
		id := fmt.Sprintf("p%d", i)
		add("default", topology.Live, id)
		want[topology.Token(id)] = true
	}
	for i := live - 300; i < live+300; i++ {
		id := fmt.Sprintf("p%d", i)
		add("default", topology.Bulk, id)
		want[topology.Token(id)] = true
	}
	add("other", topology.Live, "not ours")
	require.NoError(t, m.PublishBatch(t.Context(), out))

	var got []string
	require.NoError(t, m.Desired().EachProduct(t.Context(), "default", func(tokens []string) error {
		require.NotEmpty(t, tokens)
		got = append(got, tokens...)
		return nil
	}))
	require.Len(t, got, len(want))
	require.True(t, slices.IsSorted(got))
	for _, token := range got {
		require.True(t, want[token], token)
	}
	require.Len(t, slices.Compact(got), len(want), "each comes once")

	enough := errors.New("enough")
	require.ErrorIs(t, m.Desired().EachProduct(t.Context(), "default", func([]string) error { return enough }), enough)
	require.NoError(t, m.Desired().EachProduct(t.Context(), "nobody", func([]string) error { return enough }),
		"no page, no call")
}

func TestCatalogState_ShowsLostMessages(t *testing.T) {
	m := start(t)
	ask := func() mesh.CatalogState {
		state, err := m.CatalogState(t.Context())
		require.NoError(t, err)
		return state
	}
	for i := range 3 {
		publish(t, m, topology.Live, "mug", uint64(i+1))
	}
	before := ask()
	require.Equal(t, mesh.CatalogState{Created: before.Created, FirstSeq: 1, LastSeq: 3, Messages: 3}, before)

	stream, err := m.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	require.Equal(t, mesh.CatalogState{Created: before.Created, FirstSeq: 4, LastSeq: 3}, ask(), "purged")

	require.NoError(t, m.JetStream().DeleteStream(t.Context(), topology.StreamCatalog))
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	publish(t, m, topology.Live, "mug", 4)
	again := ask()
	require.True(t, again.Created.After(before.Created), "created again")
	require.EqualValues(t, 1, again.LastSeq)
}

func TestRequestReread_SplitsLongCommands(t *testing.T) {
	m := start(t)
	var ids []string
	for i := range 10_001 {
		ids = append(ids, fmt.Sprintf("p%d", i))
	}
	long := strings.Repeat("p", 100_000)
	for range 10 {
		ids = append(ids, long)
	}
	for range 2 {
		require.NoError(t, m.RequestReread(t.Context(), "default", "one", "a category changed", ids, true))
		require.NoError(t, m.RequestReread(t.Context(), "default", "two", "CATALOG was purged", nil, false))
	}
	var commands []*meshv1.Command
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() {
		done <- mesh.Consume(ctx, m, mesh.Worker{Service: topology.Ingestion, Consumer: topology.IngestionCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				if commands = append(commands, msg.Body); msg.Body.GetId() == "two" {
					stop()
				}
				return mesh.Ack()
			})
	}()
	require.NoError(t, <-done)
	var got []string
	for i, c := range commands[:len(commands)-1] {
		require.Equal(t, map[bool]string{true: "one", false: fmt.Sprintf("one.%d", i)}[i == 0], c.GetId())
		require.True(t, c.GetBackfill().GetConcerned())
		require.NotEmpty(t, c.GetBackfill().GetProductIds())
		require.Equal(t, "a category changed", c.GetReason())
		got = append(got, c.GetBackfill().GetProductIds()...)
	}
	require.Equal(t, ids, got)
	whole := commands[len(commands)-1]
	require.Empty(t, whole.GetBackfill().GetProductIds())
	require.False(t, whole.GetBackfill().GetConcerned())
	require.NotNil(t, whole.GetIssuedAt())
}
