package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func TestReadsFor(t *testing.T) {
	require.Empty(t, readsFor(nil))
	require.Equal(t, " (9000 scan, 7 events)",
		readsFor([]*controlv1.ReadPurpose{{Purpose: "scan", Reads: 9000}, {Purpose: "events", Reads: 7}}))
}
