package pull

import (
	"math"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// listings are the lists of every range: active products, archived products, active prices, archived prices. Archived
// objects are listed separately, because the unfiltered list may leave them out.
var listings = [4]stripeapi.Listing{{Active: true}, {}, {Prices: true, Active: true}, {Prices: true}}

// timeRange is a range of creation times and the position in each of its lists. Lists go from the latest object to the
// oldest.
type timeRange struct {
	// from is the first second of the range in Unix time, and before the first one after it. 0 means no bound.
	from, before int64
	// positions are those in the listings.
	positions [len(listings)]listPosition

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

// next returns the index of the list to continue with, or -1 if all are done. It is the one that is still at the latest
// time, so prices are listed at about the same time as their products.
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
	// pagesBeforeSplit is how many pages a range must have before a split. Each range ends with a page that is not
	// full, so a split of a small account would only cost calls.
	pagesBeforeSplit = 6
	// maxSpanFactor bounds the time that a range keeps at a split: at most this many times that of its listed part.
	// Suppose that a whole catalog was imported within one minute. Half of the time since 2011 would be an empty range.
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
			// A page of few objects spans much time, so this list is past the split. The older range continues it.
			older.positions[i], r.positions[i].done = l, true
		}
	}
	r.from, r.pages, r.latest = at, 0, 0
	return older, true
}

// restAfterLostCursor splits off the rest of a list, because Stripe no longer knows the object that the list would
// continue after. Objects that were created in the same second as that one are listed again.
func (r *timeRange) restAfterLostCursor(i int) *timeRange {
	rest := &timeRange{from: r.from, before: r.positions[i].reached + 1}
	for j := range rest.positions {
		rest.positions[j].done = j != i
	}
	r.positions[i].done = true
	return rest
}

// state returns the range as it is stored, and newTimeRange restores it.
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
