package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type syncCmd struct {
	address
	Products []string `arg:"" optional:"" help:"Ids of products. Defaults to every product that differs."`
	because
	Look    bool          `help:"Read the products from Stripe first instead of trusting the observed state."`
	NoWait  bool          `name:"no-wait" help:"Only send the command."`
	Timeout time.Duration `default:"10m" help:"How long to wait; the commands stay queued."`
}

// Help is shown by --help.
func (*syncCmd) Help() string {
	return `Commands ingestion to read the products from your tables and push to sync them to Stripe, and waits until
nothing differs. Changes that Stripe refused, or that wait for a retry, are tried now.

Exits with 0 if the products are equal on both sides as of the time that is shown, and with 2 if some are not, each
with the reason, or if that is unknown: capture is stopped or behind, or a service does not run. After 10 s
without an answer it stops waiting; the commands stay queued.`
}

// maxSyncPage is the maximum number of products in one request.
const maxSyncPage = 1000

// unknownTimeout is how long a command waits until equality is known.
const unknownTimeout = 10 * time.Second

func (cmd *syncCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	s := &syncReporter{json: c.Output == "json"}
	products := cmd.Products
	if len(products) == 0 {
		plan, err := fetchPlan(ctx, client, &controlv1.PlanRequest{})
		if err != nil {
			return reportUnknown(c, err)
		}
		s.equality = plan.GetEquality()
		for _, p := range plan.GetProducts() {
			if !isLeftAlone(p) {
				products = append(products, p.GetProductId())
			} else {
				// A command would overrule a decision that a person has to make.
				s.undecided = append(s.undecided, p)
			}
		}
	}
	slices.Sort(products)
	products = slices.Compact(products)
	s.total = len(products) + len(s.undecided)
	waitCtx, cancel := context.WithTimeoutCause(ctx, cmd.Timeout, errors.New("the time is up"))
	defer cancel()
	s.begin()
	for page := range slices.Chunk(products, maxSyncPage) {
		if err = cmd.page(waitCtx, client, page, s); err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return s.fail(c, err)
	}
	return s.end(cmd.NoWait)
}

func (cmd *syncCmd) page(
	ctx context.Context,
	client controlv1connect.ControlServiceClient,
	page []string,
	s *syncReporter,
) error {
	resp, err := client.SyncProducts(
		ctx,
		connect.NewRequest(&controlv1.SyncProductsRequest{
			ProductIds: page,
			Look:       cmd.Look,
			Actor:      cmd.actor(),
			Reason:     cmd.Reason,
		}),
	)
	if err != nil {
		return err
	}
	if cmd.NoWait {
		s.sent += len(page) - len(resp.Msg.GetUnknown())
		for _, id := range resp.Msg.GetUnknown() {
			s.report(id, "unknown", unknownReason+" Ingestion looks for it in your tables.")
		}
		return nil
	}
	plan, err := awaitEqual(ctx, client, page, resp.Msg.GetRereadId(), func(equal int) { s.progress(s.equal + equal) })
	if plan == nil || err != nil && ctx.Err() == nil {
		// Without an answer, no product is known to be equal.
		return err
	}
	s.equality = plan.GetEquality()
	unknown := unknownBecause(plan.GetEquality())
	if err != nil && unknown == "" {
		// The result of the commands is unknown until they are carried out.
		unknown = "the commands are not yet carried out: " + err.Error()
	}
	if failed := rereadOf(plan.GetEquality().GetCapture(), resp.Msg.GetRereadId()).GetError(); failed != "" &&
		unknown == "" {
		unknown = "the tables could not be read: " + failed
	}
	differs := map[string]*controlv1.ProductPlan{}
	for _, p := range plan.GetProducts() {
		differs[p.GetProductId()] = p
	}
	for _, id := range page {
		switch {
		case differs[id] != nil:
			s.report(id, "differs", reasonOf(differs[id], plan))
		case unknown != "":
			s.report(id, "unknown", unknown)
		case slices.Contains(plan.GetUnknown(), id):
			s.report(id, "differs", unknownReason)
		case slices.Contains(plan.GetOnlyInStripe(), id):
			s.report(id, "differs", onlyInStripeReason)
		default:
			s.report(id, "equal", "")
		}
	}
	return nil
}

