package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

type syncCmd struct {
	address
	Products []string      `arg:"" optional:"" help:"Ids of products; every one that differs if none is named."`
	Look     bool          `help:"Read the products from Stripe first instead of trusting what is known."`
	NoWait   bool          `name:"no-wait" help:"Only order it."`
	Timeout  time.Duration `default:"10m" help:"How long to wait; the orders stay."`
}

// Help is shown by --help.
func (*syncCmd) Help() string {
	return `Orders push to bring products to their newest desired state, and waits until nothing differs. What Stripe has refused, and what
waits to be tried again, is tried now.

Exit code 0 says that the products are equal on both sides, 2 that some are not, each with the reason.`
}

// syncPage is how many products one request orders.
const syncPage = 1000

func (cmd *syncCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	products := cmd.Products
	if len(products) == 0 {
		plan, err := wholePlan(ctx, client, nil)
		if err != nil {
			return err
		}
		for _, p := range plan.GetProducts() {
			products = append(products, p.GetProductId())
		}
	}
	slices.Sort(products)
	products = slices.Compact(products)
	s := &syncShow{json: c.Output == "json", total: len(products)}
	waitCtx, cancel := context.WithTimeoutCause(ctx, cmd.Timeout, errors.New("the time is up"))
	defer cancel()
	if s.json {
		s.list.begin("products")
	}
	for page := range slices.Chunk(products, syncPage) {
		if err = cmd.page(waitCtx, client, page, s); err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	s.end(cmd.NoWait)
	switch {
	case err != nil:
		return err
	case s.differing > 0:
		return errDiffers
	default:
		return nil
	}
}

func (cmd *syncCmd) page(ctx context.Context, client controlv1connect.ControlServiceClient, page []string, s *syncShow) error {
	if _, err := client.SyncProducts(ctx, connect.NewRequest(&controlv1.SyncProductsRequest{ProductIds: page, Look: cmd.Look})); err != nil {
		return err
	}
	if cmd.NoWait {
		s.equal += len(page)
		return nil
	}
	plan, err := awaitEqual(ctx, client, page, func(equal int) { s.progress(s.equal + equal) })
	if plan == nil || err != nil && ctx.Err() == nil {
		// Without an answer nothing is known to be equal.
		return err
	}
	differs := map[string]*controlv1.ProductPlan{}
	for _, p := range plan.GetProducts() {
		differs[p.GetProductId()] = p
	}
	for _, id := range page {
		switch {
		case slices.Contains(plan.GetUnknown(), id):
			s.tell(id, unknownReason)
		case differs[id] != nil:
			s.tell(id, reasonOf(differs[id], plan))
		default:
			s.tell(id, "")
		}
	}
	return nil
}

// awaitEqual returns the plan of some products once push has done with the orders about them what it can: those that are left
// are refused, held, or wait to be tried again. It returns what differs, and an error, if ctx ends before.
func awaitEqual(ctx context.Context, client controlv1connect.ControlServiceClient, products []string, show func(equal int)) (plan *controlv1.PlanResponse, err error) {
	if len(products) == 0 {
		return nil, nil
	}
	for calm := 0; ; {
		err := patiently(ctx, func() error {
			resp, err := client.Plan(ctx, connect.NewRequest(&controlv1.PlanRequest{ProductIds: products}))
			if err == nil {
				plan = resp.Msg
			}
			return err
		})
		if err != nil {
			return plan, err
		}
		last := plan.GetProducts()
		show(len(products) - len(last))
		open := slices.ContainsFunc(last, func(p *controlv1.ProductPlan) bool {
			return p.GetState() != controlv1.ProductState_PRODUCT_STATE_DEAD && p.GetWaiting() == ""
		})
		if plan.GetOrders() == 0 && (!open || plan.GetInFlight() == 0 && len(last) == 0) {
			calm++
		} else {
			calm = 0
		}
		// Two answers in a row: a message may be between two consumers in one of them.
		if calm == 2 {
			return plan, nil
		}
		select {
		case <-ctx.Done():
			return plan, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// reasonOf says why a product of a plan differs.
func reasonOf(p *controlv1.ProductPlan, of *controlv1.PlanResponse) string {
	pause := slices.IndexFunc(of.GetPaused(), func(s *controlv1.PausedService) bool { return s.GetService() == "push" })
	switch {
	case p.GetRefused() != "":
		return "refused: " + p.GetRefused()
	case p.GetWaiting() != "":
		return "tried again later: " + p.GetWaiting()
	case p.GetState() == controlv1.ProductState_PRODUCT_STATE_DEAD:
		return "refused: driftless dead show " + p.GetProductId()
	case of.GetHalted() != "":
		return "push is halted: " + of.GetHalted()
	case pause >= 0:
		return "push is paused, since " + ago(of.GetPaused()[pause].GetSince()) + ": driftless resume push"
	default:
		return strings.ToLower(stateName(p.GetState())) + ", push has not come to it"
	}
}

// syncShow prints what becomes of the products, and counts them.
type syncShow struct {
	json bool
	list jsonList
	line progress

	total, equal, differing int
}

func (s *syncShow) progress(equal int) {
	if !s.json {
		s.line.showf("%s %d of %d products equal", bar(equal, s.total), equal, s.total)
	}
}

// tell says how one product has ended: without a reason, it does not differ.
func (s *syncShow) tell(id, reason string) {
	result := "equal"
	if reason == "" {
		s.equal++
	} else {
		s.differing++
		result = "differs"
	}
	if s.json {
		s.list.add(struct {
			Product string `json:"product"`
			Result  string `json:"result"`
			Reason  string `json:"reason,omitempty"`
		}{id, result, reason})
		return
	}
	s.line.clear()
	if reason != "" {
		result += ": " + reason
	}
	fmt.Printf("%s  %s\n", id, result)
}

func (s *syncShow) end(ordered bool) {
	switch {
	case s.json:
		s.list.end(map[string]any{"total": s.total, "equal": s.equal, "differing": s.differing})
	case ordered:
		fmt.Printf("%d products ordered.\n", s.total)
	case s.total == 0:
		fmt.Println("Nothing differs.")
	default:
		s.line.clear()
		fmt.Printf("%d of %d products are equal on both sides.\n", s.equal, s.total)
	}
}
