// Package budget shares an account's rate of calls to Stripe among all processes that make them. Each call waits for
// its turn. Processes take turns from one record in the bucket BUDGET by compare-and-set. So the sum of all processes
// stays within the account's limits, however many start, stop or crash. An unused turn is lost, and no turn is used
// twice. Live calls go before bulk ones, in this process and in others.
//
// The package knows endpoints by name only and makes no calls itself.
package budget

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/wait"
)

// Limits are calls per second. Stripe counts all calls of an account, and the calls to each endpoint: an operation such
// as POST /v1/prices, for any object (https://docs.stripe.com/rate-limits).
type Limits struct {
	// PerSecond limits all calls together; 0 means no limit.
	PerSecond float64
	// PerEndpoint limits the calls of each operation; 0 means no limit.
	PerEndpoint float64
	// ReadAllowance is how many reads Stripe allows in 30 days; 0 means no limit.
	ReadAllowance uint64
}

// Store keeps the shared record. A mesh's Budget is one.
type Store interface {
	// GetAt decodes the record and returns its revision, or 0 if there is none.
	GetAt(ctx context.Context, into proto.Message) (revision uint64, err error)
	// CompareAndPut writes the record if it still has the revision. Otherwise it returns state.ErrConflict.
	CompareAndPut(ctx context.Context, record proto.Message, revision uint64) (uint64, error)
}

// Budget gives turns to the calls of this process. It is safe for concurrent use.
type Budget struct {
	store  Store
	bell   Bell
	clock  *mesh.Clock
	limits Limits
	paces  paces
	logger *slog.Logger

	mu           sync.Mutex
	waiting      []*waiter
	refusedRates []string
	reads        tally
	made         made
	running      bool
	wake         chan struct{}
	// calls counts the calls that asked for a turn.
	calls atomic.Uint64
	// inFlight is the number of calls in flight, and maxInFlight their maximum; 0 means no maximum.
	inFlight, maxInFlight int
	calmSince             time.Time

	// ctx and stop end the goroutine that gives out turns.
	ctx  context.Context //nolint:containedctx // the budget's own life
	stop context.CancelFunc
	done sync.WaitGroup

	// Owned by the goroutine of run.
	record   *meshv1.Budget
	revision uint64
	// unreachable reports whether the store is unreachable and that was logged.
	unreachable bool
	// lostRaces counts compare-and-sets lost in a row. rungAt is when the bell was last rung, and bellReadAt when it
	// was last read. Bulk calls go slowly until yieldUntil.
	lostRaces                      int
	rungAt, bellReadAt, yieldUntil time.Time
	reservedAt                     time.Time
}

type waiter struct {
	call
	turn chan time.Time
}

