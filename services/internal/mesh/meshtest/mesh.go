// Package meshtest has what the tests of mesh and state share: a client of a server with the topology, messages of
// products, and services that sign.
package meshtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Patience is how long a test waits for a condition.
const Patience = 30 * time.Second

// Start returns a client of a NATS server with the topology. Both end with the test.
func Start(t *testing.T) *mesh.Mesh {
	t.Helper()
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	return m
}

// WithClock returns another client of the same server. Its host's clock is wrong by a duration.
func WithClock(t *testing.T, m *mesh.Mesh, by time.Duration) *mesh.Mesh {
	t.Helper()
	wrong, err := mesh.Connect(t.Context(), mesh.Config{
		URL: m.Conn().ConnectedUrl(), Name: "wrong", Now: func() time.Time { return time.Now().Add(by) },
	})
	require.NoError(t, err)
	t.Cleanup(wrong.Close)
	return wrong
}

// Change returns a state of a product in the account default.
func Change(product string, version uint64) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{Account: "default", ProductId: product, Version: version}
}

// Publish publishes a state of a product in the account default.
func Publish(t *testing.T, m *mesh.Mesh, lane topology.Lane, product string, version uint64) {
	t.Helper()
	require.NoError(t,
		m.Publish(t.Context(), topology.CatalogSubject("default", lane, product), Change(product, version),
			mesh.WithVersion(version)))
}
