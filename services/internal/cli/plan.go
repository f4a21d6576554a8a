package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

type planCmd struct {
	address
	previewFlags
	Products      []string      `arg:"" optional:"" help:"Ids of products. Defaults to all."`
	WaitConverged time.Duration `name:"wait-converged" xor:"usage" placeholder:"DURATION" help:"Wait until every commit is captured, nothing differs and nothing is in flight. Exits with 2 if that takes longer than this, or at once if all that differs is held by the guard."`
	Usage         bool          `xor:"usage" help:"Also show how many subscriptions and payment links use each price that would be replaced or archived. Reads them from Stripe."`
}

// Help is shown by --help.
func (*planCmd) Help() string {
	return `Shows what differs between the catalog and Stripe, and what will be done about it: changes that push makes,
values that are written back, changes that are held, refused, or wait for a retry or a decision, and drift that is only
reported.

With --usage, pull also counts the subscriptions and payment links of each price that would be replaced or archived. It
reads them from Stripe, which counts towards the read allowance.

Exits with 0 if nothing differs as of the time that is shown, and with 2 if anything differs or that is unknown:
then the plan says why.

With --sql, -e or --config FILE it is a preview of a change that is not made: of statements that are not committed, or
of a configuration that is not rolled out. The statements run on the catalog with DATABASE_URL, in a transaction that is
always rolled back. --config names the changed file, and DRIFTLESS_CONFIG the present one. A preview exits with 0 if push
would do nothing, with 2 if it would, with 3 if the guard would hold some of it, and with 1 if the preview failed. Its
output may also be markdown (-o markdown).`
}

// finalPlanTimeout is the timeout of the plan that is shown after a wait that failed.
const finalPlanTimeout = 10 * time.Second

func (cmd *planCmd) Run(ctx context.Context, c *cli) error {
	if cmd.isPreview() {
		return cmd.preview(ctx, c)
	}
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	if cmd.WaitConverged > 0 {
		return cmd.wait(ctx, c, client)
	}
	plan, err := fetchPlan(ctx, client, &controlv1.PlanRequest{ProductIds: cmd.Products, Usage: cmd.Usage})
	if err != nil {
		return reportUnknown(c, err)
	}
	if err := show(c, plan); err != nil {
		return err
	}
	if len(plan.GetProducts())+len(plan.GetOnlyInStripe()) > 0 || unknownBecause(plan.GetEquality()) != "" {
		return errDiffers
	}
	return unknownProductsError(plan.GetUnknown())
}

// unknownProductsError returns an error that names products that neither side has, or nil if there are none.
func unknownProductsError(products []string) error {
	if len(products) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", strings.Join(products, ", "), unknownReason)
}

// onlyInStripeReason is about a product whose account leaves such products alone.
const onlyInStripeReason = "only Stripe has it: the catalog does not have it, and it is left alone"

const unknownReason = "neither side has it: is the id right, and is it captured?"

// fetchPlan returns the plan that the request asks for. It reads all pages.
func fetchPlan(ctx context.Context, client controlv1connect.ControlServiceClient,
	request *controlv1.PlanRequest,
) (*controlv1.PlanResponse, error) {
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
			whole.Equality = mergeEquality(whole.GetEquality(), page.GetEquality())
		}
		if !page.GetTruncated() || len(page.GetProducts()) == 0 {
			whole.Truncated = false
			return whole, nil
		}
		request.After = page.GetProducts()[len(page.GetProducts())-1].GetProductId()
	}
}

// wait shows the plan once nothing is left to do, or once the time is up. In that case Stripe counts as different,
// whatever the reason was.
func (cmd *planCmd) wait(ctx context.Context, c *cli, client controlv1connect.ControlServiceClient) error {
	ingest, err := cmd.ingest(c)
	if err != nil {
		return err
	}
	waitCtx, cancel := context.WithTimeout(ctx, cmd.WaitConverged)
	defer cancel()
	plan, waitErr := waitConverged(waitCtx, client, ingest, cmd.Products)
	switch {
	case errors.As(waitErr, &heldError{}):
		sayf(os.Stderr, "driftless: not converged: %v\n", waitErr)
		if err := show(c, plan); err != nil {
			return err
		}
		return errDiffers
	case waitErr == nil && len(plan.GetOnlyInStripe()) > 0:
		return errors.Join(show(c, plan), errDiffers)
	case waitErr == nil:
		return errors.Join(show(c, plan), unknownProductsError(plan.GetUnknown()))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	// The service may have reached the deadline first.
	case waitCtx.Err() == nil && connect.CodeOf(waitErr) != connect.CodeDeadlineExceeded:
		return waitErr
	}
	sayf(os.Stderr, "driftless: not converged within %s: %v\n", cmd.WaitConverged, waitErr)
	lookCtx, cancelLook := context.WithTimeout(ctx, finalPlanTimeout)
	defer cancelLook()
	if plan, err = fetchPlan(lookCtx, client, &controlv1.PlanRequest{ProductIds: cmd.Products}); err != nil {
		if _, is := unreachable(err); is {
			return reportUnknown(c, err)
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
