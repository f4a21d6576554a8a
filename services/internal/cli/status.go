package cli

import (
	"cmp"
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

type statusCmd struct {
	address
}

// Help is shown by --help.
func (*statusCmd) Help() string {
	return `The first line says whether Stripe is equal to the catalog, and as of when: "equal as of 11:02:31", "12
products differ as of 11:02:31", or "unknown: ..." with the reason: capture is stopped or behind, a
service does not run, Stripe's events are not read.

Exits with 0 if everything is known and equal, and with 2 if anything differs or is unknown, a service is paused,
push is halted, or the guard holds changes.`
}

func (cmd *statusCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	resp, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return reportUnknown(c, err)
	}
	s := resp.Msg
	if c.Output == "json" {
		err = printJSON(s)
	} else {
		printStatus(stdout, s)
	}
	if err == nil && degraded(s) {
		return errDiffers
	}
	return err
}

// differing returns the number of products in a status that are not equal on both sides.
func differing(s *controlv1.GetStatusResponse) uint64 {
	return s.GetPending() + s.GetHeld() + s.GetDrifted() + s.GetDead()
}

// degraded reports whether anything differs, is unknown, or is stopped.
func degraded(s *controlv1.GetStatusResponse) bool {
	return differing(s) > 0 || unknownBecause(s.GetEquality()) != "" || s.GetHalted() != "" || len(s.GetPaused()) > 0
}

func printStatus(w io.Writer, s *controlv1.GetStatusResponse) {
	sayf(w, "%s\n%s\n\n", equalityLine(differing(s), s.GetEquality()), comparedLine(s.GetEquality()))
	if s.GetHalted() != "" {
		sayf(w, "HALTED: nothing is pushed, because Stripe refuses the key: %s\nFix STRIPE_API_KEY or its permissions, then restart push.\n\n", s.GetHalted())
	}
	for _, p := range s.GetPaused() {
		sayf(w, "PAUSED: %s, since %s, until %s\n\n", p.GetService(), ago(p.GetSince()), pauseEnd(p))
	}
	printHeld(w, s)
	if s.GetCreationsHeld() {
		sayf(w, "HOLDING: products that are not in Stripe are not created (push_create is off). Run `driftless adopt plan`.\n\n")
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	printTable(w,
		[]string{"account", s.GetAccount()}, []string{"in sync", number(s.GetInSync())},
		[]string{"pending", number(s.GetPending())},
		[]string{"- retrying", number(s.GetRetrying())},
		[]string{"held", number(s.GetHeld())},
		[]string{"drifted", number(s.GetDrifted())}, []string{"dead", number(s.GetDead())},
		[]string{"extras", number(s.GetOrphans())},
		[]string{"left the catalog", number(s.GetLeft())})
	if n := s.GetOverlaps(); n > 0 {
		sayf(w, "overlaps: %s in Stripe until their time (driftless plan lists them)\n",
			countOf(n, "replaced price stays", "replaced prices stay"))
	}
	for _, d := range s.GetDrift() {
		sayf(w, "drift: %d %s (%s)\n", d.GetCount(), strings.ReplaceAll(d.GetKind(), "_", " "), d.GetState())
	}
	say(w, captureLine(s.GetEquality()))
	if running := s.GetEquality().GetCapture().GetRunning(); running != nil &&
		s.GetEquality().GetCapture().GetAt() != nil {
		say(w, "- reading the tables:", comparisonProgress(running))
	}
	for _, c := range s.GetEquality().GetCapture().GetFailingChecks() {
		say(w, failingCheckLine(c))
	}
	if scan := s.GetLastScan(); scan != nil {
		sayf(w, "last scan: %s, %s\n", scanState(scan), scanSummary(scan))
		if why := scan.GetReason(); why != "" {
			sayf(w, "- requested by %s: %s\n", scan.GetIssuer(), why)
		}
	}
	if poll := s.GetLastPoll(); poll != nil {
		say(w, pollLine(poll, s.GetEquality()))
	}
	sayf(w, "changes and commands: %s\n",
		cmp.Or(s.GetSignatures(), "signatures unknown, reconciliation is of an earlier version"))
	sayf(w, "reads of Stripe in the last 30 days: %d%s\n\n", s.GetReads(), readsFor(s.GetReadsFor()))
	rows := [][]string{{"STREAM", "CONSUMER", "PENDING", "IN FLIGHT", "REDELIVERED"}}
	for _, x := range s.GetConsumers() {
		rows = append(rows,
			[]string{
				x.GetStream(), x.GetConsumer(), number(x.GetPending()), number(x.GetInFlight()),
				number(x.GetRedelivered()),
			})
	}
	printTable(w, rows...)
}

// captureLine describes the state of capture.
func captureLine(e *controlv1.Equality) string {
	r := e.GetCapture()
	if r.GetAt() == nil {
		return "capture: no ingestion has reported"
	}
	line := "capture: " + strings.ReplaceAll(
		strings.ToLower(strings.TrimPrefix(r.GetState().String(), "CAPTURE_STATE_")), "_", " ")
	if up := r.GetCapturedUpTo(); up != nil {
		line += ", up to " + formatClock(up, time.TimeOnly)
	}
	line += ", reported " + ago(r.GetAt())
	if r.GetReason() != "" {
		line += " (" + r.GetReason() + ")"
	}
	return line
}

// failingCheckLine describes a check of catalog.checks that fails.
func failingCheckLine(c *meshv1.FailingCheck) string {
	line := "- check " + c.GetCheck() + " fails, since " + ago(c.GetSince()) + ": " + c.GetMessage()
	if c.GetProductId() != "" {
		line += " (for product " + c.GetProductId() + ")"
	}
	return line
}

// pollLine describes the state of the poll of Stripe's events.
func pollLine(p *meshv1.PollReport, e *controlv1.Equality) string {
	line := "Stripe's events: not read yet"
	if p.GetAt() != nil {
		line = "Stripe's events: read " + ago(p.GetAt())
	}
	if at := e.GetStripeAsOf(); at != nil {
		line = "Stripe's events: read up to " + formatClock(at, time.TimeOnly)
	}
	if d := p.GetInterval(); d != nil {
		line += ", every " + d.AsDuration().String()
	}
	if p.GetError() != "" {
		line += "; FAILING since then, most recently " + ago(p.GetFailedAt()) + ": " + p.GetError()
	}
	return line
}

func scanState(s *meshv1.ScanReport) string {
	switch {
	case s.GetFinishedAt() != nil:
		return "finished " + ago(s.GetFinishedAt())
	case s.GetError() != "":
		return "started " + ago(s.GetStartedAt()) + ", failed (" + s.GetError() + ")"
	default:
		return "running, started " + ago(s.GetStartedAt()) + " (" + scanLine(s) + ")"
	}
}
