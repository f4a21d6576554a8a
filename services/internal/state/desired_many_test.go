package state_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestLatestMany_ReturnsLatestOfEach(t *testing.T) {
	m := meshtest.Start(t)
	stores := state.New(m)
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
			meshtest.Publish(t, m, lane, id, uint64(i))
		}
	}
	ids = append(ids, "an id of \xff bytes", strings.Repeat("é", 2500))
	meshtest.Publish(t, m, topology.Live, ids[len(ids)-1], 1)
	// The higher version counts, whatever its lane and time.
	meshtest.Publish(t, m, topology.Live, ids[3], 9)
	meshtest.Publish(t, m, topology.Bulk, ids[3], 8)

	many, err := stores.Desired().LatestMany(t.Context(), "default", ids)
	require.NoError(t, err)
	require.Len(t, many, len(ids))
	for i, id := range ids {
		one, err := stores.Desired().Latest(t.Context(), "default", id)
		require.NoError(t, err)
		require.True(t, proto.Equal(one, many[i]), "%s: %v, %v", id, one, many[i])
	}
	require.Nil(t, many[0])
	require.EqualValues(t, 9, many[3].GetVersion())
	none, err := stores.Desired().LatestMany(t.Context(), "default", nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestLatestMany_FailsWithoutStream(t *testing.T) {
	m := meshtest.Start(t)
	stores := state.New(m)
	meshtest.Publish(t, m, topology.Live, "mug", 1)
	require.NoError(t, m.JetStream().DeleteStream(t.Context(), topology.StreamCatalog))
	_, err := stores.Desired().LatestMany(t.Context(), "default", []string{"mug"})
	require.ErrorContains(t, err, "stream CATALOG")
	_, err = stores.CatalogState(t.Context())
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	require.ErrorIs(t, stores.Desired().EachProduct(t.Context(), "default", func([]string) error { return nil }),
		jetstream.ErrStreamNotFound)
}

func TestEachProduct_ListsEachOnceInOrder(t *testing.T) {
	m := meshtest.Start(t)
	stores := state.New(m)
	// More subjects than the server lists in a page.
	const live = 100_500
	want := map[string]bool{}
	var out []mesh.Outgoing
	add := func(account string, lane topology.Lane, id string) {
		out = append(out, mesh.Outgoing{
			Subject: topology.CatalogSubject(account, lane, id),
			Body:    meshtest.Change(id, 1),
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
	require.NoError(t, stores.Desired().EachProduct(t.Context(), "default", func(tokens []string) error {
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
	require.ErrorIs(t, stores.Desired().EachProduct(t.Context(), "default", func([]string) error { return enough }),
		enough)
	require.NoError(t, stores.Desired().EachProduct(t.Context(), "nobody", func([]string) error { return enough }),
		"no page, no call")
}

func TestCatalogState_ShowsLostMessages(t *testing.T) {
	m := meshtest.Start(t)
	ask := func() state.CatalogState {
		state, err := state.New(m).CatalogState(t.Context())
		require.NoError(t, err)
		return state
	}
	for i := range 3 {
		meshtest.Publish(t, m, topology.Live, "mug", uint64(i+1))
	}
	before := ask()
	require.Equal(t, state.CatalogState{Created: before.Created, FirstSeq: 1, LastSeq: 3, Messages: 3}, before)

	stream, err := m.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	require.Equal(t, state.CatalogState{Created: before.Created, FirstSeq: 4, LastSeq: 3}, ask(), "purged")

	require.NoError(t, m.JetStream().DeleteStream(t.Context(), topology.StreamCatalog))
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	meshtest.Publish(t, m, topology.Live, "mug", 4)
	again := ask()
	require.True(t, again.Created.After(before.Created), "created again")
	require.EqualValues(t, 1, again.LastSeq)
}
