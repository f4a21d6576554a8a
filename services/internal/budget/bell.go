package budget

import (
	"context"
	"strconv"
	"time"
)

// Bell signals to the other processes that live calls are starving. A mesh's BudgetBell is one. It has no
// compare-and-set, because a process that is far from the server would lose that race too.
type Bell interface {
	PutString(ctx context.Context, s string) error
	GetString(ctx context.Context) (string, error)
}

const (
	// yieldTimeout is how long bulk calls go slowly after a ring. yieldInterval is then the time between turns of a
	// process with bulk calls only: enough for two round trips of a distant process.
	yieldTimeout  = time.Second
	yieldInterval = 100 * time.Millisecond
	// bellReadInterval and bellRingInterval limit how often the bell is read and rung.
	bellReadInterval = 50 * time.Millisecond
	bellRingInterval = 300 * time.Millisecond
)

// ring asks bulk callers in other processes to yield.
func (b *Budget) ring() {
	if b.bell == nil || time.Since(b.rungAt) < bellRingInterval {
		return
	}
	b.rungAt = time.Now()
	now, err := b.clock.Now(b.ctx)
	if err != nil {
		return
	}
	until := now.Add(yieldTimeout).UnixNano()
	if err := b.bell.PutString(b.ctx, strconv.FormatInt(until, 10)); err != nil && b.ctx.Err() == nil {
		b.logger.Warn("could not ask bulk callers to yield", "error", err)
	}
}

// yieldDelay returns how long to wait before taking turns for bulk calls only, if another process rang the bell.
func (b *Budget) yieldDelay() time.Duration {
	if b.bell != nil && time.Since(b.bellReadAt) > bellReadInterval {
		b.bellReadAt = time.Now()
		if text, err := b.bell.GetString(b.ctx); err == nil && text != "" {
			until, err := strconv.ParseInt(text, 10, 64)
			now, unknown := b.clock.Now(b.ctx)
			if err == nil && unknown == nil {
				b.yieldUntil = b.localTime(min(until, now.Add(yieldTimeout).UnixNano()))
			}
		}
	}
	if time.Now().Before(b.yieldUntil) {
		return yieldInterval - time.Since(b.reservedAt)
	}
	return 0
}
