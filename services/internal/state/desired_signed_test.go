package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Neither a forged message nor an old one that was published again is the latest state.
func TestDesiredStore_ReadsLatestAuthenticState(t *testing.T) {
	s := meshtest.NewSigners(t)
	subject := topology.CatalogSubject("default", topology.Live, "mug")
	in := s.Clients[topology.Ingestion]
	meshtest.Publish(t, in, topology.Live, "mug", 7)
	meshtest.Publish(t, in, topology.Bulk, "mug", 8)
	meshtest.Publish(t, in, topology.Live, "mug", 9)
	reads := func(t *testing.T) {
		t.Helper()
		for _, reader := range []*mesh.Mesh{in, s.Clients[topology.Push]} {
			store := state.New(reader).Desired()
			latest, err := store.Latest(t.Context(), "default", "mug")
			require.NoError(t, err)
			require.EqualValues(t, 9, latest.GetVersion())
			many, err := store.LatestMany(t.Context(), "default", []string{"none", "mug"})
			require.NoError(t, err)
			require.Nil(t, many[0])
			require.EqualValues(t, 9, many[1].GetVersion())
			live, err := store.LatestInLane(t.Context(), "default", topology.Live, "mug")
			require.NoError(t, err)
			require.EqualValues(t, 9, live.GetVersion())
			bulk, err := store.LatestInLane(t.Context(), "default", topology.Bulk, "mug")
			require.NoError(t, err)
			require.EqualValues(t, 8, bulk.GetVersion())
			version, err := store.LastLive(t.Context(), "default")
			require.NoError(t, err)
			require.EqualValues(t, 9, version)
			history, err := store.History(t.Context(), "default", "mug")
			require.NoError(t, err)
			for _, h := range history {
				require.Contains(t, []uint64{7, 8, 9}, h.Version)
			}
		}
	}
	reads(t)
	t.Run("republished old state", func(t *testing.T) {
		s.Put(t, s.Again(t, topology.StreamCatalog, 1))
		latest, err := state.New(in).Desired().Latest(t.Context(), "default", "mug")
		require.NoError(t, err)
		require.EqualValues(t, 9, latest.GetVersion())
	})
	old := meshtest.SignedAs(t, s.Keys[topology.Ingestion], topology.Ingestion, subject, meshtest.Change("mug", 7),
		time.Now().Add(-time.Hour), mesh.VersionHeader, "7")
	for name, msg := range s.ForgedStates(t, subject) {
		t.Run(name, func(t *testing.T) {
			s.Put(t, old, msg)
			reads(t)
			// The stream keeps sixteen states.
			meshtest.Publish(t, in, topology.Live, "mug", 9)
			reads(t)
		})
	}
}

// The old state is authentic and was signed a moment ago. The state that replaced it is stored behind the sequence that
// its signature names.
func TestDesiredStore_ReadsBeyondRepublishedOldState(t *testing.T) {
	s := meshtest.NewSigners(t)
	in := s.Clients[topology.Ingestion]
	for _, version := range []uint64{5, 7, 9} {
		meshtest.Publish(t, in, topology.Live, "mug", version)
	}
	again := s.Again(t, topology.StreamCatalog, 2)
	signature, err := signing.Parse(again.Header.Get(mesh.SignatureHeader))
	require.NoError(t, err)
	require.EqualValues(t, 1, signature.After)
	for range 3 {
		s.Put(t, again)
		latest, err := state.New(s.Clients[topology.Push]).Desired().Latest(t.Context(), "default", "mug")
		require.NoError(t, err)
		require.EqualValues(t, 9, latest.GetVersion())
	}
}

// Forged messages push authentic ones out. Then there is no state, and never a forged one.
func TestDesiredStore_ReturnsNothingIfAllAreForged(t *testing.T) {
	s := meshtest.NewSigners(t)
	subject := topology.CatalogSubject("default", topology.Live, "mug")
	in := s.Clients[topology.Ingestion]
	meshtest.Publish(t, in, topology.Live, "mug", 7)
	for range topology.MaxStatesPerProduct {
		s.Put(t, meshtest.Unsigned(t, subject, meshtest.Change("mug", meshtest.HighVersion), mesh.VersionHeader,
			fmt.Sprint(uint64(meshtest.HighVersion))))
	}
	states, err := state.New(in).Desired().States(t.Context(), "default", []string{"mug"})
	require.NoError(t, err)
	require.Nil(t, states[0].Change)
	version, err := state.New(in).Desired().LastLive(t.Context(), "default")
	require.NoError(t, err)
	require.Zero(t, version)
}

// The subject has more messages than one request returns.
func TestDesiredStore_ReadsMoreThanOneAnswer(t *testing.T) {
	s := meshtest.NewSigners(t)
	stream, err := s.Outside.JetStream().Stream(t.Context(), topology.StreamCatalog)
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgsPerSubject = 1000
	_, err = s.Outside.JetStream().UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	in := s.Clients[topology.Ingestion]
	meshtest.Publish(t, in, topology.Live, "mug", 7)
	meshtest.Publish(t, in, topology.Live, "mug", 900)
	for range 200 {
		s.Put(t, s.Again(t, topology.StreamCatalog, 1))
	}
	latest, err := state.New(in).Desired().Latest(t.Context(), "default", "mug")
	require.NoError(t, err)
	require.EqualValues(t, 900, latest.GetVersion())
}

// Ingestion's comparison publishes such states again.
func TestStates_ReportsSignatureByCurrentKey(t *testing.T) {
	s := meshtest.NewSigners(t)
	meshtest.Publish(t, s.Outside, topology.Live, "unsigned", 7)
	meshtest.Publish(t, s.Clients[topology.Ingestion], topology.Live, "signed", 7)
	next := meshtest.NewKey(t)
	for name, c := range map[string]struct {
		keys    mesh.Signing
		current map[string]bool
		known   map[string]bool
	}{
		"no keys": {
			current: map[string]bool{"unsigned": true, "signed": true},
			known:   map[string]bool{"unsigned": true, "signed": true},
		},
		"signing": {
			keys:    mesh.Signing{Key: s.Keys[topology.Ingestion].Reveal()},
			current: map[string]bool{"unsigned": false, "signed": true},
			known:   map[string]bool{"unsigned": true, "signed": true},
		},
		"checking": {
			keys:    mesh.Signing{Key: s.Keys[topology.Ingestion].Reveal(), Trusted: s.Trusted},
			current: map[string]bool{"unsigned": false, "signed": true},
			known:   map[string]bool{"unsigned": false, "signed": true},
		},
		"another key": {
			keys:    mesh.Signing{Key: next.Reveal(), Trusted: s.Trusted + ",ingestion=" + next.Public().String()},
			current: map[string]bool{"unsigned": false, "signed": false},
			known:   map[string]bool{"unsigned": false, "signed": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := s.Connect(t, topology.Ingestion, c.keys)
			for product, current := range c.current {
				states, err := state.New(m).Desired().States(t.Context(), "default", []string{product})
				require.NoError(t, err)
				require.Equal(t, current, states[0].Current, product)
				require.Equal(t, c.known[product], states[0].Change != nil, product)
			}
		})
	}
}
