package stripesim

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
)

type listJSON struct {
	Object  string `json:"object"`
	Data    []any  `json:"data"`
	HasMore bool   `json:"has_more"`
	URL     string `json:"url"`
}

// createdParam restricts a list by the time of creation: a second, or a range.
var createdParam = shape{kind: timeRange, fields: map[string]shape{
	"gt": {kind: integer}, "gte": {kind: integer}, "lt": {kind: integer}, "lte": {kind: integer},
}}

// listParams adds the parameters that every list has.
func listParams(own map[string]shape) map[string]shape {
	out := map[string]shape{}
	maps.Copy(out, own)
	out["ending_before"] = shape{max: 5000}
	out["expand"] = expandParam
	out["limit"] = shape{kind: integer}
	out["starting_after"] = shape{max: 5000}
	return out
}

const (
	defaultPage = 10
	largestPage = 100
)

// page is one request for a part of a list. Lists are ordered latest first.
type page[T any] struct {
	from   *collection[T]
	limit  int
	cursor string
	at     int  // place of the cursor
	newer  bool // ending_before: the objects created after the cursor's, nearest first
	// only are the places to visit, oldest first, if a filter provides them.
	only     []int
	narrowed bool
	// first and end limit the places by a range of times.
	first, end int
}

func readPage[T any](c *call, what string, from *collection[T]) (*page[T], *refusal) {
	p := &page[T]{from: from, limit: defaultPage, at: len(from.items), end: len(from.items)}
	if n, sent := c.form.integer("limit"); sent {
		if n < 1 || n > largestPage {
			bound, word := int64(1), "greater"
			if n > largestPage {
				bound, word = largestPage, "less"
			}
			return nil, invalid("parameter_invalid_integer", "limit",
				"This value must be %s than or equal to %d (it currently is '%d').", word, bound, n)
		}
		p.limit = int(n)
	}
	after, before := c.form.text("starting_after"), c.form.text("ending_before")
	if after != "" && before != "" {
		return nil, invalid("parameters_exclusive", "ending_before",
			"You may only specify one of these parameters: starting_after, ending_before.")
	}
	param := "starting_after"
	p.cursor = after
	if before != "" {
		param, p.cursor, p.newer = "ending_before", before, true
	}
	if p.cursor != "" {
		at, ok := from.place(p.cursor)
		if !ok {
			return nil, missing(http.StatusBadRequest, what, p.cursor, param)
		}
		p.at = at
	}
	return p, nil
}

// readCreatedPage is readPage for a list that the parameter created can restrict. It returns the range too, because the
// order of creation determines it only roughly.
func readCreatedPage[T any](c *call, what string, from *collection[T]) (*page[T], createdRange, *refusal) {
	p, r := readPage(c, what, from)
	if r != nil {
		return nil, createdRange{}, r
	}
	created, r := readRange(c.form.get("created"))
	if r != nil {
		return nil, createdRange{}, r
	}
	p.within(created)
	return p, created, nil
}

// narrow restricts the list to some places, given oldest first.
func (p *page[T]) narrow(places []int) {
	if p.narrowed {
		places = slices.DeleteFunc(places, func(i int) bool { return !slices.Contains(p.only, i) })
	}
	p.only, p.narrowed = places, true
}

// within restricts the list to objects created in a range, as far as the order of creation determines them.
func (p *page[T]) within(s createdRange) {
	for _, lower := range []struct {
		second *int64
		plus   int64
	}{{s.gte, 0}, {s.at, 0}, {s.gt, 1}} {
		if lower.second == nil {
			continue
		}
		if place, ok := p.from.since(*lower.second + lower.plus); ok {
			p.first = max(p.first, place)
		}
	}
	for _, upper := range []struct {
		second *int64
		plus   int64
	}{{s.lt, 0}, {s.at, 1}, {s.lte, 1}} {
		if upper.second == nil {
			continue
		}
		if place, ok := p.from.since(*upper.second + upper.plus); ok {
			p.end = min(p.end, place)
		}
	}
}

// collect returns the page, latest first, and whether there are more objects in its direction.
func (p *page[T]) collect(match func(*T) bool) (found []*T, more bool) {
	for i := range p.walk {
		v := p.from.items[i]
		if v == nil || !match(v) {
			continue
		}
		if len(found) == p.limit {
			more = true
			break
		}
		found = append(found, v)
	}
	if p.newer {
		slices.Reverse(found)
	}
	return found, more
}

// walk yields the places beyond the cursor, nearest first.
func (p *page[T]) walk(yield func(int) bool) {
	count := len(p.from.items)
	place := func(i int) int { return i }
	start := p.at
	if p.narrowed {
		count = len(p.only)
		place = func(i int) int { return p.only[i] }
		var found bool
		start, found = slices.BinarySearch(p.only, p.at)
		if !found && p.newer {
			start--
		}
	}
	first := 0
	if !p.narrowed {
		first, count = p.first, p.end
	}
	if p.newer {
		for i := max(start+1, first); i < count; i++ {
			if !yield(place(i)) {
				return
			}
		}
		return
	}
	for i := min(start, count) - 1; i >= first; i-- {
		if !yield(place(i)) {
			return
		}
	}
}

// createdRange is a range of seconds.
type createdRange struct{ gt, gte, lt, lte, at *int64 }

func readRange(f *field) (createdRange, *refusal) {
	var s createdRange
	if f == nil {
		return s, nil
	}
	if f.hasValue {
		n, err := strconv.ParseInt(f.value, 10, 64)
		if err != nil {
			return s, invalid("parameter_invalid_integer", f.name, "Invalid integer: %s", f.value)
		}
		s.at = &n
		return s, nil
	}
	for name, to := range map[string]**int64{"gt": &s.gt, "gte": &s.gte, "lt": &s.lt, "lte": &s.lte} {
		if n, sent := f.integer(name); sent {
			*to = &n
		}
	}
	return s, nil
}

func (s createdRange) contains(n int64) bool {
	return (s.at == nil || n == *s.at) && (s.gt == nil || n > *s.gt) && (s.gte == nil || n >= *s.gte) &&
		(s.lt == nil || n < *s.lt) && (s.lte == nil || n <= *s.lte)
}
