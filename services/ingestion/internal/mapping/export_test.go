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

// CheckTime sets the time limit of the queries of the operator's checks, until the test ends.
func CheckTime(t *testing.T, milliseconds int) {
	t.Helper()
	before := checkQueryTimeout
	checkQueryTimeout = time.Duration(milliseconds) * time.Millisecond
	t.Cleanup(func() { checkQueryTimeout = before })
}
