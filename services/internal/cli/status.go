package cli

import (
	"context"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

type statusCmd struct {
	address
	watching
	Consumers bool `help:"Also show the backlog of every consumer."`
	Check     bool `help:"For probes: print one line. Exits with 2 only if something needs attention or is unknown, not for changes that are on their way."`
}

// Help is shown by --help.
func (*statusCmd) Help() string {
	return `The first line says whether Stripe is equal to the catalog, and as of when: "equal as of 11:02:31 CET",
"12 products differ as of 11:02:31 CET", or "unknown: ..." with the reason: capture is stopped or behind,
a service does not run, Stripe's events are not read. Then come the problems in capitals, the products by
state, the services with their processes, and the work that waits.

Exits with 0 if everything is known and equal, and with 2 if anything differs or is unknown, or if
anything needs attention: a service does not run or is paused, push is halted, the guard holds changes,
a product keeps failing, a check fails.`
}

func (cmd *statusCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	return cmd.repeat(ctx, c, func(w io.Writer) error {
		resp, err := client.GetStatus(ctx, connect.NewRequest(cmd.statusRequest()))
		if err != nil {
			return reportUnknownTo(w, c, err)
		}
		return cmd.print(w, c, resp.Msg)
	})
}

// print prints a status, and returns errDiffers if the command ends with that.
func (cmd *statusCmd) print(w io.Writer, c *cli, s *controlv1.GetStatusResponse) error {
	differs := degraded(s)
	if cmd.Check {
		differs = needsAttention(s)
	}
	switch {
	case c.Output == "json":
		if err := printJSON(s); err != nil {
			return err
		}
	case cmd.Check:
		say(w, checkLine(s))
	default:
		printStatus(w, s)
		if cmd.Consumers {
			printConsumers(w, s)
		}
	}
	if differs {
		return errDiffers
	}
	return nil
}

// differing returns the number of products in a status that are not equal on both sides.
func differing(s *controlv1.GetStatusResponse) uint64 {
	return s.GetPending() + s.GetHeld() + s.GetDrifted() + s.GetDead()
}

// degraded reports whether anything differs, is unknown, or needs attention.
func degraded(s *controlv1.GetStatusResponse) bool { return differing(s) > 0 || needsAttention(s) }

// needsAttention reports whether anything is unknown, or needs attention. An earlier version of reconciliation reports
// no problems, so those that the other fields show count, too.
func needsAttention(s *controlv1.GetStatusResponse) bool {
	return unknownBecause(s.GetEquality()) != "" || len(s.GetProblems()) > 0 || s.GetHalted() != "" ||
		len(s.GetPaused()) > 0 || s.GetHeld()+s.GetDrifted()+s.GetDead() > 0 || len(s.GetServices()) == 0
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
		line += ", up to " + formatClock(up.AsTime(), time.TimeOnly)
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
		line = "Stripe's events: read up to " + formatClock(at.AsTime(), time.TimeOnly)
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
