// Package budget shares an account's rate of calls to Stripe among all processes that make them. Each call waits for
// its turn; turns are taken from one record in the bucket BUDGET by compare-and-set, so that the sum of all processes,
// however many come, go or crash, stays within the account's limits: a turn that nobody uses is lost, none is used
// twice. Live calls go before bulk ones, in this process and in others.
//
// It knows endpoints by name only and makes no calls itself.
package budget

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
)

// Lane is how urgent a call is.
type Lane int

// Lanes: live calls are what people wait for, bulk is what may take hours.
const (
	Live Lane = iota
	Bulk
)

// Limits are calls per second. Stripe counts per account, whoever calls, and per endpoint: per operation such as
// POST /v1/prices, whichever object it is about (https://docs.stripe.com/rate-limits).
type Limits struct {
	// PerSecond in all; 0 means no limit.
	PerSecond float64
	// PerEndpoint for each operation; 0 means no limit.
	PerEndpoint float64
	// ReadAllowance is how many reads Stripe allows in 30 days; 0 means no limit.
	ReadAllowance uint64
}

// Store keeps the shared record; a mesh's Budget is one.
type Store interface {
	// GetAt decodes the record and returns its revision, 0 if there is none.
	GetAt(ctx context.Context, into proto.Message) (revision uint64, err error)
	// CompareAndPut writes the record if it still has the revision, else the error is mesh.ErrConflict.
	CompareAndPut(ctx context.Context, record proto.Message, revision uint64) (uint64, error)
}

// Bell tells the other processes that live calls have waited in vain; a mesh's BudgetBell is one. It needs no
// compare-and-set: whoever is farther from the server than the others would lose that race too.
type Bell interface {
	PutString(ctx context.Context, s string) error
	GetString(ctx context.Context) (string, error)
}

// Reasons of Stripe for turning a call away (header Stripe-Rate-Limited-Reason).
const (
	reasonGlobalRate          = "global-rate"
	reasonEndpointRate        = "endpoint-rate"
	reasonGlobalConcurrency   = "global-concurrency"
	reasonEndpointConcurrency = "endpoint-concurrency"
)

// Budget gives turns to the calls of this process. Its methods may be called concurrently.
type Budget struct {
	store  Store
	bell   Bell
	clock  *mesh.Clock
	limits Limits
	paces  paces
	logger *slog.Logger

	mu      sync.Mutex
	waiting []*waiter
	lowered []string
	reads   tally
	running bool
	wake    chan struct{}
	// inFlight calls, and how many there may be; 0 for any number.
	inFlight, most int
	calmSince      time.Time

	// ends the goroutine that gives out turns.
	ctx  context.Context //nolint:containedctx // the budget's own life
	stop context.CancelFunc
	over sync.WaitGroup

	// Of the goroutine that runs.
	record   *meshv1.Budget
	revision uint64
	// away: the store could not be reached, which was logged.
	away bool
	// lost races in a row; when the bell was last rung, and last listened for, and until when it asks for patience.
	lost                 int
	rung, heard, patient time.Time
	taken                time.Time
}

type waiter struct {
	call
	turn chan time.Time
}

