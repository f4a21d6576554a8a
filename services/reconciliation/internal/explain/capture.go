package explain

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// beforeCatalog explains a difference between the operator's tables and the captured state. It reports whether there is
// one.
func (d *deriver) beforeCatalog() bool {
	letter := d.letter(true)
	switch {
	case letter != nil && (d.Row == nil || d.Row.GetRefused() != ""):
		d.deadRow(letter)
	case d.Row == nil:
		return false
	case d.Row.GetRefused() != "":
		d.set(Refused, "your row cannot go to Stripe as it is")
		d.out.Words = []string{d.Row.GetRefused()}
		d.do("Correct the row.", "")
		d.captureNote()
	case d.isRowCaptured():
		return false
	default:
		d.uncaptured()
	}
	return true
}

// isRowCaptured reports whether the captured state is the row's.
func (d *deriver) isRowCaptured() bool {
	return equalProducts(d.Row.GetProduct(), d.captured().GetProduct())
}

// equalProducts reports whether two states of a product are equal, whatever the order of their prices.
func equalProducts(a, b *catalogv1.Product) bool {
	if a == nil || b == nil {
		return a == b
	}
	return proto.Equal(ordered(a), ordered(b))
}

func ordered(p *catalogv1.Product) *catalogv1.Product {
	p = proto.CloneOf(p)
	slices.SortFunc(p.GetPrices(), func(x, y *catalogv1.Price) int { return strings.Compare(x.GetId(), y.GetId()) })
	return p
}

// uncaptured says why the row is not in CATALOG.
func (d *deriver) uncaptured() {
	report := d.Equality.GetCapture()
	if d.CaptureUnknown != "" {
		d.set(NotCaptured, "your row is not captured: "+d.CaptureUnknown)
		if at := report.GetCapturedUpTo(); at != nil {
			d.since(at.AsTime())
		}
		d.captureRemedy()
		return
	}
	if at := d.Equality.GetAsOf(); at != nil && at.AsTime().After(d.Row.GetReadAt().AsTime()) && !d.isRowOld() {
		d.set(Missed, "your row was changed, and capture has not seen the change")
		d.do("Read the product again from your table. Then see docs/runbooks/DriftlessProductsMissed.md.",
			"driftless reread "+visible.Argument(d.Product.ID))
		return
	}
	d.set(Capturing, "your row was changed a moment ago, and capture has yet to read the change")
	d.do("Ask again in a second.", "driftless why "+visible.Argument(d.Product.ID))
}

// isRowOld reports whether a later state of the product than the row was captured meanwhile.
func (d *deriver) isRowOld() bool {
	return d.captured().GetCapturedAt().AsTime().After(d.Row.GetReadAt().AsTime())
}

// captureRemedy says how to make capture go on.
func (d *deriver) captureRemedy() {
	report := d.Equality.GetCapture()
	age := d.Now.Sub(report.GetAt().AsTime())
	switch {
	case d.paused(topology.Ingestion) != nil, report.GetState() == meshv1.CaptureState_CAPTURE_STATE_PAUSED:
		d.do("End the pause.", "driftless resume ingestion")
	case report.GetAt() == nil, age > view.MaxReportAge:
		d.do("Start ingestion: see docs/runbooks/DriftlessServiceDown.md.", "")
	case age < -view.MaxReportAge:
		d.do("Correct the clock of the NATS server: see docs/runbooks/DriftlessEqualityUnknown.md.", "")
	default:
		d.runningCaptureRemedy()
	}
}

// runningCaptureRemedy says what helps while ingestion runs, by what it reports.
func (d *deriver) runningCaptureRemedy() {
	switch report := d.Equality.GetCapture(); report.GetState() {
	case meshv1.CaptureState_CAPTURE_STATE_STOPPED:
		d.do("Do what the reason says. See docs/runbooks/DriftlessCaptureStopped.md.", "")
	case meshv1.CaptureState_CAPTURE_STATE_STARTING:
		d.do("Wait a moment. If it keeps starting, ingestion's log says why: "+
			"see docs/runbooks/DriftlessEqualityUnknown.md.", "driftless why "+visible.Argument(d.Product.ID))
	case meshv1.CaptureState_CAPTURE_STATE_READING_TABLES:
		d.waitForTables()
	case meshv1.CaptureState_CAPTURE_STATE_READING:
		switch upTo := report.GetCapturedUpTo(); {
		case upTo == nil:
			d.waitForTables()
		case d.Now.Sub(upTo.AsTime()) > view.MaxReportAge:
			d.do("See what holds capture back, such as a lock on a table: docs/runbooks/DriftlessCaptureBehind.md.", "")
		default:
			// Capture itself is done. The ledger lacks what was captured.
			d.do("See what holds reconciliation back, such as its database: docs/runbooks/DriftlessEqualityUnknown.md.", "")
		}
	default:
		d.do("See ingestion's log, and docs/runbooks/DriftlessEqualityUnknown.md.", "")
	}
}

func (d *deriver) waitForTables() {
	d.do("Wait until the tables are read: the status has the progress.", "driftless status")
}

// captureNote adds that capture does not work, behind another verdict.
func (d *deriver) captureNote() {
	if d.CaptureUnknown != "" {
		d.note("capture: " + d.CaptureUnknown)
	}
}

// rowUnknown says that nobody has looked at the row. As far as is known, the product is equal.
func (d *deriver) rowUnknown() {
	why := d.RowUnknown
	if why == "" {
		why = "nobody has read it"
	}
	summary := "your row was not looked at: " + why
	if d.CaptureUnknown != "" {
		// The cause first: why the row was not looked at often follows from it.
		summary = d.CaptureUnknown + "; changes of your row would not be known; " + summary
		d.captureRemedy()
	} else {
		d.do("Make the ingestion API reachable from here: set --ingest and DRIFTLESS_TOKEN.", "")
	}
	d.set(Unknown, summary)
	d.note("the captured state and Stripe are equal, as far as is known")
}
