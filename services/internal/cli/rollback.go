package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type rollbackCmd struct {
	address
	Product string `arg:"" help:"Id of the product."`
	To      string `name:"to" required:"" placeholder:"VERSION|TIME" help:"Version, as driftless history shows it, or a time: RFC 3339, 2026-11-26 10:00, or a duration ago such as 2h or 3d."`
	because
	DryRun  bool          `name:"dry-run" xor:"yes" help:"Only show what would happen. Exits with 0 if nothing would change, 2 if something would, 3 if the guard would hold it."`
	Yes     bool          `name:"yes" xor:"yes" help:"Do not ask. Needed without a terminal."`
	Timeout time.Duration `name:"timeout" default:"30s" help:"How long to wait until the catalog has the state. 0 only sends the command."`
}

// Help is shown by --help.
func (*rollbackCmd) Help() string {
	return `Gives the catalog an earlier state of a product back. It shows what changes in the catalog, what push would then call
in Stripe, and what the guard would hold. Then it asks, and has ingestion write the state to your tables: with the
statements of catalog.write_back, or to the built-in tables. So the catalog stays right, and Stripe follows it.

A product that was deleted is inserted again. Write-back deletes no rows, so a price that did not exist then is archived.
If somebody changes the product at the same time, that change wins and nothing is written. A state that the mapping
cannot write is refused, with what is missing.

Exits with 0 once the catalog has the state, also if it had it before, with 3 if the guard would hold the change in
Stripe, with 2 if that is unknown after --timeout or because capture is behind, and with 1 if it failed.`
}

