package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
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

Exit code 0 says that all is known and equal; 2 that something differs or is not known, that a service is paused,
that push is halted, or that the guard holds changes.`
}

func (cmd *statusCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return orUnknown(c, err)
	}
	resp, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return orUnknown(c, err)
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

// differing counts the products of a status that are not equal on both sides.
func differing(s *controlv1.GetStatusResponse) uint64 {
	return s.GetPending() + s.GetDrifted() + s.GetDead()
}

// degraded reports whether anything differs, is unknown, or is stopped.
func degraded(s *controlv1.GetStatusResponse) bool {
	return differing(s) > 0 || unknownBecause(s.GetEquality()) != "" || s.GetHalted() != "" || len(s.GetPaused()) > 0 ||
		len(s.GetGuard().GetHeld()) > 0
}

func printStatus(w io.Writer, s *controlv1.GetStatusResponse) {
	sayf(w, "%s\n%s\n\n", verdict(differing(s), s.GetEquality()), compared(s.GetEquality()))
	if s.GetHalted() != "" {
		sayf(w, "HALTED: nothing is pushed, since Stripe does not accept the key: %s\nFix STRIPE_API_KEY or its permissions, and start push again.\n\n", s.GetHalted())
	}
	for _, p := range s.GetPaused() {
		sayf(w, "PAUSED: %s, since %s, until %s\n\n", p.GetService(), ago(p.GetSince()), pauseEnd(p))
	}
	if g := s.GetGuard(); len(g.GetHeld()) > 0 {
		sayf(w, "HELD: %d products were to be archived within an hour, more than %d of %d; %d or more wait since %s.\nLook at `driftless plan`, then `driftless approve`, or fix the catalog.\n\n",
			g.GetArchived()+uint64(len(g.GetHeld())), g.GetAllowed(), g.GetProducts(), len(g.GetHeld()),
			ago(g.GetHeldSince()))
	}
	if until := s.GetGuard().GetApprovedUntil(); until != nil && until.AsTime().After(time.Now()) {
		sayf(w, "APPROVED: any number of products may be archived until %s. `driftless approve --for 0s` ends that.\n\n", until.AsTime().Local().Format(time.TimeOnly))
	}
	if s.GetCreationsHeld() {
		sayf(w, "HOLDING: what Stripe does not hold is not created (push_create is off). Look at `driftless adopt plan`.\n\n")
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	printTable(w,
		[]string{"account", s.GetAccount()}, []string{"in sync", number(s.GetInSync())},
		[]string{"pending", number(s.GetPending())},
		[]string{"- retrying", number(s.GetRetrying())},
		[]string{"drifted", number(s.GetDrifted())}, []string{"dead", number(s.GetDead())},
		[]string{"orphans", number(s.GetOrphans())},
		[]string{"left the catalog", number(s.GetLeft())})
	for _, d := range s.GetDrift() {
		sayf(w, "drift: %d %s (%s)\n", d.GetCount(), strings.ReplaceAll(d.GetKind(), "_", " "), d.GetState())
	}
	say(w, captureLine(s.GetEquality()))
	if running := s.GetEquality().GetCapture().GetRunning(); running != nil &&
		s.GetEquality().GetCapture().GetAt() != nil {
		say(w, "- reading the tables:", comparisonProgress(running))
	}
	if scan := s.GetLastScan(); scan != nil {
		sayf(w, "last scan: %s, %s\n", scanState(scan), scanFound(scan))
		if why := scan.GetReason(); why != "" {
			sayf(w, "- ordered by %s: %s\n", scan.GetIssuer(), why)
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

// captureLine says in words how the catalog is captured.
func captureLine(e *controlv1.Equality) string {
	r := e.GetCapture()
	if r.GetAt() == nil {
		return "capture: no ingestion has reported"
	}
	line := "capture: " + strings.ReplaceAll(
		strings.ToLower(strings.TrimPrefix(r.GetState().String(), "CAPTURE_STATE_")), "_", " ")
	if up := r.GetCapturedUpTo(); up != nil {
		line += ", up to " + clock(up, time.TimeOnly)
	}
	line += ", reported " + ago(r.GetAt())
	if r.GetReason() != "" {
		line += " (" + r.GetReason() + ")"
	}
	return line
}

// pollLine says in words how the reading of Stripe's events goes.
func pollLine(p *meshv1.PollReport, e *controlv1.Equality) string {
	line := "Stripe's events: not read yet"
	if p.GetAt() != nil {
		line = "Stripe's events: read " + ago(p.GetAt())
	}
	if at := e.GetStripeAsOf(); at != nil {
		line = "Stripe's events: read up to " + clock(at, time.TimeOnly)
	}
	if d := p.GetInterval(); d != nil {
		line += ", every " + d.AsDuration().String()
	}
	if p.GetError() != "" {
		line += "; FAILING since then, at last " + ago(p.GetFailedAt()) + ": " + p.GetError()
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

type approveCmd struct {
	address
	For *time.Duration `placeholder:"DURATION" help:"How long push may archive any number of products, a day at most: an hour if it holds any. 0 ends an approval."`
}

func (cmd *approveCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	request := &controlv1.ApproveRequest{}
	if cmd.For != nil {
		request.Duration = durationpb.New(*cmd.For)
	}
	resp, err := client.Approve(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(resp.Msg)
	}
	if resp.Msg.GetUntil() == nil {
		say(stdout, "the guard holds again what is too much")
		return nil
	}
	for _, id := range resp.Msg.GetProductIds() {
		say(stdout, id)
	}
	sayf(stdout, "%d products that were held are brought to their newest state; everything may be archived until %s\n",
		len(resp.Msg.GetProductIds()), resp.Msg.GetUntil().AsTime().Local().Format(time.TimeOnly))
	return nil
}

type planCmd struct {
	address
	Products      []string      `arg:"" optional:"" help:"Ids of products; all if none are given."`
	WaitConverged time.Duration `name:"wait-converged" placeholder:"DURATION" help:"Wait until everything committed is captured, nothing differs and nothing is in flight; exit 2 if that takes longer than this."`
}

// Help is shown by --help.
func (*planCmd) Help() string {
	return `Shows what differs between the catalog and Stripe and what is done about it: changes that push makes,
