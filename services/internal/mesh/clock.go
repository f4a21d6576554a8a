package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Clock is the time of the NATS server, independent of this host's clock. Processes use it for everything that they
// must agree on: turns, claims, pauses and schedules. It is accurate to half a round trip, and a step of the host's
// clock does not affect it. The zero value is the host's clock. Safe for concurrent use.
type Clock struct {
	// read asks the server; nil means the host's clock.
	read func(ctx context.Context) (time.Time, error)
	// now is the host's clock. Defaults to time.Now.
	now func() time.Time

	mu sync.Mutex
	// here and there are the same moment, by the host's clock and by the server's. Both are zero before the first
	// measurement.
	here, there time.Time
	// tried is when the server was last asked.
	tried time.Time
	// measuring reports whether a goroutine is asking the server.
	measuring bool
}

const (
	// measureEvery is the interval between two measurements.
	measureEvery = time.Minute
	// measureAgain is the delay after a measurement that failed.
	measureAgain = time.Second
	// good is the longest round trip that needs no second one. Otherwise the shortest of three counts.
	good = 5 * time.Millisecond
	// measurePatience bounds each measurement but the first.
	measurePatience = 30 * time.Second
)

// Clock returns the server's clock.
func (m *Mesh) Clock() *Clock { return m.clock }

// Now returns the server's time. It asks the server once a minute, and fails only if the server never answered. It
// waits only for the first measurement: a server that hangs must not block callers that have a usable time.
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
			// The caller gave up, which says nothing about the server.
			c.tried = tried
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("read the time of the NATS server: %w", err)
		}
		here = c.ours()
	}
	if c.here.IsZero() {
		return time.Time{}, errors.New("the time of the NATS server is not known yet")
	}
	return c.there.Add(here.Sub(c.here)), nil
}

// Local converts a time of the server to the host's clock.
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
	// A failure needs no handling: the next measurement follows in a minute.
	_ = c.measure(ctx, func(set func()) {
		c.mu.Lock()
		defer c.mu.Unlock()
		set()
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.measuring = false
}

// measure compares the clocks. It passes the function that stores the result to locked, which calls it under the lock.
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
		// A difference within the error of the measurement does not move the clock.
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
