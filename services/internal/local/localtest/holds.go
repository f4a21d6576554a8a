package localtest

import (
	"testing"
	"time"
)

// Holds fails the test if the condition stops holding within the time. It checks the condition every few milliseconds
// in the test's own goroutine, and never after it has returned. So the condition may use the test's context, unlike
// with testify's Never.
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
