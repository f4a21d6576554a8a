package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Clock tells the time of the NATS server, whatever the time of this host: what processes agree on by time (turns,
// claims, pauses, schedules) is told by it. It is right to within the half of a round trip, and a step of the host's
// clock does not touch it. The zero value tells this process's own time. Safe for concurrent use.
type Clock struct {
	// read asks the server; nil for the process's own time.
	read func(ctx context.Context) (time.Time, error)
	// now is the process's clock; time.Now if nil.
	now func() time.Time

	mu sync.Mutex
	// here and there are the same moment, by our clock and by the server's; both zero before the first measurement.
	here, there time.Time
	// tried is when the server was asked last.
	tried time.Time
	// measuring: a goroutine asks the server.
	measuring bool
}

const (
	// measureEvery is how often the clocks are compared, and measureAgain how soon after that failed.
	measureEvery = time.Minute
	measureAgain = time.Second
	// good is a round trip that is short enough; of longer ones, the shortest of a few is taken.
	good = 5 * time.Millisecond
	// measurePatience bounds a later measurement.
	measurePatience = 30 * time.Second
)

// Clock is the server's.
func (m *Mesh) Clock() *Clock { return m.clock }

// Now is the server's time. It asks the server once a minute, and fails only if the server never answered. Only the
// first measurement is waited for: a server that hangs must not keep the callers from what they know.
func (c *Clock) Now(ctx context.Context) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	here := c.ours()
	if c.read == nil {
		return here, nil
	}
	since := here.Sub(c.tried)
	switch {
	case !c.here.IsZero():
		if since > measureEvery && !c.measuring {
			c.tried, c.measuring = here, true
			go c.remeasure(context.WithoutCancel(ctx))
		}
	case c.tried.IsZero(), since > measureAgain:
		tried := c.tried
		c.tried = here
		err := c.measure(ctx, func(set func()) { set() })
		if err != nil && ctx.Err() != nil {
			// Who asked did not wait for the answer: that says nothing of the server.
			c.tried = tried
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("learn the time of the NATS server: %w", err)
		}
		here = c.ours()
	}
	if c.here.IsZero() {
		return time.Time{}, errors.New("the NATS server has not told its time")
	}
	return c.there.Add(here.Sub(c.here)), nil
}

// Local is the moment of the process's clock at which the server's tells at.
func (c *Clock) Local(at time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here.IsZero() {
		return at
	}
	return c.here.Add(at.Sub(c.there))
}

func (c *Clock) ours() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

// remeasure compares the clocks again.
func (c *Clock) remeasure(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, measurePatience)
	defer cancel()
	// After a failure the next minute's measurement counts.
	_ = c.measure(ctx, func(set func()) {
		c.mu.Lock()
		defer c.mu.Unlock()
		set()
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.measuring = false
}

// measure compares the clocks, and stores the result where locked lets it.
func (c *Clock) measure(ctx context.Context, locked func(set func())) error {
	var here, there time.Time
	best := time.Duration(-1)
	for range 3 {
		sent := c.ours()
		at, err := c.read(ctx)
		if err != nil {
			return err
		}
		if took := c.ours().Sub(sent); best < 0 || took < best {
			best, here, there = took, sent.Add(took/2), at
		}
		if best < good {
			break
		}
	}
	locked(func() {
		// What is no more than the measurement's error does not move the clock.
		if expected := c.there.Add(here.Sub(c.here)); c.here.IsZero() || there.Sub(expected).Abs() > max(good, best/2) {
			c.here, c.there = here, there
		}
	})
	return nil
}

// serverTime reads the server's clock.
func (m *Mesh) serverTime(ctx context.Context) (time.Time, error) {
	s, err := m.stream(ctx, "KV_"+topology.BucketCursor)
	if err != nil {
		return time.Time{}, err
	}
	info, err := m.infoOf(ctx, s)
	if err != nil {
		return time.Time{}, err
	}
	return info.TimeStamp, nil
}
