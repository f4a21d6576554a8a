package pull

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// account is the objects of each list, the latest first.
type account [len(listings)][]stripeapi.Listed

func (a account) page(i int, l stripeapi.Listing, size int) stripeapi.Page {
	var page stripeapi.Page
	behind := l.After == ""
	for _, o := range a[i] {
		switch {
		case !behind:
			behind = o.ID == l.After
		case o.Created < l.From || l.Before > 0 && o.Created >= l.Before:
		case len(page.Objects) == size:
			page.More = true
			return page
		default:
			page.Objects = append(page.Objects, o)
		}
	}
	return page
}

// TestRange_ListsEveryObjectOnceHoweverRangesAreSplit simulates a scan of any account that is interrupted at any point.
func TestRange_ListsEveryObjectOnceHoweverRangesAreSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stripe account
		total := 0
		for i := range listings {
			// Imports create many objects within few seconds.
			created := rapid.SliceOfN(
				rapid.SampledFrom([]int64{
					firstCreation + 5, 1500000000, 1500000001, 1500000010, 1600000000, 1700000000,
					1760000000,
				}), 0, 60).Draw(t, fmt.Sprint("created ", i))
			created = append(created,
				rapid.SliceOfN(rapid.Int64Range(firstCreation, 1790000000), 0, 40).Draw(t,
					fmt.Sprint("scattered ", i))...)
			slices.Sort(created)
			slices.Reverse(created)
			for j, c := range created {
				stripe[i] = append(stripe[i], stripeapi.Listed{ID: fmt.Sprint(i, "-", j), Created: c})
			}
			total += len(created)
		}
		size := rapid.IntRange(1, 10).Draw(t, "page size")
		seen := map[string]int{}
		spans := []*timeRange{{}}
		calls := 0
		for len(spans) > 0 {
			at := rapid.IntRange(0, len(spans)-1).Draw(t, "whose turn")
			x := spans[at]
			if rapid.Bool().Draw(t, "interrupted") {
				x = newTimeRange(x.state())
				spans[at] = x
			}
			i := x.next()
			if i < 0 {
				spans = slices.Delete(spans, at, at+1)
				continue
			}
			page := stripe.page(i, x.listing(i), size)
			for _, o := range page.Objects {
				seen[o.ID]++
			}
			calls++
			x.recordPage(i, page)
			if rapid.Bool().Draw(t, "a lister is idle") {
				if older, ok := x.split(); ok {
					spans = append(spans, older)
				}
			}
			require.Less(t, calls, 10_000, "it ends")
		}
		require.Len(t, seen, total)
		for id, n := range seen {
			require.Equal(t, 1, n, id)
		}
	})
}

// TestSplit_DividesAnImportOfOneMinute: several listers share a catalog that was created within one minute, long ago.
// They waste few calls on the empty years.
func TestSplit_DividesAnImportOfOneMinute(t *testing.T) {
	var stripe account
	const n = 60_000
	for j := range n {
		stripe[0] = append(stripe[0], stripeapi.Listed{ID: fmt.Sprint(j), Created: 1500000060 - int64(j/1000)})
	}
	spans, calls, listed, largest := []*timeRange{{}}, 0, 0, 0
	work := map[*timeRange]int{}
	for len(spans) > 0 {
		// Twelve listers run at once.
		for _, x := range slices.Clone(spans[:min(maxListers, len(spans))]) {
			i := x.next()
			if i < 0 {
				spans = slices.DeleteFunc(spans, func(y *timeRange) bool { return x == y })
				continue
			}
			l := x.listing(i)
			// Faster than account.page.
			var page stripeapi.Page
			if i == 0 {
				from := 0
				if l.After != "" {
					_, _ = fmt.Sscan(l.After, &from)
					from++
				} else if l.Before > 0 {
					from = max(0, int(1500000060-l.Before+1)*1000)
				}
				for j := from; j < n && len(page.Objects) < 100 && stripe[0][j].Created >= l.From; j++ {
					page.Objects = append(page.Objects, stripe[0][j])
				}
				last := from + len(page.Objects)
				page.More = last < n && stripe[0][last].Created >= l.From
			}
			calls++
			listed += len(page.Objects)
			work[x] += len(page.Objects)
			largest = max(largest, work[x])
			x.recordPage(i, page)
			if len(spans) < maxListers {
				if older, ok := x.split(); ok {
					spans = append(spans, older)
				}
			}
		}
	}
	require.Equal(t, n, listed)
	require.Less(t, largest, n/3, "several listers share it")
	require.Less(t, calls, n/100*13/10, "few calls are wasted")
}
