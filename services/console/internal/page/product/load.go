package product

import (
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/web"
)

// shownEntries is how much of the history the page reads.
const shownEntries = 200

// facts are everything that the page shows. unknown has the reason for what could not be read.
type facts struct {
	id string
	// now is the console's own time.
	now time.Time
	// why is the verdict. It is known without NATS, too.
	why *controlv1.Explanation
	// detail has the states of both sides. Nil if they are not known.
	detail *controlv1.ProductDetail
	// sidesUnknown reports that the states of both sides could not be read.
	sidesUnknown bool
	// drift is the open drift, and equality its basis.
	drift    []*controlv1.Drift
	equality *controlv1.Equality
	// plan is what push would do. Nil if there is nothing to do.
	plan    *controlv1.ProductPlan
	letters []*controlv1.DeadLetterDetail
	// chains are the prices of Stripe with those that they replaced. Nil if they are not known.
	chains  *controlv1.GetPriceChainResponse
	history []*controlv1.HistoryEntry
	// unknown says what could not be read, and why.
	unknown []string
}

// elsewhere is the answer about an id that is not that of one product.
type elsewhere struct{ path string }

// Error satisfies error.
func (e elsewhere) Error() string { return "the product is at " + e.path }

// load reads the facts about a product, all at the same time. Only the verdict is required.
func load(v *web.Visit, id string) (*facts, error) {
	f := &facts{id: id, now: v.Chrome.Now}
	ctx, one := v.Context(), []string{id}
	var failed [6]error
	var group errgroup.Group
	group.Go(func() (err error) { f.why, err = explain(v, id); return err })
	read := func(i int, call func() error) {
		group.Go(func() error { failed[i] = call(); return nil })
	}
	read(0, func() error {
		answer, err := v.Control.ListProducts(ctx, connect.NewRequest(&controlv1.ListProductsRequest{ProductIds: one}))
		if err == nil && len(answer.Msg.GetProducts()) > 0 {
			f.detail = answer.Msg.GetProducts()[0]
		}
		return err
	})
	read(1, func() error {
		answer, err := v.Control.ListDrift(ctx, connect.NewRequest(&controlv1.ListDriftRequest{ProductIds: one}))
		if err == nil {
			f.drift, f.equality = answer.Msg.GetDrift(), answer.Msg.GetEquality()
		}
		return err
	})
	read(2, func() error {
		answer, err := v.Control.Plan(ctx, connect.NewRequest(&controlv1.PlanRequest{ProductIds: one}))
		if err == nil && len(answer.Msg.GetProducts()) > 0 {
			f.plan = answer.Msg.GetProducts()[0]
		}
		return err
	})
	read(3, func() error {
		answer, err := v.Control.GetDeadLetters(ctx,
			connect.NewRequest(&controlv1.GetDeadLettersRequest{ProductId: id}))
		if err == nil {
			f.letters = answer.Msg.GetDeadLetters()
		}
		return err
	})
	read(4, func() error {
		answer, err := v.Control.ListHistory(ctx, connect.NewRequest(&controlv1.ListHistoryRequest{
			ProductId: id,
			Limit:     shownEntries,
		}))
		if err == nil {
			f.history = answer.Msg.GetEntries()
			if why := answer.Msg.GetUnknown(); why != "" {
				f.unknown = append(f.unknown, "History: "+why)
			}
		}
		return err
	})
	read(5, func() error {
		answer, err := v.Control.GetPriceChain(ctx, connect.NewRequest(&controlv1.GetPriceChainRequest{ProductId: id}))
		if err == nil {
			f.chains = answer.Msg
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	f.sidesUnknown = failed[0] != nil && connect.CodeOf(failed[0]) != connect.CodeNotFound
	for i, name := range []string{"Both sides", "Drift", "Plan", "Dead letters", "History", "Replaced prices"} {
		if failed[i] != nil && connect.CodeOf(failed[i]) != connect.CodeNotFound {
			f.unknown = append(f.unknown, name+": "+web.Explain(failed[i]))
		}
	}
	return f, nil
}

// explain returns the verdict about a product, after a look at its row.
func explain(v *web.Visit, id string) (*controlv1.Explanation, error) {
	rows, unknown := web.ReadRows(v, id)
	answer, err := v.Control.Explain(v.Context(), connect.NewRequest(&controlv1.ExplainRequest{
		Id:          id,
		Rows:        rows,
		RowsUnknown: unknown,
	}))
	if err != nil {
		return nil, err
	}
	all := answer.Msg.GetExplanations()
	switch {
	case len(all) == 1 && all[0].GetProductId() == id:
		return all[0], nil
	case len(all) == 1:
		return nil, elsewhere{productPath(all[0])}
	}
	return nil, elsewhere{findPath(id)}
}
