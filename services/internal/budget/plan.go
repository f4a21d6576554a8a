package budget

import (
	"math"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

const (
	// ahead is how far in advance a live call gets its turn. It is long enough that not every call needs a write to
	// NATS. Bulk calls get theirs shorter in advance, so that a new live call does not wait behind them.
	ahead     = 25 * time.Millisecond
	aheadBulk = 5 * time.Millisecond
	// paceShare is the part of the limit that is used, because calls do not arrive at Stripe as evenly as they leave.
	paceShare = 0.98
	// tolerance lets an unused turn be made up for. liveTolerance lets a live call have its endpoint's turn early.
	// Calls are spaced by 1/(0.98 * limit) seconds. So the call that is a limit's worth later comes 1/0.98 - 1 s = 20.4
	// ms after a full second. As long as no call is earlier by more than that, no second has more calls than the limit.
	tolerance     = 10 * time.Millisecond
	liveTolerance = 20 * time.Millisecond
	// skew is how far two processes' clocks may differ after each was compared with the server's.
	skew = 100 * time.Millisecond
	// bulkShare is the part of the rate that bulk calls keep while live calls wait.
	bulkShare = 0.1
	// waitingTimeout is how long a note that live calls wait is valid without renewal.
	waitingTimeout = 100 * time.Millisecond
	// recoveryPerSecond is how fast a lowered rate recovers, in thousandths per second. A refusal lowers the rate to
	// lowerFactor of itself, at most every lowerInterval, and never below minPermille thousandths.
	recoveryPerSecond = 50
	lowerFactor       = 0.7
	minPermille       = 50
	lowerInterval     = 300 * time.Millisecond
	fullPermille      = 1000
	// maxReadDays is how many days of reads are kept. Stripe counts 30.
	maxReadDays = 31
)

// call is a call that waits for its turn.
type call struct {
	endpoint string
	lane     Lane
}

// turn is when a call may be made. index is the call's.
type turn struct {
	index int
	at    int64
}

// paces are the times between calls in nanoseconds; 0 means no limit.
type paces struct{ all, endpoint float64 }

func (l Limits) paces() paces {
	pace := func(perSecond float64) float64 {
		if perSecond <= 0 {
			return 0
		}
		return float64(time.Second) / (perSecond * paceShare)
	}
	return paces{pace(l.PerSecond), pace(l.PerEndpoint)}
}

// assign gives turns to the calls that may be made within ahead of now, and records them in the budget. Live calls go
// before bulk ones, and earlier calls before later ones. It gives at most so many turns. wake is when to try again for
// the other calls. changed reports whether the budget was changed.
func assign(b *meshv1.Budget, p paces, now int64, calls []call, maxTurns int) (turns []turn, wake int64, changed bool) {
	prune(b, now)
	changed = correctTimes(b, p, now)
	left := make([]int, len(calls))
	for i := range left {
		left[i] = i
	}
	wake = now + int64(ahead)
	for len(left) > 0 && len(turns) < maxTurns {
		at := max(now, b.GetNext()-int64(tolerance))
		chosen := choose(b, calls, left, at)
		if chosen < 0 {
			at = earliest(b, calls, left)
			chosen = choose(b, calls, left, at)
		}
		if chosen < 0 {
			wake = max(at-int64(aheadBulk)/2, now+int64(time.Millisecond))
			break
		}
		c := calls[left[chosen]]
		lead := int64(aheadBulk)
		if isUrgent(b, c, at) {
			lead = int64(ahead)
		}
		if at > now+lead {
			wake = max(at-lead/2, now+int64(time.Millisecond))
			break
		}
		b.Next = max(b.GetNext(), at) + currentPace(b, "", p.all, at)
		if b.Endpoints == nil {
			b.Endpoints = map[string]int64{}
		}
		b.Endpoints[c.endpoint] = max(b.GetEndpoints()[c.endpoint], at) + currentPace(b, c.endpoint, p.endpoint, at)
		if c.lane == Bulk {
			b.BulkNext = at + int64(float64(currentPace(b, "", p.all, at))/bulkShare)
		}
		turns = append(turns, turn{left[chosen], at})
		left = append(left[:chosen], left[chosen+1:]...)
		changed = true
	}
	return turns, wake, noteWaiting(b, calls, left, now) || changed
}

// choose returns the call that gets the turn at a time, or -1 if none may be made then. It prefers the first live call
// whose endpoint is free. It takes the first such bulk call if no live call wants the turn, or if bulk's share of turns
// has come.
func choose(b *meshv1.Budget, calls []call, left []int, at int64) int {
	live, bulk := -1, -1
	for i, index := range left {
		c := calls[index]
		if endpointFreeAt(b, c, at) > at {
			continue
		}
		switch {
		case c.lane == Bulk && bulk < 0 && (b.GetBulkNext() <= at || !isLiveWaiting(b, c.endpoint, at)):
			bulk = i
		case c.lane == Live && live < 0:
			live = i
		}
		if live >= 0 && bulk >= 0 {
			break
		}
	}
	if live < 0 || bulk >= 0 && b.GetBulkNext() <= at {
		return bulk
	}
	return live
}

// isUrgent reports whether a call gets its turn first: a live one, or a bulk one whose share has come.
func isUrgent(b *meshv1.Budget, c call, at int64) bool {
	return c.lane == Live || b.GetBulkNext() <= at
}

// endpointFreeAt returns the time from which a call's endpoint has a turn for it.
func endpointFreeAt(b *meshv1.Budget, c call, at int64) int64 {
	from := b.GetEndpoints()[c.endpoint]
	if isUrgent(b, c, at) {
		from -= int64(liveTolerance)
	}
	return from
}

// earliest returns when the first of the calls may be made.
func earliest(b *meshv1.Budget, calls []call, left []int) int64 {
	first := int64(math.MaxInt64)
	for _, index := range left {
		c := calls[index]
		at := b.GetNext() - int64(tolerance)
		at = max(at, endpointFreeAt(b, c, at))
		if c.lane == Bulk && isLiveWaiting(b, c.endpoint, at) {
			none := max(b.GetWaiting()[""], b.GetWaiting()[c.endpoint])
			at = max(at, min(b.GetBulkNext(), none))
		}
		first = min(first, at)
	}
	return first
}

// isLiveWaiting reports whether live calls of another process wait for turns that a bulk call would take.
func isLiveWaiting(b *meshv1.Budget, endpoint string, at int64) bool {
	return b.GetWaiting()[""] > at || b.GetWaiting()[endpoint] > at
}

// noteWaiting notes for other processes that live calls wait, and for which endpoint.
func noteWaiting(b *meshv1.Budget, calls []call, left []int, now int64) (changed bool) {
	for _, index := range left {
		c := calls[index]
		if c.lane != Live {
			continue
		}
		key := ""
		if b.GetEndpoints()[c.endpoint] > b.GetNext() {
			key = c.endpoint
		}
		if b.GetWaiting()[key]-now > int64(waitingTimeout)/2 {
			continue
		}
		if b.Waiting == nil {
			b.Waiting = map[string]int64{}
		}
		b.Waiting[key] = now + int64(waitingTimeout)
		changed = true
	}
	return changed
}

// currentPace returns the pace of an endpoint, or of all, while it recovers from having been lowered.
func currentPace(b *meshv1.Budget, key string, pace float64, at int64) int64 {
	return int64(pace * fullPermille / float64(ratePermille(b, key, at)))
}

func ratePermille(b *meshv1.Budget, key string, at int64) int64 {
	s, ok := b.GetSlowed()[key]
	if !ok {
		return fullPermille
	}
	since := max(at-s.GetAt(), 0)
	return min(int64(s.GetPermille())+int64(float64(recoveryPerSecond)*float64(since)/float64(time.Second)),
		fullPermille)
}

// lowerRate reduces a rate, once for all calls that were refused at about the same time.
func lowerRate(b *meshv1.Budget, key string, now int64) (changed bool) {
	if s, ok := b.GetSlowed()[key]; ok && now-s.GetAt() < int64(lowerInterval) {
		return false
	}
	if b.Slowed == nil {
		b.Slowed = map[string]*meshv1.Slowdown{}
	}
	b.Slowed[key] = &meshv1.Slowdown{
		Permille: uint32(max(float64(ratePermille(b, key, now))*lowerFactor, minPermille)),
		At:       now,
	}
	return true
}

// correctTimes corrects times that no process with a correct clock can have written. One wrong clock must not stop the
// others.
func correctTimes(b *meshv1.Budget, p paces, now int64) (changed bool) {
	limit := func(at *int64, latest int64) {
		if *at > latest {
			*at, changed = latest, true
		}
	}
	soon := now + int64(ahead+skew)
	limit(&b.Next, soon+currentPace(b, "", p.all, now))
	limit(&b.BulkNext, soon+int64(float64(currentPace(b, "", p.all, now))/bulkShare))
	for k, at := range b.GetEndpoints() {
		limit(&at, soon+currentPace(b, k, p.endpoint, now))
		b.Endpoints[k] = at
	}
	for k, at := range b.GetWaiting() {
		limit(&at, now+int64(waitingTimeout+skew))
		b.Waiting[k] = at
	}
	for _, s := range b.GetSlowed() {
		limit(&s.At, now+int64(skew))
	}
	return changed
}

// prune deletes what no longer counts.
func prune(b *meshv1.Budget, now int64) {
	for k, at := range b.GetEndpoints() {
		if at <= now {
			delete(b.Endpoints, k)
		}
	}
	for k, at := range b.GetWaiting() {
		if at <= now {
			delete(b.Waiting, k)
		}
	}
	for k := range b.GetSlowed() {
		if ratePermille(b, k, now) == fullPermille {
			delete(b.Slowed, k)
		}
	}
	oldest := time.Unix(0, now).UTC().AddDate(0, 0, -maxReadDays).Format(time.DateOnly)
	dropDays(b, oldest)
}
