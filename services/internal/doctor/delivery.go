package doctor

import (
	"slices"
	"time"
)

// Delivery is an event that Stripe has not delivered yet.
type Delivery struct {
	Event, Type string
	// Age is how long ago the event was created.
	Age time.Duration
}

// JudgeDeliveries records whether events wait for their delivery for longer than patience. read is how many events were
// looked at, and latest the age of the latest delivered one, negative if there is none.
func JudgeDeliveries(r *Recorder, read int, waiting []Delivery, latest, patience time.Duration) {
	late := slices.DeleteFunc(slices.Clone(waiting), func(d Delivery) bool { return d.Age < patience })
	last := "none of them was delivered"
	if latest >= 0 {
		last = "the latest that was delivered is of " + round(latest).String() + " ago"
	}
	switch {
	case read == 0:
		r.Settled("Stripe has no event about products or prices in the last 30 days", StripeWebhookDelivery)
	case len(late) > 0:
		oldest := slices.MaxFunc(late, func(a, b Delivery) int { return int(a.Age - b.Age) })
		r.Foundf(StripeWebhookDelivery, "",
			"%d of the latest %d events about products and prices have not reached every webhook endpoint; "+
				"event %s (%s) waits for %s; %s",
			len(late), read, oldest.Event, oldest.Type, round(oldest.Age), last)
	default:
		r.Sawf(StripeWebhookDelivery, "%s", last)
	}
}
