package mesh_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestRequestReread_SplitsLongCommands(t *testing.T) {
	m := meshtest.Start(t)
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
