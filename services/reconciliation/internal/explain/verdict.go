package explain

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// Verdict is what keeps a product from being equal, in one word.
type Verdict string

// The verdicts. docs/why.md has what each means and what to do.
const (
	Equal   Verdict = "equal"
	Unknown Verdict = "unknown"
)

// The verdicts about the way from the tables to CATALOG. A change may also be given up behind CATALOG.
const (
	NotCaptured Verdict = "not_captured"
	Capturing   Verdict = "capturing"
	Missed      Verdict = "missed"
	Refused     Verdict = "refused"
	Dead        Verdict = "dead"
)

// The verdicts about the way from CATALOG to Stripe.
const (
	Held           Verdict = "held"
	Halted         Verdict = "halted"
	Paused         Verdict = "paused"
	PushDown       Verdict = "push_down"
	Failing        Verdict = "failing"
	Adopting       Verdict = "adopting"
	WaitingForRate Verdict = "waiting_for_rate"
	Syncing        Verdict = "syncing"
	Queued         Verdict = "queued"
)

// The verdicts about differences that others made, or that the policy decides about.
const (
	Repairing   Verdict = "repairing"
	WritingBack Verdict = "writing_back"
	Undecided   Verdict = "undecided"
	Reported    Verdict = "reported"
	Ignored     Verdict = "ignored"
	Extra       Verdict = "extra"
)

// Verdicts lists all verdicts, in the order of the documentation.
var Verdicts = []Verdict{
	Equal, Unknown, NotCaptured, Capturing, Missed, Refused, Dead, Held, Halted, Paused, PushDown, Failing, Adopting,
	WaitingForRate, Syncing, Queued, Repairing, WritingBack, Undecided, Reported, Ignored, Extra,
}

// Derive returns where a product is. It is equal only if all three places were looked at and are the same.
func Derive(f Facts) *controlv1.Explanation {
	d := deriver{Facts: f, out: &controlv1.Explanation{ProductId: f.Product.ID, TraceId: f.Trace}}
	d.derive()
	d.addNotes()
	d.out.Equal = Verdict(d.out.GetVerdict()) == Equal
	return d.out
}

type deriver struct {
	Facts

	out *controlv1.Explanation
}

func (d *deriver) derive() {
	switch {
	case d.NATS != "":
		d.withoutNATS()
	case d.LedgerUnknown != "":
		d.set(Unknown, d.LedgerUnknown)
		d.do("Wait until everything was read again, then ask again.", "driftless status")
	case d.beforeCatalog():
		d.noteBehind()
	case d.beforeStripe():
	case d.Row == nil:
		d.rowUnknown()
	case d.StripeUnknown != "":
		d.stripeUnknown()
	case d.Product.Observed.GetStale():
		d.set(Unknown, "the outcome of push's last call is not known, so push reads the product from Stripe first")
		d.do("Read it from Stripe now.", "driftless sync "+visible.Argument(d.Product.ID)+" --look")
	default:
		d.set(Equal, "your table, the captured state and Stripe are equal")
	}
}

// set sets the verdict and its sentence.
func (d *deriver) set(v Verdict, summary string) { d.out.Verdict, d.out.Summary = string(v), summary }

// do sets what to do.
func (d *deriver) do(remedy, command string) { d.out.Remedy, d.out.Command = remedy, command }

func (d *deriver) since(t time.Time) {
	if !t.IsZero() {
		d.out.Since = timestamppb.New(t)
	}
}

func (d *deriver) note(text string) { d.out.Notes = append(d.out.GetNotes(), text) }

// beforeStripe explains a difference between the captured state and Stripe. It reports whether there is one.
func (d *deriver) beforeStripe() bool {
	p := d.Product
	switch {
	case d.isDead():
		d.dead(d.letter(false))
	case p.State == ledger.Held && p.Hold() != nil:
		d.held()
	case len(d.Steps) > 0:
		d.unsynced()
	case d.openDrift(isWaiting) != nil:
		d.undecided(d.openDrift(isWaiting))
	case d.decision(catalog.WriteBack) != nil:
		d.writingBack()
	case d.openDrift(isReported) != nil, d.decision(catalog.Report) != nil:
		d.reported()
	case d.openDrift(isIgnored) != nil:
		d.ignored(d.openDrift(isIgnored))
	case d.isExtra():
		d.set(Extra, "only Stripe has the product: the catalog never had it")
		d.do("Nothing, if it is not sold from your catalog. Else take it over: see docs/adoption.md.",
			"driftless adopt plan")
	default:
		return false
	}
	return true
}

// noteBehind adds what would keep the product from being equal if the row were captured.
func (d *deriver) noteBehind() {
	if behind := (&deriver{Facts: d.Facts, out: &controlv1.Explanation{}}); behind.beforeStripe() {
		d.note("the captured state is not in Stripe either: " + behind.out.GetSummary())
	}
}

// isExtra reports whether the product is active in Stripe and the catalog never had it.
func (d *deriver) isExtra() bool {
	return d.captured() == nil && d.Product.Observed.GetProduct().GetActive()
}

// decision returns the first difference with an action of the policy, nil if there is none.
func (d *deriver) decision(action catalog.Action) *catalog.Decision {
	i := slices.IndexFunc(d.Product.Decisions, func(x catalog.Decision) bool { return x.Action == action })
	if i < 0 {
		return nil
	}
	return &d.Product.Decisions[i]
}
