package push_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// keyMoves are the lookup keys of products' prices after each of some transactions. A price without one has its own id
// as its key.
type keyMoves [][]string

// drawKeyMoves draws transactions that move keys in chains and cycles among many products, and that drop and add some.
func drawKeyMoves(t *rapid.T) (moves keyMoves) {
	n := rapid.IntRange(21, 40).Draw(t, "products")
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("key-", i)
	}
	moves = append(moves, slices.Clone(keys))
	for txn := range 3 {
		switch rapid.IntRange(0, 3).Draw(t, "move") {
		case 0: // One cycle through all.
			keys = append(slices.Clone(keys[1:]), keys[0])
		case 1: // One chain: the first key is dropped, and the last product gets a new one.
			keys = append(slices.Clone(keys[1:]), fmt.Sprint("new-", txn))
		case 2: // A key of many products in turn is that of the last.
			keys = append([]string{""}, keys[:n-1]...)
		default:
			keys = rapid.Permutation(keys).Draw(t, "keys")
		}
		moves = append(moves, slices.Clone(keys))
	}
	return moves
}

// TestPush_MovesLookupKeysAmongManyProducts: whatever keys a transaction moves, and in whatever order push gets its
// products, each price ends with its own key, and nothing is dead.
func TestPush_MovesLookupKeysAmongManyProducts(t *testing.T) {
	r := newRig(t)
	r.push()
	draws := rapid.Custom(drawKeyMoves)
	for seed := range 3 {
		for txn, keys := range draws.Example(seed) {
			version := uint64(txn + 1)
			id := func(i int) string { return fmt.Sprintf("p%d-%d", seed, i) }
			owned := func(i int) string {
				if keys[i] == "" {
					return id(i) + "-eur"
				}
				return fmt.Sprint(seed, "-", keys[i])
			}
			order := rapid.Permutation(indices(len(keys))).Example(seed + txn)
			for _, i := range order {
				r.want(&catalogv1.Product{Id: id(i), Name: "P", Prices: []*catalogv1.Price{{
					Id: id(i) + "-eur", Currency: "eur", UnitAmount: "500", LookupKey: owned(i),
				}}}, version)
			}
			for i := range keys {
				o := r.applied(id(i), version)
				require.Nil(t, r.letter(id(i)))
				require.Len(t, o.GetPrices(), 1)
				require.Equal(t, owned(i), r.keyOf(o.GetPrices()[0].GetStripeId()), "seed %d, transaction %d, %s", seed,
					version, id(i))
			}
		}
	}
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
