package doctor

import (
	"slices"
	"time"
)

// Delivery is an event that Stripe has not delivered yet.
type Delivery struct {
	Event, Type string
	Created     time.Time
}

// Deliveries is what Stripe said about its latest events at a time.
type Deliveries struct {
	At time.Time
	// Read is how many events were looked at.
	Read    int
	Waiting []Delivery
	// Latest is when the latest delivered event was created. The zero time if none was delivered.
	Latest time.Time
}

// JudgeDeliveries records whether events wait for their delivery for longer than patience. The words have times instead
// of ages: they are shown for hours.
func JudgeDeliveries(r *Recorder, d Deliveries, patience time.Duration) {
	late := slices.DeleteFunc(slices.Clone(d.Waiting),
		func(w Delivery) bool { return d.At.Sub(w.Created) < patience })
	last := "none of them was delivered"
	if !d.Latest.IsZero() {
		last = "the latest that was delivered is of " + moment(d.Latest)
	}
	switch {
	case d.Read == 0:
		r.Settled("Stripe has no event about products or prices in the last 30 days", StripeWebhookDelivery)
	case len(late) > 0:
		oldest := slices.MinFunc(late, func(a, b Delivery) int { return a.Created.Compare(b.Created) })
		r.Foundf(StripeWebhookDelivery, "",
			"%d of the latest %d events about products and prices have not reached every webhook endpoint; "+
				"event %s (%s) waits since %s; %s",
			len(late), d.Read, oldest.Event, oldest.Type, moment(oldest.Created), last)
	default:
		r.Sawf(StripeWebhookDelivery, "%s", last)
	}
}

// moment returns a time for a text that may be read later.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
