package explain

import (
	"fmt"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

func isWaiting(d *ledger.Drift) bool   { return d.State == ledger.Waiting }
func isIgnored(d *ledger.Drift) bool   { return d.State == ledger.Ignored }
func isRepairing(d *ledger.Drift) bool { return d.State == ledger.Repairing }

func isReported(d *ledger.Drift) bool {
	return d.State == ledger.Found && d.Action == catalog.Report && d.Decided == ""
}

// openDrift returns the first open drift that has a property, nil if none has.
func (d *deriver) openDrift(has func(*ledger.Drift) bool) *ledger.Drift {
	for _, x := range d.Drift {
		if has(x) {
			return x
		}
	}
	return nil
}

// resolve is the command that decides drift for the catalog.
func (d *deriver) resolve() string {
	return "driftless drift resolve " + visible.Argument(d.Product.ID) + " --keep catalog"
}

// causeNote says who changed Stripe.
func (d *deriver) causeNote(x *ledger.Drift) {
	if x.CausedBy == "" || x.CausedBy == ledger.CauseUnknown {
		return
	}
	who := "the dashboard"
	if x.CausedBy != "dashboard" {
		who = "another program (" + visible.Words(x.CausedBy) + ")"
	}
	if x.EventID != "" {
		who += ", " + x.EventID
	}
	d.note("changed in Stripe by " + who)
}

func (d *deriver) undecided(x *ledger.Drift) {
	d.set(Undecided, "Stripe differs, and an operator must decide which side is right")
	d.out.Words = []string{x.Detail}
	d.since(x.Since)
	d.do("Decide: --keep catalog or --keep stripe.", d.resolve())
	d.causeNote(x)
}

func (d *deriver) reported() {
	d.set(Reported, "Stripe differs, and the policy only reports it: nothing is done about it")
	d.since(d.Product.DiffersSince)
	if x := d.openDrift(isReported); x != nil {
		d.since(x.Since)
		d.causeNote(x)
	}
	d.do("Decide: --keep catalog or --keep stripe. Or change the policy: see docs/policy.md.", d.resolve())
}

func (d *deriver) ignored(x *ledger.Drift) {
	d.set(Ignored, "Stripe differs, and an operator has dismissed the difference")
	d.since(x.Since)
	d.causeNote(x)
	d.do("Nothing, if that is still right. Else decide: --keep catalog or --keep stripe.", d.resolve())
}

func (d *deriver) repairing(x *ledger.Drift) {
	d.set(Repairing, fmt.Sprintf("Stripe was changed, and push was told to repair it (%d times)", x.Attempts))
	d.since(x.Since)
	d.causeNote(x)
	d.do("Wait, or repair it now.", "driftless sync "+visible.Argument(d.Product.ID))
}

func (d *deriver) writingBack() {
	d.set(WritingBack, "Stripe's value is to be written back to your table")
	d.since(d.Product.DiffersSince)
	if d.paused(topology.Ingestion) != nil || d.CaptureUnknown != "" {
		d.captureNote()
		d.captureRemedy()
		return
	}
	d.do("Wait: ingestion writes it after the grace period.", "driftless why "+visible.Argument(d.Product.ID))
}
