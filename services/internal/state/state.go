// Package state has the typed records that services share on NATS: what Stripe holds of a product, what the catalog
// wants of it, the links of adopted products, pauses, the guard, halts and positions. Most are keys of buckets; desired
// states are the messages of CATALOG. Package mesh transports them and checks their signatures. Package topology names
// the buckets and keys.
package state

import "github.com/driftless-sync/driftless/services/internal/mesh"

// Stores are the records that are reached through a connection. Safe for concurrent use.
type Stores struct{ m *mesh.Mesh }

// New returns the stores behind a connection.
func New(m *mesh.Mesh) *Stores { return &Stores{m} }