// New makes the budget of an account, whose turns are told by the clock. A nil store, bell and clock are for a process
// that shares with none.
func New(store Store, bell Bell, clock *mesh.Clock, limits Limits, logger *slog.Logger) *Budget {
	if store == nil {
		store = &alone{}
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

// Close ends the giving out of turns and records the reads that are not recorded yet. No call may wait any more.
func (b *Budget) Close() {
	b.stop()
	b.over.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = true
	for range 10 {
		if b.reads.total() == 0 {
			return
		}
		_, _, err := b.take(context.Background(), nil, 0, nil, b.reads)
		if err == nil {
			b.reads = tally{}
		} else if b.record = nil; !errors.Is(err, mesh.ErrConflict) {
			return
		}
	}
}

type laneKey struct{}

// InLane marks the calls that are made with the context; without a mark they are live.
func InLane(ctx context.Context, lane Lane) context.Context {
	return context.WithValue(ctx, laneKey{}, lane)
}

// LaneOf is the lane that the calls made with the context are in.
func LaneOf(ctx context.Context) Lane {
	lane, _ := ctx.Value(laneKey{}).(Lane)
	return lane
}

// Wait returns when a call of the endpoint ("POST /v1/prices") may be made, or with ctx's error. Done is to be called
// after the call with the reason for which Stripe turned it away as one too many, "" if it did not.
func (b *Budget) Wait(ctx context.Context, endpoint string) (done func(reason string), err error) {
	isRead := strings.HasPrefix(endpoint, "GET ")
	unlimited := b.limits.PerSecond <= 0 && b.limits.PerEndpoint <= 0
	b.mu.Lock()
	if isRead {
		b.reads[purposeOf(ctx)]++
	}
	if unlimited {
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
		if err := sleep(ctx, time.Until(at)); err != nil {
			b.ended(endpoint, "")
			return nil, err
		}
		return func(reason string) { b.ended(endpoint, reason) }, nil
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

// start makes sure that somebody gives out turns. The caller holds the lock.
func (b *Budget) start() {
	if !b.running {
		b.running = true
		b.over.Go(b.run)
		return
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// calm is how long no call may have been turned away for concurrency before one more may be in flight.
const calm = time.Second

func (b *Budget) ended(endpoint, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch reason {
	case reasonGlobalRate:
		b.lowered = append(b.lowered, "")
	case reasonEndpointRate:
		b.lowered = append(b.lowered, endpoint)
	case reasonGlobalConcurrency, reasonEndpointConcurrency:
		b.most = max(b.inFlight/2, 1)
		b.calmSince = now
		b.logger.Warn("Stripe refuses so many calls at once; making fewer", "at_once", b.most, "reason", reason)
	default:
		if b.most > 0 && now.Sub(b.calmSince) > calm {
			b.calmSince = now
			if b.most++; b.most > 2*b.inFlight+8 {
				b.most = 0
			}
		}
	}
	b.inFlight--
	if len(b.lowered) > 0 || len(b.waiting) > 0 {
		b.start()
	}
}

// flushReads is how many reads are counted before the record is written for them alone, and readsEvery after which time
// at the latest.
const (
	flushReads = 100
	readsEvery = 5 * time.Second
)

// run gives out turns until no call waits.
func (b *Budget) run() {
	written := time.Now()
	for b.ctx.Err() == nil {
		b.mu.Lock()
		calls, waiters, most := b.next()
		lowered, reads := b.lowered, maps.Clone(b.reads)
		made := reads.total()
		idle := len(calls) == 0 && len(lowered) == 0
		if idle && (made == 0 || made < flushReads && time.Since(written) < readsEvery) {
			if made == 0 && len(b.waiting) == 0 {
				b.running = false
				b.mu.Unlock()
				return
			}
			b.mu.Unlock()
			// A call that ends wakes this up.
			b.pause(max(readsEvery-time.Since(written), 100*time.Millisecond))
			continue
		}
		b.mu.Unlock()
		if live(calls) == 0 {
			if wait := b.room(); wait > 0 {
				b.pause(wait)
				continue
			}
		}
		turns, wake, err := b.take(b.ctx, calls, most, lowered, reads)
		switch {
		case errors.Is(err, mesh.ErrConflict):
			b.record = nil
			if b.lost++; live(calls) > 0 && b.lost > 2 {
				b.ring()
			}
			// Several that lost the same race should not meet again at once.
			b.pause(rand.N(2 * time.Millisecond))
			continue
		case err != nil && b.ctx.Err() == nil:
			b.record = nil
			if !b.away {
				b.away = true
				b.logger.Warn("the budget of calls to Stripe cannot be reached; no calls are made meanwhile",
					"error", err)
			}
			b.pause(500 * time.Millisecond)
			continue
		case err != nil:
			b.record = nil
			return
		}
		if b.away {
			b.away = false
			b.logger.Info("the budget of calls to Stripe is reached again")
		}
		written = time.Now()
		b.lost, b.taken = 0, written
		b.mu.Lock()
		b.lowered = b.lowered[len(lowered):]
		b.reads.remove(reads)
		for _, t := range turns {
			w := waiters[t.index]
			if i := slices.Index(b.waiting, w); i >= 0 {
				b.waiting = slices.Delete(b.waiting, i, i+1)
				b.inFlight++
				w.turn <- b.local(t.at)
			}
		}
		b.mu.Unlock()
		if len(turns) < len(calls) {
			b.pause(time.Until(b.local(wake)))
		}
	}
}

// considered is how many waiting calls are looked at: more cannot get a turn at once.
const considered = 256

// next are the calls that may get a turn now. The caller holds the lock.
func (b *Budget) next() (calls []call, waiters []*waiter, most int) {
	if most = considered; b.most > 0 {
		if most = b.most - b.inFlight; most <= 0 {
			return nil, nil, 0
		}
	}
	perEndpoint := map[call]int{}
	for _, lane := range []Lane{Live, Bulk} {
		for _, w := range b.waiting {
			if w.lane != lane || len(calls) == considered {
				continue
			}
			// Of each kind, a few: the others cannot have their turn before.
			if perEndpoint[w.call]++; perEndpoint[w.call] > 16 {
				continue
			}
			calls, waiters = append(calls, w.call), append(waiters, w)
		}
	}
	return calls, waiters, most
}

func live(calls []call) (n int) {
	for _, c := range calls {
		if c.lane == Live {
			n++
		}
	}
	return n
}

const (
	// patience is how long the bell asks for, and gap the pause between the turns of a process with bulk calls then:
	// time enough for two round trips of somebody far away.
	patience = time.Second
	gap      = 100 * time.Millisecond
	// listenEvery and ringEvery bound what the bell costs.
	listenEvery = 50 * time.Millisecond
	ringEvery   = 300 * time.Millisecond
)

// ring asks the others for patience.
func (b *Budget) ring() {
	if b.bell == nil || time.Since(b.rung) < ringEvery {
		return
	}
	b.rung = time.Now()
	now, err := b.clock.Now(b.ctx)
	if err != nil {
		return
	}
	until := now.Add(patience).UnixNano()
	if err := b.bell.PutString(b.ctx, strconv.FormatInt(until, 10)); err != nil && b.ctx.Err() == nil {
		b.logger.Warn("live calls cannot make themselves heard", "error", err)
	}
}

// room is how long to wait before turns are taken for bulk calls only, if somebody has rung for live ones.
func (b *Budget) room() time.Duration {
	if b.bell != nil && time.Since(b.heard) > listenEvery {
		b.heard = time.Now()
		if text, err := b.bell.GetString(b.ctx); err == nil && text != "" {
			until, err := strconv.ParseInt(text, 10, 64)
			now, unknown := b.clock.Now(b.ctx)
			if err == nil && unknown == nil {
				b.patient = b.local(min(until, now.Add(patience).UnixNano()))
			}
		}
	}
	if time.Now().Before(b.patient) {
		return gap - time.Since(b.taken)
	}
	return 0
}

// local is when a moment of the shared record is, by our clock.
func (b *Budget) local(at int64) time.Time { return b.clock.Local(time.Unix(0, at)) }

// storePatience is how long the store may take. A mesh waits 12 s for a cluster that elects another leader.
const storePatience = 15 * time.Second

// take reserves turns in the shared record.
func (b *Budget) take(ctx context.Context, calls []call, most int, lowered []string,
	reads tally,
) (turns []turn, wake int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
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
		if lower(next, key, now) {
			changed = true
			b.logger.Warn("Stripe says that there are too many calls; slowing down", "endpoint", key,
				"permille", next.GetSlowed()[key].GetPermille())
		}
	}
	if reads.total() > 0 {
		reads.record(next, now)
		changed = true
	}
	turns, wake, given := assign(next, b.paces, now, calls, most)
	if !given && !changed {
		return nil, wake, nil
	}
	if b.revision, err = b.store.CompareAndPut(ctx, next, b.revision); err != nil {
		return nil, 0, err
	}
	b.record = next
	return turns, wake, nil
}

// pause waits, or until there is something new.
func (b *Budget) pause(d time.Duration) {
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

// Reads is how many reads all processes made in the last 30 days, as far as they have recorded it: a process does at
// least every hundred reads and every five seconds.
func Reads(ctx context.Context, store Store) (uint64, error) {
	record := &meshv1.Budget{}
	if _, err := store.GetAt(ctx, record); err != nil {
		return 0, err
	}
	return used(record, time.Now()), nil
}

// Reads is how many reads all processes made in the last 30 days, and how many Stripe allows; 0 for no limit.
func (b *Budget) Reads(ctx context.Context) (made, allowed uint64, err error) {
	if made, err = Reads(ctx, b.store); err != nil {
		return 0, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return made + b.reads.total(), b.limits.ReadAllowance, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
