package mesh_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestPublishBatch_KeepsOrder(t *testing.T) {
	m := meshtest.Start(t)
	const n = 2*mesh.MaxBatch + 1
	out := make([]mesh.Outgoing, n)
	for i := range out {
		out[i] = mesh.Outgoing{
			Subject: topology.CatalogSubject("default", topology.Live, "p"),
			Body:    meshtest.Change("p", uint64(i+1)),
			Version: uint64(i + 1),
		}
	}
	require.NoError(t, m.PublishBatch(t.Context(), out))
	last, err := state.New(m).Desired().LastLive(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, n, last)
}

func TestPublishBatch_SplitsLargeMessages(t *testing.T) {
	m := meshtest.Start(t)
	out := make([]mesh.Outgoing, 1000)
	for i := range out {
		c := meshtest.Change(fmt.Sprintf("p%d", i), uint64(i+1))
		c.Product = &catalogv1.Product{Id: c.GetProductId(), Description: strings.Repeat("x", 512<<10)}
		out[i] = mesh.Outgoing{
			Subject: topology.CatalogSubject("default", topology.Live, c.GetProductId()),
			Body:    c,
			Version: uint64(i + 1),
		}
	}
	require.NoError(t, m.PublishBatch(t.Context(), out), "500 MB, and the server buffers 128")
	tokens, err := state.New(m).Desired().Products(t.Context(), "default")
	require.NoError(t, err)
	require.Len(t, tokens, len(out))
}
