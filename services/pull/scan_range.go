package pull

import (
	"math"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// listings are the lists of every range, in this order. Archived objects are listed separately, because the unfiltered
// list may leave them out.
var listings = [4]stripeapi.Listing{{Active: true}, {}, {Prices: true, Active: true}, {Prices: true}}

// timeRange is a range of creation times and the position in each of its lists. Lists go from the latest object to the
// oldest.
type timeRange struct {
	// from is the first second, and before the second after the last; 0 means no bound.
	from, before int64
	positions    [len(listings)]listPosition

	// pages counts the pages listed since the range was created or last split. latest is the latest second of creation
	// on them.
	pages  int
	latest int64
}

// listPosition is the position in a list.
type listPosition struct {
	// after is the id of the last object listed, and reached the second of its creation.
	after   string
	reached int64
	done    bool
}

// next returns the list to continue with, or -1 if all are done. It is the one that is farthest behind, so prices are
// listed at about the same time as their products.
func (r *timeRange) next() int {
	next, at := -1, int64(-1)
	for i, l := range r.positions {
		reached := l.reached
		if l.after == "" {
			reached = math.MaxInt64
		}
		if !l.done && reached > at {
			next, at = i, reached
		}
	}
	return next
}

// listing returns the request for the next page of a list.
func (r *timeRange) listing(i int) stripeapi.Listing {
	l := listings[i]
	l.From, l.Before, l.After = r.from, r.before, r.positions[i].after
	return l
}

// recordPage records that a page of a list was read.
func (r *timeRange) recordPage(i int, page stripeapi.Page) {
	r.pages++
	l := &r.positions[i]
	if n := len(page.Objects); n > 0 {
		r.latest = max(r.latest, page.Objects[0].Created)
		l.after, l.reached = page.Objects[n-1].ID, page.Objects[n-1].Created
	}
	l.done = !page.More
}

const (
	// pagesBeforeSplit prevents the split of small accounts: each range ends in a page that is not full.
	pagesBeforeSplit = 6
	// maxSpanFactor is how much more time than the listed part a range may keep at a split. Suppose that a catalog was
	// imported within a minute, years ago. Half of the years since would be an empty range.
	maxSpanFactor = 64
	// firstCreation is before the creation of any object in Stripe.
	firstCreation = 1293840000 // 2011-01-01
)

// split splits off the older part of the range, if that is worthwhile. The caller must not be reading a page of the
// range.
func (r *timeRange) split() (older *timeRange, ok bool) {
	if r.pages < pagesBeforeSplit {
		return nil, false
	}
	reached := int64(-1)
	for _, l := range r.positions {
		switch {
		case l.done:
		case l.after == "":
			return nil, false
		default:
			reached = max(reached, l.reached)
		}
	}
	from := max(r.from, firstCreation)
	if reached-from < 2 {
		return nil, false
	}
	// The older range gets the time before this second.
	at := max(from+(reached-from)/2, reached-maxSpanFactor*max(r.latest-reached, 1))
	older = &timeRange{from: r.from, before: at}
	for i, l := range r.positions {
		switch {
		case l.done:
			older.positions[i].done = true
		case l.reached < at:
			// A page of few objects spans much time. The older range continues after it.
			older.positions[i], r.positions[i].done = l, true
		}
	}
	r.from, r.pages, r.latest = at, 0, 0
	return older, true
}

// restAfterLostCursor returns a range for the rest of a list whose cursor Stripe no longer knows. Objects of the lost
// one's second are listed again.
func (r *timeRange) restAfterLostCursor(i int) (older *timeRange) {
	rest := &timeRange{from: r.from, before: r.positions[i].reached + 1}
	for j := range rest.positions {
		rest.positions[j].done = j != i
	}
	r.positions[i].done = true
	return rest
}

func (r *timeRange) state() *meshv1.ScanRange {
	out := &meshv1.ScanRange{From: r.from, Before: r.before}
	for _, l := range r.positions {
		out.Lists = append(out.Lists, &meshv1.ScanList{After: l.after, Reached: l.reached, Done: l.done})
	}
	return out
}

func newTimeRange(r *meshv1.ScanRange) *timeRange {
	s := &timeRange{from: r.GetFrom(), before: r.GetBefore()}
	for i, l := range r.GetLists() {
		if i < len(s.positions) {
			s.positions[i] = listPosition{after: l.GetAfter(), reached: l.GetReached(), done: l.GetDone()}
		}
	}
	return s
}
