package main

import (
	"context"
	"errors"
	"fmt"
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

func (cmd *statusCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return err
	}
	s := resp.Msg
	if c.Output == "json" {
		return printJSON(s)
	}
	if s.GetHalted() != "" {
		fmt.Printf("HALTED: nothing is pushed, since Stripe does not accept the key: %s\nMend STRIPE_API_KEY or its permissions, and start push again.\n\n", s.GetHalted())
	}
	for _, p := range s.GetPaused() {
		fmt.Printf("PAUSED: %s, since %s, until %s\n\n", p.GetService(), ago(p.GetSince()), pauseEnd(p))
	}
	if g := s.GetGuard(); len(g.GetHeld()) > 0 {
		fmt.Printf("HELD: %d products were to be archived within an hour, more than %d of %d; %d or more wait since %s.\nLook at `driftless plan`, then `driftless approve`, or mend the catalog.\n\n",
			g.GetArchived()+uint64(len(g.GetHeld())), g.GetAllowed(), g.GetProducts(), len(g.GetHeld()), ago(g.GetHeldSince()))
	}
	if until := s.GetGuard().GetApprovedUntil(); until != nil && until.AsTime().After(time.Now()) {
		fmt.Printf("APPROVED: any number of products may be archived until %s. `driftless approve --for 0s` ends that.\n\n", until.AsTime().Local().Format(time.TimeOnly))
	}
	if s.GetCreationsHeld() {
		fmt.Print("HOLDING: what Stripe does not hold is not created (push_create is off). Look at `driftless adopt plan`.\n\n")
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	printTable(stdout,
		[]string{"account", s.GetAccount()}, []string{"in sync", number(s.GetInSync())}, []string{"pending", number(s.GetPending())},
		[]string{"- retrying", number(s.GetRetrying())},
		[]string{"drifted", number(s.GetDrifted())}, []string{"dead", number(s.GetDead())}, []string{"orphans", number(s.GetOrphans())})
	for _, d := range s.GetDrift() {
		fmt.Printf("drift: %d %s (%s)\n", d.GetCount(), strings.ReplaceAll(d.GetKind(), "_", " "), d.GetState())
	}
	if scan := s.GetLastScan(); scan != nil {
		fmt.Printf("last scan: %s, %s\n", scanState(scan), scanFound(scan))
		if why := scan.GetReason(); why != "" {
			fmt.Printf("- ordered by %s: %s\n", scan.GetIssuer(), why)
		}
	}
	if poll := s.GetLastPoll(); poll != nil {
		fmt.Println(pollLine(poll))
	}
	fmt.Printf("reads of Stripe in the last 30 days: %d%s\n", s.GetReads(), readsFor(s.GetReadsFor()))
	fmt.Println()
	rows := [][]string{{"STREAM", "CONSUMER", "PENDING", "IN FLIGHT", "REDELIVERED"}}
	for _, x := range s.GetConsumers() {
		rows = append(rows, []string{x.GetStream(), x.GetConsumer(), number(x.GetPending()), number(x.GetInFlight()), number(x.GetRedelivered())})
	}
	printTable(stdout, rows...)
	return nil
}

// pollLine says in words how the reading of Stripe's events goes.
func pollLine(p *meshv1.PollReport) string {
	line := "Stripe's events: not read yet"
	if p.GetAt() != nil {
		line = "Stripe's events: read " + ago(p.GetAt())
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
		fmt.Println("the guard holds again what is too much")
		return nil
	}
	for _, id := range resp.Msg.GetProductIds() {
		fmt.Println(id)
	}
	fmt.Printf("%d products that were held are brought to their newest state; everything may be archived until %s\n",
		len(resp.Msg.GetProductIds()), resp.Msg.GetUntil().AsTime().Local().Format(time.TimeOnly))
	return nil
}

type planCmd struct {
	address
	Products      []string      `arg:"" optional:"" help:"Ids of products; all if none are given."`
	WaitConverged time.Duration `name:"wait-converged" placeholder:"DURATION" help:"Wait until everything committed is captured, nothing differs and nothing is in flight; exit 2 if that takes longer than this."`
}

// lastLook is how long the plan that is shown after a wait in vain may take.
const lastLook = 10 * time.Second

func (cmd *planCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	if cmd.WaitConverged > 0 {
		return cmd.wait(ctx, c, client)
	}
	plan, err := wholePlan(ctx, client, cmd.Products)
	if err != nil {
		return err
	}
	if err := show(c, plan); err != nil {
		return err
	}
	if len(plan.GetProducts()) > 0 {
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
func wholePlan(ctx context.Context, client controlv1connect.ControlServiceClient, products []string) (*controlv1.PlanResponse, error) {
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
	fmt.Fprintf(os.Stderr, "driftless: not converged within %s: %v\n", cmd.WaitConverged, waitErr)
	lookCtx, cancelLook := context.WithTimeout(ctx, lastLook)
	defer cancelLook()
	if plan, err = wholePlan(lookCtx, client, cmd.Products); err == nil {
		if err := show(c, plan); err != nil {
			return err
		}
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
