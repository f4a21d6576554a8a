package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func TestPrintStatus_ShowsMessagesThatAreNotPublished(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	printStatus(&out, &controlv1.GetStatusResponse{
		Problems: []*controlv1.Notice{{Kind: "outbox", Text: "row 5 cannot be decoded"}},
	})
	require.Contains(t, out.String(), "UNPUBLISHED: row 5 cannot be decoded\n")
}
