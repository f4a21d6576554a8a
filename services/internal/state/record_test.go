package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestRecord_StoresValues(t *testing.T) {
	stores := state.New(meshtest.Start(t))
	c := stores.Record(topology.KeyEvents, "default")
	s, err := c.GetString(t.Context())
	require.NoError(t, err)
	require.Empty(t, s)
	require.NoError(t, c.PutString(t.Context(), "evt_1"))
	s, err = c.GetString(t.Context())
	require.NoError(t, err)
	require.Equal(t, "evt_1", s)
	report := &meshv1.ScanReport{}
	ok, err := stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, stores.Record(topology.KeyScan, "default").Put(t.Context(), &meshv1.ScanReport{Id: "s1"}))
	ok, err = stores.Record(topology.KeyScan, "default").Get(t.Context(), report)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "s1", report.GetId())
}

func TestRecord_StoresAfterKeyWasDeleted(t *testing.T) {
	m := meshtest.Start(t)
	budget := state.New(m).Budget("default")
	_, err := budget.CompareAndPut(t.Context(), &meshv1.Budget{Next: 1}, 0)
	require.NoError(t, err)
	_, err = budget.CompareAndPut(t.Context(), &meshv1.Budget{Next: 2}, 0)
	require.ErrorIs(t, err, state.ErrConflict)
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

func TestRecord_ReturnsTimeOfWrite(t *testing.T) {
	m := meshtest.Start(t)
	stores := state.New(m)
	report := &meshv1.PollReport{}
	_, written, err := stores.Record(topology.KeyPoll, "default").GetWithTime(t.Context(), report)
	require.NoError(t, err)
	require.Zero(t, written)
	require.NoError(t, stores.Record(topology.KeyPoll, "default").Put(t.Context(), &meshv1.PollReport{Events: 7}))
	_, written, err = stores.Record(topology.KeyPoll, "default").GetWithTime(t.Context(), report)
	require.NoError(t, err)
	require.EqualValues(t, 7, report.GetEvents())
	now, err := m.Clock().Now(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, now, written, time.Second)
}
