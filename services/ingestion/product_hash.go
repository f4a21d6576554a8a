package ingestion

import (
	"hash/fnv"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// hashProduct returns the hash of a product's token, which a comparison keeps for each product that it has seen. Two
// products in a million share a hash with a probability of three in a hundred million. If one of them is removed, the
// removal may be found only with its next change.
func hashProduct(product string) uint64 { return hashToken(topology.Token(product)) }

func hashToken(token string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(token))
	return h.Sum64()
}