func (cmd *rollbackCmd) Run(ctx context.Context, c *cli) error {
	request, err := cmd.request(time.Now())
	if err != nil {
		return err
	}
	if !cmd.DryRun && !cmd.Yes && (c.Output == "json" || !isTerminal(os.Stdin)) {
		return errors.New("a rollback writes to your tables: look at it with --dry-run, then give --yes")
	}
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	request.DryRun = true
	shown, err := client.Rollback(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	plan := shown.Msg
	unknown := ""
	if len(plan.GetChanges()) == 0 {
		// The catalog may have changed without being captured. Then there may be something to do.
		if unknown = cmd.awaitCapture(ctx, c); unknown == "" {
			if shown, err = client.Rollback(ctx, connect.NewRequest(request)); err != nil {
				return err
			}
			plan = shown.Msg
		}
	}
	if c.Output != "json" {
		printRollback(plan)
	}
	switch {
	case len(plan.GetChanges()) == 0, cmd.DryRun:
		if c.Output == "json" {
			err = printJSON(plan)
		}
		return errors.Join(err, sayUnknown(c, unknown), cmd.dryRunResult(plan))
	case !cmd.Yes && !confirm("Write this to the catalog?"):
		return errors.New("not confirmed: nothing was written")
	}
	w := &rollbackWait{client: client}
	if cmd.Timeout > 0 {
		if w.earlier, _, err = w.failures(ctx, cmd.Product); err != nil {
			return err
		}
	}
	request.DryRun, request.ExpectedVersion = false, plan.GetFromVersion()
	done, err := client.Rollback(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	w.rollback = done.Msg
	return cmd.wait(ctx, c, w)
}

// request returns the request of the command line.
func (cmd *rollbackCmd) request(now time.Time) (*controlv1.RollbackRequest, error) {
	out := &controlv1.RollbackRequest{
		ProductId: cmd.Product,
		Reason:    cmd.Reason,
		Actor:     cmd.actor(),
	}
	if version, err := strconv.ParseUint(cmd.To, 10, 64); err == nil {
		out.To = &controlv1.RollbackRequest_Version{Version: version}
		return out, nil
	}
	at, err := parseWhen(cmd.To, now)
	if err != nil {
		return nil, fmt.Errorf("--to: %q is neither a version of the product nor %s", cmd.To, whenHelp)
	}
	out.To = &controlv1.RollbackRequest_At{At: timestamppb.New(at)}
	return out, nil
}

// captureTimeout is how long a rollback that finds nothing to do waits for the latest changes of the catalog.
const captureTimeout = 10 * time.Second

// awaitCapture waits until everything committed so far is captured. It returns why that is not known.
func (cmd *rollbackCmd) awaitCapture(ctx context.Context, c *cli) string {
	ctx, cancel := context.WithTimeout(ctx, captureTimeout)
	defer cancel()
	ingest, err := cmd.ingest(c)
	if err == nil {
		_, err = ingest.WaitCaptured(ctx, connect.NewRequest(&ingestv1.WaitCapturedRequest{}))
	}
	if err != nil {
		return "ingestion has not captured everything: " + err.Error()
	}
	return ""
}

// dryRunResult returns the exit code of a rollback that is not made.
func (cmd *rollbackCmd) dryRunResult(plan *controlv1.RollbackResponse) error {
	switch {
	case len(plan.GetChanges()) == 0:
		return nil
	case plan.GetPlan().GetHeld():
		return errHeld
	default:
		return errDiffers
	}
}

// printRollback prints what a rollback does.
func printRollback(r *controlv1.RollbackResponse) {
	state := lasted(&controlv1.PastState{LastVersion: r.GetToVersion(), Since: r.GetSince(), Until: r.GetUntil()})
	if len(r.GetChanges()) == 0 {
		sayf(stdout, "%s already is as it was in %s: nothing to do\n", r.GetProductId(), state)
		return
	}
	p := &planPrinter{Writer: stdout, colours: colours()}
	sayf(p, "%s gets this state back: %s.\n\nIn the catalog:\n", r.GetProductId(), state)
	p.printStateChanges(r.GetChanges())
	if prices := r.GetArchivedPrices(); len(prices) > 0 {
		sayf(p, "    did not exist then, and is archived: %s\n", strings.Join(prices, ", "))
	}
	if fields := r.GetKeptFields(); len(fields) > 0 {
		sayf(p, "    not known of that time, and left as it is: %s\n", strings.Join(fields, ", "))
	}
	plan := r.GetPlan()
	if n := len(plan.GetSteps()); n > 0 {
		sayf(p, "\nIn Stripe, by %s:\n", countOf(n, "call", "calls"))
	} else {
		sayf(p, "\nIn Stripe: no call, it is like that already.\n")
	}
	for _, change := range plan.GetChanges() {
		if change.GetPriceId() == "" && change.GetVerb() != "update" {
			p.printLine("    ", change.GetVerb(), change.GetVerb()+" the product")
		}
		p.printChange(change)
	}
	for _, d := range plan.GetWriteBacks() {
		sayf(p, "    then written back by policy, so the catalog does not keep it: %s\n", differenceLine(d))
	}
	for _, d := range plan.GetDrift() {
		sayf(p, "    only reported, by policy: %s\n", differenceLine(d.GetDifference()))
	}
	if plan.GetWaiting() != "" {
		sayf(p, "    %s\n", plan.GetWaiting())
	}
	for _, f := range plan.GetHold().GetFindings() {
		sayf(p, "    the guard would hold it: %s\n", findingLine(f))
	}
	say(p)
}

// maxHistory is how much history the API returns at once.
const maxHistory = 1000

// rollbackWait waits for the result of a rollback.
type rollbackWait struct {
	client   controlv1connect.ControlServiceClient
	rollback *controlv1.RollbackResponse
	// earlier is how many write-backs of the product had failed before.
	earlier int
}

// wait waits until the catalog has the state.
func (cmd *rollbackCmd) wait(ctx context.Context, c *cli, w *rollbackWait) error {
	r := w.rollback
	if cmd.Timeout <= 0 {
		return cmd.report(c, r, "ordered: `driftless history "+visible.Argument(cmd.Product)+"` shows the result", nil)
	}
	waitCtx, cancel := context.WithTimeout(ctx, cmd.Timeout)
	defer cancel()
	for {
		version, err := w.result(waitCtx)
		switch {
		case err != nil && waitCtx.Err() == nil:
			return err
		case version > 0:
			next, code := nextInStripe(r)
			return cmd.report(c, r,
				fmt.Sprintf("written: the catalog has the state of version %d again, as version %d; %s",
					r.GetToVersion(), version, next), code)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-waitCtx.Done():
			return cmd.report(c, r,
				fmt.Sprintf("unknown: the catalog does not have the state after %s. Ingestion may be "+
					"paused or behind, or the product was changed at the same time: see `driftless status` and "+
					"`driftless history %s`", cmd.Timeout, visible.Argument(cmd.Product)), errDiffers)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// nextInStripe says what follows in Stripe, with the exit code.
func nextInStripe(r *controlv1.RollbackResponse) (next string, code error) {
	switch plan := r.GetPlan(); {
	case plan.GetHeld():
		return "the guard holds the change in Stripe: driftless approve " + visible.Argument(r.GetProductId()) +
			" --reason TEXT", errHeld
	case len(plan.GetSteps()) == 0:
		return "Stripe needs no call", nil
	default:
		return "push follows", nil
	}
}

func (cmd *rollbackCmd) report(c *cli, r *controlv1.RollbackResponse, result string, code error) error {
	if c.Output == "json" {
		return errors.Join(printJSON(r), code)
	}
	say(stdout, result)
	return code
}

// result returns the version with which the catalog has the state, 0 if it does not have it yet. It returns an error if
// the tables did not take it, or if another change won.
func (w *rollbackWait) result(ctx context.Context) (version uint64, err error) {
	id := w.rollback.GetProductId()
	var products *connect.Response[controlv1.ListProductsResponse]
	if err := retryUnavailable(ctx, func() error {
		products, err = w.client.ListProducts(ctx,
			connect.NewRequest(&controlv1.ListProductsRequest{ProductIds: []string{id}}))
		return err
	}); err != nil {
		return 0, err
	}
	for _, p := range products.Msg.GetProducts() {
		desired := p.GetDesired()
		switch {
		case desired.GetVersion() <= w.rollback.GetFromVersion():
		case proto.Equal(catalog.Canonical(desired.GetProduct()), catalog.Canonical(w.rollback.GetProduct())):
			return desired.GetVersion(), nil
		default:
			return 0, fmt.Errorf("product %s was changed at the same time (version %d): `driftless history %s` shows "+
				"whether that change won, and then nothing was written", id, desired.GetVersion(), visible.Argument(id))
		}
	}
	// A letter closes at once if Stripe equals the catalog, but the history keeps it.
	n, message, err := w.failures(ctx, id)
	if err == nil && n > w.earlier {
		err = fmt.Errorf("your tables did not take it, and nothing was written: %s", message)
	}
	return 0, err
}

// failures returns how many write-backs of a product failed, as far as the latest history has them, and why the last
// one did.
func (w *rollbackWait) failures(ctx context.Context, product string) (n int, latest string, err error) {
	err = retryUnavailable(ctx, func() error {
		resp, err := w.client.ListHistory(ctx,
			connect.NewRequest(&controlv1.ListHistoryRequest{ProductId: product, Limit: maxHistory}))
		if err != nil {
			return err
		}
		n, latest = 0, ""
		for _, e := range resp.Msg.GetEntries() {
			why, is := strings.CutPrefix(e.GetDetail(), topology.ReasonWriteBackFailed+": ")
			if e.GetKind() != "dead" || !is {
				continue
			}
			if n++; n == 1 {
				latest = why
			}
		}
		return nil
	})
	return n, latest, err
}
