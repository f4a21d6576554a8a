package explain

import (
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// withoutNATS says what the ledger knew when NATS went away. Nothing is certain then: the services may have gone on.
func (d *deriver) withoutNATS() {
	before := d.Facts
	// The last answers of the mesh are old. The rest is the ledger's, which says the same until NATS is back.
	before.NATS, before.CaptureUnknown, before.StripeUnknown, before.PushRuns = "", "NATS cannot be reached", "", true
	then := deriver{Facts: before, out: d.out}
	words, equal := "the two sides were equal", true
	if then.beforeCatalog() || then.beforeStripe() {
		words, equal = d.out.GetSummary(), false
	}
	asOf := ""
	if at := d.Equality.GetAsOf(); at != nil {
		asOf = " at " + view.FormatClock(at.AsTime(), d.Now)
	}
	known := "the ledger knew" + asOf + ": " + words
	d.set(Unknown, "NATS cannot be reached, so nobody knows what happened since ("+d.NATS+")")
	d.out.Notes = append([]string{known}, d.out.GetNotes()...)
	if equal {
		d.out.Since = nil
	}
	d.do("Start NATS, or repair the network to it: see docs/runbooks/DriftlessNatsDown.md. Then ask again.",
		"driftless why "+visible.Argument(d.Product.ID))
}

// stripeUnknown says that Stripe may hold something else than the ledger knows.
func (d *deriver) stripeUnknown() {
	d.set(Unknown, "it is not known what Stripe holds now: "+d.StripeUnknown)
	if read := d.Equality.GetStripeAsOf(); read != nil {
		d.since(read.AsTime())
	}
	d.stripeRemedy()
}

// stripeRemedy says how to make known what Stripe holds.
func (d *deriver) stripeRemedy() {
	isBecause := func(beginning string) bool { return strings.HasPrefix(d.StripeUnknown, beginning) }
	switch {
	case d.paused(topology.Pull) != nil:
		d.do("End the pause.", "driftless resume pull")
	case isBecause(view.NoPullRuns):
		d.do("Start pull: see docs/runbooks/DriftlessServiceDown.md.", "")
	case isBecause(view.PollFails):
		d.do("Correct the key that pull reads with, or what else the reason names: "+
			"see docs/runbooks/DriftlessEventsNotRead.md.", "")
	case isBecause(view.EventsUnread):
		d.do("Pull's log says what keeps it from the poll: see docs/runbooks/DriftlessEventsNotRead.md.", "")
	case isBecause(view.EventsLost) && strings.Contains(d.StripeUnknown, view.LatestScan):
		d.do("Remove what keeps a scan from reading everything, and start another.", "driftless scan")
	case isBecause(view.EventsLost):
		d.do("Wait until the scan of Stripe has ended: the status has its progress.", "driftless status")
	case isBecause(view.ScanUnread):
		d.do("Wait until reconciliation has read it, then ask again.", "driftless why "+visible.Argument(d.Product.ID))
	default:
		d.do("Do what the reason asks for: see docs/runbooks/DriftlessEqualityUnknown.md.", "")
	}
}

// addNotes adds what else there is to know.
func (d *deriver) addNotes() {
	v := Verdict(d.out.GetVerdict())
	if v != Equal && v != Unknown {
		if d.Row == nil {
			why := d.RowUnknown
			if why == "" {
				why = "nobody has read it"
			}
			d.note("your row was not looked at: " + why)
		}
		if d.StripeUnknown != "" {
			d.note("it is not known what Stripe holds now: " + d.StripeUnknown)
		}
	}
	for _, kept := range d.Kept {
		d.note("the replaced price " + kept.GetStripeId() + " (" + catalog.FormatPrice(kept.GetPrice()) +
			") stays active until " + kept.GetKeepUntil().AsTime().UTC().Format(time.DateTime) + " UTC")
	}
	if n := unconfirmed(d.Product); n > 0 && v == Equal {
		d.note("Stripe's event has yet to confirm the last call")
	}
	if d.Product.IsGone() && d.captured() != nil {
		d.note("the product left the catalog, and is archived in Stripe")
	}
}

// unconfirmed counts the calls that Stripe has answered and no event has confirmed.
func unconfirmed(p *ledger.Product) (n int) {
	for _, i := range p.Observed.GetIntents() {
		if i.GetAnswered() && i.GetConfirmedBy() == "" && i.GetVersion() == p.Observed.GetVersion() {
			n++
		}
	}
	return n
}
