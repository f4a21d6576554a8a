package ingestion

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// hashed is the hash of a product's token: what a comparison remembers of the products that it has seen. Two products
// in a million share one with a chance of three in a hundred million; then one that is gone is found by the next change
// or not.
func hashed(product string) uint64 { return hashedToken(topology.Token(product)) }

func hashedToken(token string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(token))
	return h.Sum64()
}

// refusals keeps why the first products would be refused, grouped by reason.
func (c *comparison) refusals(dead []deadProduct) {
	counts, order := map[string]int{}, []string{}
	for _, d := range dead {
		_, why, ok := strings.Cut(d.letter.GetMessage(), ": ")
		if !ok {
			why = d.letter.GetMessage()
		}
		if counts[why] == 0 {
			order = append(order, why)
		}
		counts[why]++
	}
	slices.SortStableFunc(order, func(a, b string) int { return counts[b] - counts[a] })
	var parts []string
	for i, why := range order {
		const most = 3
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d other reasons", len(order)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%d times: %s", counts[why], why))
	}
	c.result.Error = strings.Join(parts, "; ")
}

// allRefused is the error of a first reading whose first products would all be refused: a fault of the mapping, not of
// the products.
func (c *comparison) allRefused(context.Context) error {
	return fmt.Errorf("%w: all of the first %d (%s). Correct the mapping, or the rows, and nothing else has to be done",
		errAllRefused, firstPage, c.result.GetError())
}
