package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTopologyPermissions_ReaderNeedsEvents(t *testing.T) {
	t.Parallel()
	cmd := topologyPermissionsCmd{Readers: []string{"billing"}}
	require.ErrorContains(t, cmd.Run(&cli{}), "billing would have nothing to read, because events are off")
}
