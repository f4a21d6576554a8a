package mesh

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func TestFollows_FindsAGap(t *testing.T) {
	t.Parallel()
	header := func(values ...string) nats.Header { return nats.Header{"Nats-Last-Sequence": values} }
	require.Equal(t, adjacent, follows(header("0"), 0), "the first message")
	require.Equal(t, adjacent, follows(header("7"), 7))
	require.Equal(t, gap, follows(header("8"), 7), "a message between the two is missing")
	require.Equal(t, gap, follows(header("8"), 0), "those before are missing")
	require.Equal(t, adjacent, follows(header("8", "7"), 7), "the server's word is the last; the other is the message's own")
	require.Equal(t, untold, follows(nats.Header{}, 7))
}
