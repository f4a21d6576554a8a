package cli

import (
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// maxPrintedOverlaps is how many replaced prices `driftless plan` lists. JSON has more.
const maxPrintedOverlaps = 20

// printOverlaps lists the replaced prices that stay active for a while.
func (p *planPrinter) printOverlaps(overlaps []*controlv1.Overlap) {
	if len(overlaps) == 0 {
		return
	}
	sayf(p, "%s in Stripe for a while. This is no difference:\n",
		countOf(len(overlaps), "replaced price stays", "replaced prices stay"))
	for _, o := range overlaps[:min(len(overlaps), maxPrintedOverlaps)] {
		sayf(p, "    %s  price %s  %s stays until %s (%s)\n", o.GetProductId(), o.GetPriceId(), o.GetAmount(),
			formatClock(o.GetUntil().AsTime(), clockMinute), o.GetStripePriceId())
	}
	if more := len(overlaps) - maxPrintedOverlaps; more > 0 {
		sayf(p, "    and %d more (-o json)\n", more)
	}
}

// staysUntil says how long a replaced price stays active: "; 14.00 EUR stays until 11:02".
func staysUntil(c *controlv1.PlannedChange) string {
	if c.GetKeepUntil() == nil {
		return ""
	}
	return "; " + c.GetBefore() + " stays until " + formatClock(c.GetKeepUntil().AsTime(), clockMinute)
}
