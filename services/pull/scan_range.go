package pull

import (
	"math"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// lists are the lists of every range, in this order. Archived objects are listed separately, because the unfiltered
// list may leave them out.
var lists = [4]stripeapi.Listing{{Active: true}, {}, {Prices: true, Active: true}, {Prices: true}}

// span is a range of creation times and the position in each of its lists. Lists go from the latest object to the
// oldest.
type span struct {
	// from is the first second, and before the second after the last; 0 means no bound.
	from, before int64
	lists        [len(lists)]progress

	// pages counts the pages listed since the range was created or last split. latest is the latest second of creation
	// on them.
	pages  int
	latest int64
}

// progress is the position in a list.
type progress struct {
	// after is the id of the last object listed, and reached the second of its creation.
	after   string
	reached int64
	done    bool
}

// next returns the list to continue with, or -1 if all are done. It is the one that is farthest behind, so prices are
// listed at about the same time as their products.
func (s *span) next() int {
	next, at := -1, int64(-1)
	for i, l := range s.lists {
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
func (s *span) listing(i int) stripeapi.Listing {
	l := lists[i]
	l.From, l.Before, l.After = s.from, s.before, s.lists[i].after
	return l
}

// listed records a page.
func (s *span) listed(i int, page stripeapi.Page) {
	s.pages++
	l := &s.lists[i]
	if n := len(page.Objects); n > 0 {
		s.latest = max(s.latest, page.Objects[0].Created)
		l.after, l.reached = page.Objects[n-1].ID, page.Objects[n-1].Created
	}
	l.done = !page.More
}

const (
	// pagesBeforeSplit prevents the split of small accounts: each range ends in a page that is not full.
	pagesBeforeSplit = 6
	// farthest is how much more time than the listed part a range may keep at a split. Suppose that a catalog was
	// imported within a minute, years ago. Half of the years since would be an empty range.
	farthest = 64
	// begin is before the creation of any object in Stripe.
	begin = 1293840000 // 2011-01-01
)

// split splits off the older part of the range, if that is worthwhile. The caller must not be reading a page of the
// range.
func (s *span) split() (older *span, ok bool) {
	if s.pages < pagesBeforeSplit {
		return nil, false
	}
	reached := int64(-1)
	for _, l := range s.lists {
		switch {
		case l.done:
		case l.after == "":
			return nil, false
		default:
			reached = max(reached, l.reached)
		}
	}
	from := max(s.from, begin)
	if reached-from < 2 {
		return nil, false
	}
	// The older range gets the time before this second.
	at := max(from+(reached-from)/2, reached-farthest*max(s.latest-reached, 1))
	older = &span{from: s.from, before: at}
	for i, l := range s.lists {
		switch {
		case l.done:
			older.lists[i].done = true
		case l.reached < at:
			// A page of few objects spans much time. The older range continues after it.
			older.lists[i], s.lists[i].done = l, true
		}
	}
	s.from, s.pages, s.latest = at, 0, 0
	return older, true
}

// again returns a range for the rest of a list whose cursor Stripe no longer knows. Objects of the lost one's second
// are listed again.
func (s *span) again(i int) (older *span) {
	rest := &span{from: s.from, before: s.lists[i].reached + 1}
	for j := range rest.lists {
		rest.lists[j].done = j != i
	}
	s.lists[i].done = true
	return rest
}

func (s *span) state() *meshv1.ScanRange {
	out := &meshv1.ScanRange{From: s.from, Before: s.before}
	for _, l := range s.lists {
		out.Lists = append(out.Lists, &meshv1.ScanList{After: l.after, Reached: l.reached, Done: l.done})
	}
	return out
}

func spanOf(r *meshv1.ScanRange) *span {
	s := &span{from: r.GetFrom(), before: r.GetBefore()}
	for i, l := range r.GetLists() {
		if i < len(s.lists) {
			s.lists[i] = progress{after: l.GetAfter(), reached: l.GetReached(), done: l.GetDone()}
		}
	}
	return s
}