// awaitEqual waits until push has done what it can for some products, and returns their plan. If reread names a
// command, it waits for ingestion's read, too. The products that are left in the plan are refused, held, or wait.
//
// If equality stays unknown, it returns the last plan; products that are not in it may differ then. If ctx ends before,
// it returns the last plan and an error.
func awaitEqual(
	ctx context.Context,
	client controlv1connect.ControlServiceClient,
	products []string,
	reread string,
	show func(equal int),
) (plan *controlv1.PlanResponse, err error) {
	if len(products) == 0 {
		return nil, nil
	}
	// firstDone is the first answer in which all commands are done.
	var firstDone *controlv1.Equality
	var unknownSince time.Time
	for doneAnswers := 0; ; {
		err := retryUnavailable(ctx, func() error {
			resp, err := client.Plan(ctx, connect.NewRequest(&controlv1.PlanRequest{ProductIds: products}))
			if err == nil {
				plan = resp.Msg
			}
			return err
		})
		if err != nil {
			return plan, err
		}
		e := plan.GetEquality()
		show(max(len(products)-len(plan.GetProducts()), 0))
		switch {
		case unknownBecause(e) == "":
			unknownSince = time.Time{}
		case unknownSince.IsZero():
			unknownSince = time.Now()
		case time.Since(unknownSince) > unknownTimeout:
			return plan, nil
		}
		done := areCommandsDone(plan, reread) && !slices.ContainsFunc(plan.GetProducts(), isPushPending)
		switch {
		case !done:
			doneAnswers, firstDone = 0, nil
		case firstDone == nil:
			doneAnswers, firstDone = 1, e
		// Everything that was published until the commands were done must be included. That is so if nothing is in
		// flight, or if the answer is of a later time.
		case unknownBecause(e) == "" &&
			(plan.GetInFlight() == 0 || !e.GetAsOf().AsTime().Before(firstDone.GetAt().AsTime())):
			doneAnswers++
		}
		// Two answers in a row: in one of them a message may be between two consumers.
		if doneAnswers == 2 {
			return plan, nil
		}
		select {
		case <-ctx.Done():
			return plan, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// areCommandsDone reports whether push is done with its commands, and ingestion with the read that reread names, or
// with all of its commands. Without reread, the commands of ingestion do not count.
func areCommandsDone(plan *controlv1.PlanResponse, reread string) bool {
	if plan.GetOrders() > plan.GetIngestionOrders() {
		return false
	}
	return plan.GetIngestionOrders() == 0 || reread == "" ||
		rereadOf(plan.GetEquality().GetCapture(), reread).GetFinishedAt() != nil
}

// isPushPending reports whether push will soon sync a product by itself.
func isPushPending(p *controlv1.ProductPlan) bool {
	if p.GetState() == controlv1.ProductState_PRODUCT_STATE_DEAD || p.GetWaiting() != "" || p.GetHeld() {
		return false
	}
	return !isLeftAlone(p)
}

// isLeftAlone reports whether all differences of a product need a decision or are only reported.
func isLeftAlone(p *controlv1.ProductPlan) bool {
	return p.GetState() != controlv1.ProductState_PRODUCT_STATE_DEAD && p.GetWaiting() == "" &&
		len(p.GetSteps()) == 0 && len(p.GetWriteBacks()) == 0 && len(p.GetDrift()) > 0
}

// reasonOf returns why a product of a plan differs.
func reasonOf(p *controlv1.ProductPlan, of *controlv1.PlanResponse) string {
	pause := slices.IndexFunc(of.GetPaused(), func(s *controlv1.PausedService) bool { return s.GetService() == "push" })
	switch {
	case p.GetRefused() != "":
		return "refused: " + p.GetRefused()
	case p.GetHeld():
		return heldLine(p)
	case p.GetWaiting() != "":
		return retryLine(p)
	case p.GetState() == controlv1.ProductState_PRODUCT_STATE_DEAD:
		return "refused: driftless dead show " + visible.Argument(p.GetProductId())
	case of.GetHalted() != "":
		return "push is halted: " + of.GetHalted()
	case pause >= 0:
		return "push is paused, since " + ago(of.GetPaused()[pause].GetSince()) + ": driftless resume push"
	case isLeftAlone(p):
		return leftAloneLine(p.GetDrift()[0])
	default:
		return strings.ToLower(stateName(p.GetState())) + ", push has not reached it yet"
	}
}

// syncReporter counts the results of the products and prints them.
type syncReporter struct {
	json bool
	list jsonStream
	line progress

	// undecided are products that differ and get no command.
	undecided []*controlv1.ProductPlan
	// equality is that of the latest answer.
	equality *controlv1.Equality

	total, sent, equal, differing, unknown int
}

func (s *syncReporter) begin() {
	if s.json {
		s.list.list = "products"
		_ = s.list.begin()
	}
	for _, p := range s.undecided {
		s.report(p.GetProductId(), "differs", reasonOf(p, &controlv1.PlanResponse{}))
	}
}

func (s *syncReporter) progress(equal int) {
	if !s.json {
		s.line.showf("%s %d of %s equal", bar(equal, s.total), equal, countOf(s.total, "product", "products"))
	}
}

// report reports the result of one product: equal, differs or unknown.
func (s *syncReporter) report(id, result, reason string) {
	switch result {
	case "equal":
		s.equal++
	case "differs":
		s.differing++
	default:
		s.unknown++
	}
	if s.json {
		_ = s.list.item(syncedProduct{id, result, reason})
		return
	}
	s.line.clear()
	if reason != "" {
		result += ": " + reason
	}
	sayf(stdout, "%s  %s\n", id, result)
}

// fail completes the output that was begun, and returns the error or its meaning.
func (s *syncReporter) fail(c *cli, err error) error {
	s.line.clear()
	if !s.json {
		return reportUnknown(c, err)
	}
	why, is := unreachable(err)
	if failed := s.list.end(s.totals(why)); failed != nil {
		return errors.Join(err, failed)
	}
	if is {
		return errDiffers
	}
	return err
}

func (s *syncReporter) totals(unknown string) syncTotals {
	out := syncTotals{
		Total:          s.total,
		Equal:          s.equal,
		Differing:      s.differing,
		Unknown:        s.unknown,
		UnknownBecause: unknown,
	}
	if asOf := s.equality.GetAsOf(); asOf != nil && unknown == "" {
		at := asOf.AsTime()
		out.AsOf = &at
	}
	return out
}

// end prints the totals. It returns errDiffers unless all products are known to be equal.
func (s *syncReporter) end(onlyOrdered bool) error {
	unknown := ""
	if !onlyOrdered {
		unknown = unknownBecause(s.equality)
	}
	s.line.clear()
	switch {
	case s.json:
		if err := s.list.end(s.totals(unknown)); err != nil {
			return err
		}
	case onlyOrdered:
		sayf(stdout, "commands sent for %s\n", countOf(s.sent, "product", "products"))
	case s.total == 0 && unknown == "":
		sayf(stdout, "Nothing differs: equal%s.\n", asOf(s.equality))
	case s.total == 0:
		say(stdout, "unknown:", unknown)
	case unknown != "":
		sayf(stdout, "unknown: %s. The commands stay queued.\n", unknown)
	default:
		sayf(stdout, "%d of %s %s equal on both sides%s.\n", s.equal, countOf(s.total, "product", "products"),
			plural(s.total, "is", "are"), asOf(s.equality))
	}
	if s.differing > 0 || s.unknown > 0 || unknown != "" {
		return errDiffers
	}
	return nil
}
