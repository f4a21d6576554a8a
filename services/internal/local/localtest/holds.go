package localtest

import (
	"testing"
	"time"
)

// Holds fails the test if the condition stops holding within the time, in which it is looked at every few
// milliseconds. It is asked in the test's own goroutine, never again after Holds has returned, so that it may use the
// test's context; testify's Never gives no such promise.
func Holds(t testing.TB, during time.Duration, condition func() bool, what string) {
	t.Helper()
	end := time.After(during)
	tick := time.NewTicker(during / 20)
	defer tick.Stop()
	for {
		if !condition() {
			t.Fatalf("does not hold for %s: %s", during, what)
		}
		select {
		case <-end:
			return
		case <-tick.C:
		}
	}
}
