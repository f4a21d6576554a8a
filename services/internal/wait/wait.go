// Package wait waits for a time.
package wait

import (
	"context"
	"time"
)

// For waits for d. It returns why ctx ended if that comes first, and nil at once if d is not positive.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
