package web

import (
	"slices"
	"time"
)

// batchPeriod is the shortest time between two batches of events. A page reads itself again once for each.
const batchPeriod = time.Second

// batch collects events. Those within a period are sent at its end, so that the last change is never missed.
type batch struct {
	events []string
	// sent is when the last batch was sent.
	sent time.Time
}

// newBatch returns a batch with events that are due after a period.
func newBatch(now time.Time, events ...string) *batch { return &batch{events: events, sent: now} }

// add adds an event, and returns after which time the batch is due.
func (b *batch) add(event string, now time.Time) time.Duration {
	if !slices.Contains(b.events, event) {
		b.events = append(b.events, event)
	}
	return max(batchPeriod-now.Sub(b.sent), 0)
}

// take returns the events of the batch, and begins another one.
func (b *batch) take(now time.Time) []string {
	events := b.events
	b.events, b.sent = nil, now
	return events
}
