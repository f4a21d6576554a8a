package pull

import (
	"math"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// lists of every range, in this order. Archived objects are listed apart: the unfiltered list may leave them out.
var lists = [4]stripeapi.Listing{{Active: true}, {}, {Prices: true, Active: true}, {Prices: true}}

// span is a range of creation times and how far each of its lists has been read, from the newest object to the oldest.
type span struct {
	// from is the first second and before the one behind the last; 0 is the beginning, or the end, of time.
	from, before int64
	lists        [len(lists)]progress

	// pages and newest are of what was listed since the span was made or last split.
	pages  int
	newest int64
}

// progress of a list.
type progress struct {
	// after is the last object listed, and reached the second of its creation.
	after   string
	reached int64
	done    bool
}

// next is the list to go on with: the one that is farthest behind, so that prices are listed about when their products
// are. It is -1 if all are done.
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

// listing is the request for the next page of a list.
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
		s.newest = max(s.newest, page.Objects[0].Created)
		l.after, l.reached = page.Objects[n-1].ID, page.Objects[n-1].Created
	}
	l.done = !page.More
}

const (
	// pagesBeforeSplit keeps small accounts from being listed in many pieces: each piece ends in a page that is not
	// full.
	pagesBeforeSplit = 6
	// farthest is how much more time than what was listed so far a span may keep: of a catalog that was imported in a
	// minute, years ago, half of the years would be worth nothing.
	farthest = 64
	// begin is before anything that Stripe holds.
	begin = 1293840000 // 2011-01-01
)

// split hands the older part of the span over, if it is worth it. It must not be called while a page of the span is
// being read.
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
	// What is before this second is the other's.
	at := max(from+(reached-from)/2, reached-farthest*max(s.newest-reached, 1))
	older = &span{from: s.from, before: at}
	for i, l := range s.lists {
		switch {
		case l.done:
			older.lists[i].done = true
		case l.reached < at:
			// Of few objects a page goes far: the other goes on behind it.
			older.lists[i], s.lists[i].done = l, true
		}
	}
	s.from, s.pages, s.newest = at, 0, 0
	return older, true
}

// again goes back behind the objects of a list whose cursor Stripe does not know any more: what has the second of the
// lost one is listed once more.
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
