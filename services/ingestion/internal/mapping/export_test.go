package mapping

import (
	"testing"
	"time"
)

// SplitTime sets how long a batch may be split, until the test ends.
func SplitTime(t *testing.T, limit time.Duration) {
	t.Helper()
	before := maxSplitTime
	maxSplitTime = limit
	t.Cleanup(func() { maxSplitTime = before })
}
