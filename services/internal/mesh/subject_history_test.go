package mesh

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// The second answer may come from another replica, which lags. Here the message is stored in between.
func TestEachHistory_KeepsLastMessageThatAnswerLacks(t *testing.T) {
	url, _ := localtest.NATS(t)
	m, err := Connect(t.Context(), Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	subject := topology.CatalogSubject("default", topology.Live, "mug")
	require.NoError(t, m.Publish(t.Context(), subject, &catalogv1.ProductChange{}))
	from := func(int, *jetstream.RawStreamMsg) uint64 {
		stream, err := m.JetStream().Stream(t.Context(), topology.StreamCatalog)
		require.NoError(t, err)
		require.NoError(t, stream.Purge(t.Context()))
		return 1
	}
	got := 0
	require.NoError(t,
		m.Stream(topology.StreamCatalog).EachHistory(t.Context(), []string{subject, subject + "-none"}, from,
			func(i int, kept []*jetstream.RawStreamMsg) error {
				got += len(kept)
				require.Len(t, kept, 1-i)
				return nil
			}))
	require.Equal(t, 1, got)
}
