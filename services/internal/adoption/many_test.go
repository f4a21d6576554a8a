package adoption_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/adoption"
)

// allocated returns how many bytes a function allocates. The test must not run beside others.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Every product of both sides has the same name, which says nothing. A list for each pair of them would need gigabytes.
func TestMatches_NeedsLittleMemoryForManyOfOneName(t *testing.T) {
	const each = 20_000
	wanted, existing := make([]adoption.Wanted, each), make([]adoption.Existing, each)
	for i := range each {
		wanted[i] = adoption.Wanted{ID: fmt.Sprintf("shirt-%05d", i), Name: "T-shirt"}
		existing[i] = adoption.Existing{ID: fmt.Sprintf("prod_%05d", i), Name: "t shirt"}
	}
	change := &catalogv1.ProductChange{Product: &catalogv1.Product{Name: "T-shirt"}}
	held := &catalogv1.Observed{Product: &catalogv1.Product{Name: "t shirt", Active: proto.Bool(true)}}
	var proposals []adoption.Proposal
	bytes := allocated(func() {
		for _, m := range adoption.Matches(wanted, existing) {
			proposals = append(proposals, adoption.Propose(m, change, held))
		}
	})
	require.Less(t, bytes, uint64(150<<20))
	require.Len(t, proposals, each)
	last := proposals[each-1]
	require.Empty(t, last.StripeID)
	require.Len(t, last.Candidates, 100)
	require.Equal(t, each-100, last.MoreCandidates)
	require.Contains(t, last.Reservations[0].Detail, "one of prod_00000, prod_00001, ")
	require.Contains(t, last.Reservations[0].Detail, "prod_00019 and 19980 more")

	// All of them may be the one product that Stripe has.
	proposals = nil
	bytes = allocated(func() {
		for _, m := range adoption.Matches(wanted, existing[:1]) {
			proposals = append(proposals, adoption.Propose(m, change, held))
		}
	})
	require.Less(t, bytes, uint64(150<<20))
	require.Len(t, proposals, each)
	last = proposals[each-1]
	require.Equal(t, "prod_00000", last.StripeID)
	require.Len(t, last.Rivals, 20)
	require.Equal(t, each-1-20, last.MoreRivals)
	require.False(t, last.IsCertain())
}