what is written back, what Stripe refused, what waits to be tried again or for a person, and what is
only reported.

Exit code 0 says that nothing differs, as of the time that is shown; 2 that something does, or that it is not known:
then the plan says why.`
}

// lastLook is how long the plan that is shown after a wait in vain may take.
const lastLook = 10 * time.Second

func (cmd *planCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return orUnknown(c, err)
	}
	if cmd.WaitConverged > 0 {
		return cmd.wait(ctx, c, client)
	}
	plan, err := wholePlan(ctx, client, cmd.Products)
	if err != nil {
		return orUnknown(c, err)
	}
	if err := show(c, plan); err != nil {
		return err
	}
	if len(plan.GetProducts()) > 0 || unknownBecause(plan.GetEquality()) != "" {
		return errDiffers
	}
	return unknown(plan.GetUnknown())
}

// unknown is an error that names products that are nobody's, nil if there are none.
func unknown(products []string) error {
	if len(products) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", strings.Join(products, ", "), unknownReason)
}

const unknownReason = "nothing is known of it, on either side: is the id right, and is it captured?"

// wholePlan asks for the plan of some products, or of all, and reads on where the answer does not hold them all.
func wholePlan(ctx context.Context, client controlv1connect.ControlServiceClient,
	products []string,
) (*controlv1.PlanResponse, error) {
	request := &controlv1.PlanRequest{ProductIds: products}
	var whole *controlv1.PlanResponse
	for {
		resp, err := client.Plan(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, err
		}
		page := resp.Msg
		if whole == nil {
			whole = page
		} else {
			whole.Products = append(whole.GetProducts(), page.GetProducts()...)
			whole.Equality = both(whole.GetEquality(), page.GetEquality())
		}
		if !page.GetTruncated() || len(page.GetProducts()) == 0 {
			whole.Truncated = false
			return whole, nil
		}
		request.After = page.GetProducts()[len(page.GetProducts())-1].GetProductId()
	}
}

// wait shows the plan once there is nothing to do, or once the time is up: then Stripe counts as different, whatever
// the reason that the wait was in vain.
func (cmd *planCmd) wait(ctx context.Context, c *cli, client controlv1connect.ControlServiceClient) error {
	ingest, err := cmd.ingest(c)
	if err != nil {
		return err
	}
	waitCtx, cancel := context.WithTimeout(ctx, cmd.WaitConverged)
	defer cancel()
	plan, waitErr := waitConverged(waitCtx, client, ingest, cmd.Products)
	switch {
	case waitErr == nil:
		return errors.Join(show(c, plan), unknown(plan.GetUnknown()))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	// The service may have noticed first that the time is up.
	case waitCtx.Err() == nil && connect.CodeOf(waitErr) != connect.CodeDeadlineExceeded:
		return waitErr
	}
	sayf(os.Stderr, "driftless: not converged within %s: %v\n", cmd.WaitConverged, waitErr)
	lookCtx, cancelLook := context.WithTimeout(ctx, lastLook)
	defer cancelLook()
	if plan, err = wholePlan(lookCtx, client, cmd.Products); err != nil {
		if _, is := unreachable(err); is {
			return orUnknown(c, err)
		}
		return errDiffers
	}
	if err := show(c, plan); err != nil {
		return err
	}
	return errDiffers
}

func show(c *cli, plan *controlv1.PlanResponse) error {
	if c.Output == "json" {
		return printJSON(plan)
	}
	printPlan(stdout, plan, colours())
	return nil
}
