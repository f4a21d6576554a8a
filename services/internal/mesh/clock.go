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
	// hostTime and serverTime are the same moment, by the host's clock and by the server's. Both are zero before the
	// first measurement.
	hostTime, serverTime time.Time
	// lastAttempt is when the server was last asked.
	lastAttempt time.Time
	// measuring reports whether a goroutine is asking the server.
	measuring bool
}

const (
	// measureInterval is the interval between two measurements.
	measureInterval = time.Minute
	// measureRetryDelay is the delay after a measurement that failed.
	measureRetryDelay = time.Second
	// maxRoundTrip is the longest round trip that needs no second one. Otherwise the shortest of three counts.
	maxRoundTrip = 5 * time.Millisecond
	// measureTimeout bounds each measurement but the first.
	measureTimeout = 30 * time.Second
)

// Clock returns the server's clock.
func (m *Mesh) Clock() *Clock { return m.clock }

// Now returns the server's time. It asks the server once a minute, and fails only if the server never answered. It
// waits only for the first measurement: a server that hangs must not block callers that have a usable time.
func (c *Clock) Now(ctx context.Context) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	here := c.hostNow()
	if c.read == nil {
		return here, nil
	}
	since := here.Sub(c.lastAttempt)
	switch {
	case !c.hostTime.IsZero():
		if since > measureInterval && !c.measuring {
			c.lastAttempt, c.measuring = here, true
			go c.remeasure(context.WithoutCancel(ctx))
		}
	case c.lastAttempt.IsZero(), since > measureRetryDelay:
		tried := c.lastAttempt
		c.lastAttempt = here
		err := c.measure(ctx, func(set func()) { set() })
		if err != nil && ctx.Err() != nil {
			// The caller gave up, which says nothing about the server.
			c.lastAttempt = tried
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("read the time of the NATS server: %w", err)
		}
		here = c.hostNow()
	}
	if c.hostTime.IsZero() {
		return time.Time{}, errors.New("the time of the NATS server is not known yet")
	}
	return c.serverTime.Add(here.Sub(c.hostTime)), nil
}

// Local converts a time of the server to the host's clock.
func (c *Clock) Local(at time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hostTime.IsZero() {
		return at
	}
	return c.hostTime.Add(at.Sub(c.serverTime))
}

func (c *Clock) hostNow() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

// remeasure compares the clocks again.
func (c *Clock) remeasure(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
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
		sent := c.hostNow()
		at, err := c.read(ctx)
		if err != nil {
			return err
		}
		if took := c.hostNow().Sub(sent); best < 0 || took < best {
			best, here, there = took, sent.Add(took/2), at
		}
		if best < maxRoundTrip {
			break
		}
	}
	locked(func() {
		// A difference within the error of the measurement does not move the clock.
		if expected := c.serverTime.Add(here.Sub(c.hostTime)); c.hostTime.IsZero() ||
			there.Sub(expected).Abs() > max(maxRoundTrip, best/2) {
			c.hostTime, c.serverTime = here, there
		}
	})
	return nil
}

// serverTime reads the server's clock.
func (m *Mesh) serverTime(ctx context.Context) (time.Time, error) {
	s, err := m.boundStream(ctx, "KV_"+topology.BucketCursor)
	if err != nil {
		return time.Time{}, err
	}
	info, err := m.infoOf(ctx, s)
	if err != nil {
		return time.Time{}, err
	}
	return info.TimeStamp, nil
}