// New returns the budget of an account. The clock gives the time of its turns. With a nil store, bell and clock the
// process shares with none.
func New(store Store, bell Bell, clock *mesh.Clock, limits Limits, logger *slog.Logger) *Budget {
	if store == nil {
		store = &memoryStore{}
	}
	if logger == nil {
		logger = slog.Default()
	}
	if clock == nil {
		clock = &mesh.Clock{}
	}
	b := &Budget{
		store: store, bell: bell, clock: clock, limits: limits, paces: limits.paces(), logger: logger,
		wake: make(chan struct{}, 1), reads: tally{},
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// Close stops giving out turns and records the reads that are not recorded yet. No call may be waiting.
func (b *Budget) Close() {
	b.stop()
	b.done.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = true
	for range 10 {
		if b.reads.total() == 0 {
			return
		}
		_, _, err := b.reserve(context.Background(), nil, 0, nil, b.reads)
		if err == nil {
			b.reads = tally{}
		} else if b.record = nil; !errors.Is(err, state.ErrConflict) {
			return
		}
	}
}

// Calls returns how many calls this process has made or waits for.
func (b *Budget) Calls() uint64 { return b.calls.Load() }

// Wait returns when a call of the endpoint ("POST /v1/prices") may be made, or with ctx's error. The caller calls done
// after the call, with Stripe's reason if it was rate-limited, else with "".
func (b *Budget) Wait(ctx context.Context, endpoint string) (done func(reason string), err error) {
	b.calls.Add(1)
	isRead := strings.HasPrefix(endpoint, "GET ")
	unlimited := b.limits.PerSecond <= 0 && b.limits.PerEndpoint <= 0
	b.mu.Lock()
	if isRead {
		b.reads[purposeOf(ctx)]++
	}
	if unlimited {
		b.made.add(call{endpoint, LaneOf(ctx)})
		if isRead {
			b.start()
		}
		b.mu.Unlock()
		return func(string) {}, nil
	}
	w := &waiter{call{endpoint, LaneOf(ctx)}, make(chan time.Time, 1)}
	b.waiting = append(b.waiting, w)
	b.start()
	b.mu.Unlock()
	select {
	case at := <-w.turn:
		if err := wait.For(ctx, time.Until(at)); err != nil {
			b.callEnded(endpoint, "")
			return nil, err
		}
		return func(reason string) { b.callEnded(endpoint, reason) }, nil
	case <-ctx.Done():
		b.mu.Lock()
		defer b.mu.Unlock()
		before := len(b.waiting)
		b.waiting = slices.DeleteFunc(b.waiting, func(x *waiter) bool { return x == w })
		if len(b.waiting) == before {
			// It got its turn at the same moment.
			b.inFlight--
		}
		return nil, context.Cause(ctx)
	}
}

// start makes sure that run gives out turns. The caller holds the lock.
func (b *Budget) start() {
	if !b.running {
		b.running = true
		b.done.Go(b.run)
		return
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// maxUnrecordedReads is how many reads are counted before the record is written for them alone. readsInterval is the
// longest time until then.
const (
	maxUnrecordedReads = 100
	readsInterval      = 5 * time.Second
)

// run gives out turns until no call waits.
func (b *Budget) run() {
	written := time.Now()
	for b.ctx.Err() == nil {
		b.mu.Lock()
		calls, waiters, maxTurns := b.next()
		lowered, reads := b.refusedRates, maps.Clone(b.reads)
		made := reads.total()
		idle := len(calls) == 0 && len(lowered) == 0
		if idle && (made == 0 || made < maxUnrecordedReads && time.Since(written) < readsInterval) {
			if made == 0 && len(b.waiting) == 0 {
				b.running = false
				b.mu.Unlock()
				return
			}
			b.mu.Unlock()
			// A call that ends wakes this up.
			b.waitForWake(max(readsInterval-time.Since(written), 100*time.Millisecond))
			continue
		}
		b.mu.Unlock()
		if countLive(calls) == 0 {
			if wait := b.yieldDelay(); wait > 0 {
				b.waitForWake(wait)
				continue
			}
		}
		turns, wake, err := b.reserve(b.ctx, calls, maxTurns, lowered, reads)
		switch {
		case errors.Is(err, state.ErrConflict):
			b.record = nil
			if b.lostRaces++; countLive(calls) > 0 && b.lostRaces > 2 {
				b.ring()
			}
			// Processes that lost the same race should not collide again at once.
			b.waitForWake(rand.N(2 * time.Millisecond))
			continue
		case err != nil && b.ctx.Err() == nil:
			b.record = nil
			if !b.unreachable {
				b.unreachable = true
				b.logger.Warn("the budget of calls to Stripe is unreachable; calls wait",
					"error", err)
			}
			b.waitForWake(500 * time.Millisecond)
			continue
		case err != nil:
			b.record = nil
			return
		}
		if b.unreachable {
			b.unreachable = false
			b.logger.Info("the budget of calls to Stripe is reachable again")
		}
		written = time.Now()
		b.lostRaces, b.reservedAt = 0, written
		b.mu.Lock()
		b.refusedRates = b.refusedRates[len(lowered):]
		b.reads.remove(reads)
		for _, t := range turns {
			w := waiters[t.index]
			if i := slices.Index(b.waiting, w); i >= 0 {
				b.waiting = slices.Delete(b.waiting, i, i+1)
				b.inFlight++
				b.made.add(w.call)
				w.turn <- b.localTime(t.at)
			}
		}
		b.mu.Unlock()
		if len(turns) < len(calls) {
			b.waitForWake(time.Until(b.localTime(wake)))
		}
	}
}

// maxConsidered is how many waiting calls are considered at once. More cannot get a turn at once.
const maxConsidered = 256

// next returns the calls that may get a turn now. The caller holds the lock.
func (b *Budget) next() (calls []call, waiters []*waiter, maxTurns int) {
	if maxTurns = maxConsidered; b.maxInFlight > 0 {
		if maxTurns = b.maxInFlight - b.inFlight; maxTurns <= 0 {
			return nil, nil, 0
		}
	}
	perEndpoint := map[call]int{}
	for _, lane := range []Lane{Live, Bulk} {
		for _, w := range b.waiting {
			if w.lane != lane || len(calls) == maxConsidered {
				continue
			}
			// A few of each kind are enough: the others cannot have their turn earlier.
			if perEndpoint[w.call]++; perEndpoint[w.call] > 16 {
				continue
			}
			calls, waiters = append(calls, w.call), append(waiters, w)
		}
	}
	return calls, waiters, maxTurns
}

func countLive(calls []call) (n int) {
	for _, c := range calls {
		if c.lane == Live {
			n++
		}
	}
	return n
}

// localTime converts a time of the shared record to this process's clock.
func (b *Budget) localTime(at int64) time.Time { return b.clock.Local(time.Unix(0, at)) }

// storeTimeout is how long the store may take. A mesh waits 12 s for a cluster that elects another leader.
const storeTimeout = 15 * time.Second

// reserve reserves turns in the shared record. wake is when to try again for the calls that got none.
func (b *Budget) reserve(ctx context.Context, calls []call, maxTurns int, lowered []string,
	reads tally,
) (turns []turn, wake int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if b.record == nil {
		record := &meshv1.Budget{}
		if b.revision, err = b.store.GetAt(ctx, record); err != nil {
			return nil, 0, err
		}
		b.record = record
	}
	at, err := b.clock.Now(ctx)
	if err != nil {
		return nil, 0, err
	}
	next := proto.CloneOf(b.record)
	now := at.UnixNano()
	changed := false
	for _, key := range lowered {
		if lowerRate(next, key, now) {
			changed = true
			b.logger.Warn("Stripe refused a call for its rate limit; slowing down", "endpoint", key,
				"permille", next.GetSlowed()[key].GetPermille())
		}
	}
	if reads.total() > 0 {
		reads.record(next, now)
		changed = true
	}
	turns, wake, given := assign(next, b.paces, now, calls, maxTurns)
	if !given && !changed {
		return nil, wake, nil
	}
	if b.revision, err = b.store.CompareAndPut(ctx, next, b.revision); err != nil {
		return nil, 0, err
	}
	b.record = next
	return turns, wake, nil
}

// waitForWake waits for d, or until it is woken.
func (b *Budget) waitForWake(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.wake:
	case <-b.ctx.Done():
	}
}
