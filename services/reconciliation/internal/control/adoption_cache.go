package control

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// minPlanAge and planShare say for how long a plan is returned again: for planShare times as long as it took to
	// make, so that plans of a large catalog take at most a twentieth of the time.
	minPlanAge = 2 * time.Second
	planShare  = 20
	// maxErrorAge is for how long an error is returned again at most. Its cause may be gone.
	maxErrorAge = 2 * time.Minute
	// planTimeout is how long a plan may take.
	planTimeout = time.Minute
	// planKept is when a plan that nobody asks for is forgotten, because a large one needs memory.
	planKept = 10 * time.Minute
)

// planCache keeps the latest plan of adoptions: pages that somebody turns need the same one. It also keeps the error of
// an attempt, which may take as long. It is safe for concurrent use.
type planCache struct {
	now    func() time.Time
	making singleflight.Group
	// slot is taken while a plan is made: a large one needs memory.
	slot chan struct{}

	mu   sync.Mutex
	key  string
	plan *adoptionPlan
	err  error
	// until is when the plan is too old, by the clock. forgotten drops it later.
	until     time.Time
	forgotten *time.Timer
	// turn grows when plans that are being made are out of date.
	turn int
	// read is the id of the scan that the ledger is known to have read.
	read string
}

func newPlanCache(now func() time.Time) *planCache {
	if now == nil {
		now = time.Now
	}
	return &planCache{now: now, slot: make(chan struct{}, 1)}
}

// get returns the kept plan for a key of metadata, or else makes one.
func (c *planCache) get(ctx context.Context, key string,
	plan func(ctx context.Context, key string) (*adoptionPlan, error),
) (*adoptionPlan, error) {
	known, turn, err := c.recent(key)
	if known != nil || err != nil {
		return known, err
	}
	// A plan from before something was adopted is not for those who ask afterwards.
	done := c.making.DoChan(strconv.Itoa(turn)+" "+key, func() (any, error) {
		// The caller may leave while others wait for the same plan.
		return c.make(context.WithoutCancel(ctx), key, plan)
	})
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case result := <-done:
		fresh, _ := result.Val.(*adoptionPlan)
		return fresh, result.Err
	}
}

// make makes a plan when no other one is being made, and keeps it.
func (c *planCache) make(ctx context.Context, key string,
	plan func(ctx context.Context, key string) (*adoptionPlan, error),
) (*adoptionPlan, error) {
	c.slot <- struct{}{}
	defer func() { <-c.slot }()
	known, turn, err := c.recent(key)
	if known != nil || err != nil {
		return known, err
	}
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	began := c.now()
	fresh, err := plan(ctx, key)
	age := max(minPlanAge, planShare*c.now().Sub(began))
	if err != nil {
		age = min(age, maxErrorAge)
	}
	if err != nil || fresh.unknown == "" {
		c.keep(key, fresh, err, turn, age)
	}
	return fresh, err
}

// recent returns the plan for a key or the error of the attempt, if it is not too old, and the turn.
func (c *planCache) recent(key string) (*adoptionPlan, int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key != key || !c.now().Before(c.until) {
		return nil, c.turn, nil
	}
	return c.plan, c.turn, c.err
}

func (c *planCache) keep(key string, fresh *adoptionPlan, err error, turn int, age time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if turn != c.turn {
		return
	}
	c.drop()
	c.key, c.plan, c.err, c.until = key, fresh, err, c.now().Add(age)
	c.forgotten = time.AfterFunc(max(planKept, age), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.plan == fresh {
			c.plan = nil
		}
	})
}

// drop drops what is kept. The mutex is held.
func (c *planCache) drop() {
	c.plan, c.err = nil, nil
	if c.forgotten != nil {
		c.forgotten.Stop()
	}
}

// forget drops the plan: something of it was adopted.
func (c *planCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
	c.turn++
}

// isRead reports whether the ledger is known to have read what a scan has found.
func (c *planCache) isRead(scan string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return scan != "" && c.read == scan
}

// setRead notes that the ledger has read what a scan has found.
func (c *planCache) setRead(scan string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = scan
}
