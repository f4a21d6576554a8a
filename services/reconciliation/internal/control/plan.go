package control

import (
	"context"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/forecast"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// maxExplainedLetters is how many dead letters one plan reads. A letter may be as large as a message.
const maxExplainedLetters = 200

// Plan returns the products that differ. It reads the state of the other services before the differences. So nothing in
// flight and no difference mean that everything published before the call is taken into account.
func (c control) Plan(
	ctx context.Context,
	req *connect.Request[controlv1.PlanRequest],
) (*connect.Response[controlv1.PlanResponse], error) {
	limit := int(req.Msg.GetLimit())
	if limit == 0 {
		limit = maxPlanned
	}
	v, err := c.readView(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.PlanResponse{Equality: v.Equality, Paused: v.Paused, Halted: v.Halted}
	for _, s := range v.Consumers {
		out.InFlight += s.Pending + s.InFlight
		switch s.Consumer {
		case topology.PushCommand:
			out.Orders += s.Pending + s.InFlight
		case topology.IngestionCommand:
			out.Orders += s.Pending + s.InFlight
			out.IngestionOrders = s.Pending + s.InFlight
		}
	}
	used := &usages{}
	out.Truncated, out.Compared, err = c.Ledger.Differing(
		ctx,
		req.Msg.GetProductIds(),
		req.Msg.GetAfter(),
		limit,
		func(p *ledger.Product) {
			planned := plan(p)
			if req.Msg.GetUsage() {
				used.add(planned, p)
			}
			out.Products = append(out.Products, planned)
		},
	)
	if err != nil {
		return nil, unavailable(err)
	}
	if len(req.Msg.GetProductIds()) > 0 {
		if out.Unknown, err = c.Ledger.Unknown(ctx, req.Msg.GetProductIds()); err != nil {
			return nil, unavailable(err)
		}
		if out.OnlyInStripe, err = c.Ledger.OnlyInStripe(ctx, req.Msg.GetProductIds()); err != nil {
			return nil, unavailable(err)
		}
	}
	if req.Msg.GetAfter() == "" {
		if out.Overlaps, err = c.overlaps(ctx, req.Msg.GetProductIds()); err != nil {
			return nil, unavailable(err)
		}
	}
	if err := c.explain(ctx, out.GetProducts(), len(req.Msg.GetProductIds()) > 0); err != nil {
		return nil, unavailable(err)
	}
	if err := c.countUsage(ctx, used, v.Paused); err != nil {
		return nil, unavailable(err)
	}
	if out.Equality, err = c.View.Confirm(ctx, v); err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(out), nil
}

// explain adds to products why they still differ, as far as that is known. For products that the request names, it
// reads each product's retry.
func (c control) explain(
	ctx context.Context,
	products []*controlv1.ProductPlan,
	named bool,
) error {
	if len(products) == 0 {
		return nil
	}
	refusals, err := c.refusals(ctx, products)
	if err != nil {
		return err
	}
	retries := map[string]*meshv1.Retry{}
	if !named {
		listed, _, err := c.Mesh.Retries(ctx, topology.Push, c.Account, view.MaxRetries)
		if err != nil {
			return err
		}
		for _, r := range listed {
			retries[r.GetProductId()] = r
		}
	}
	for _, p := range products {
		id := p.GetProductId()
		p.Refused = refusals[id]
		retry := retries[id]
		if named {
			if retry, err = c.Mesh.RetryOf(ctx, topology.Push, c.Account, id); err != nil {
				return err
			}
		}
		if retry != nil {
			p.Waiting, p.Attempts, p.NextAttemptAt = retry.GetError(), retry.GetAttempts(), retry.GetDueAt()
		}
	}
	return nil
}

// refusals returns the messages of the latest dead letters, by product, of the products that are dead.
func (c control) refusals(ctx context.Context, products []*controlv1.ProductPlan) (map[string]string, error) {
	var dead []string
	for _, p := range products {
		if p.GetState() == controlv1.ProductState_PRODUCT_STATE_DEAD {
			dead = append(dead, p.GetProductId())
		}
	}
	out := map[string]string{}
	if len(dead) == 0 {
		return out, nil
	}
	letters, err := c.Ledger.DeadLetters(
		ctx,
		ledger.Letters{Products: dead[:min(len(dead), maxExplainedLetters)]},
		maxExplainedLetters,
	)
	if err != nil {
		return nil, err
	}
	for _, l := range letters {
		if out[l.GetProductId()] == "" {
			out[l.GetProductId()] = l.GetMessage()
		}
	}
	return out, nil
}

// states are the ledger's states as the API has them.
var states = map[ledger.State]controlv1.ProductState{
	ledger.InSync:  controlv1.ProductState_PRODUCT_STATE_IN_SYNC,
	ledger.Pending: controlv1.ProductState_PRODUCT_STATE_PENDING,
	ledger.Held:    controlv1.ProductState_PRODUCT_STATE_HELD,
	ledger.Drifted: controlv1.ProductState_PRODUCT_STATE_DRIFTED,
	ledger.Dead:    controlv1.ProductState_PRODUCT_STATE_DEAD,
	ledger.Extra:   controlv1.ProductState_PRODUCT_STATE_ORPHAN,
}

// plan returns the steps, changes, write-backs and drift of a product.
func plan(p *ledger.Product) *controlv1.ProductPlan {
	out := &controlv1.ProductPlan{ProductId: p.ID, State: states[p.State]}
	if p.State == ledger.Held {
		out.Held, out.Hold = true, p.Hold()
	}
	if !p.DiffersSince.IsZero() {
		out.DiffersSince = timestamppb.New(p.DiffersSince)
	}
	out.Steps, out.Changes = forecast.Steps(p.Steps()), forecast.Changes(p.Outline())
	for _, d := range p.Decisions {
		if d.Action == catalog.WriteBack &&
			!slices.ContainsFunc(
				p.Open(),
				func(o *ledger.Drift) bool { return o.Field == d.Field && o.State == ledger.Waiting },
			) {
			out.WriteBacks = append(
				out.WriteBacks,
				describe.Difference(&ledger.Drift{Difference: d.Difference, Action: d.Action}),
			)
		}
	}
	out.Drift = driftMessages(unrepaired(p), map[string]*ledger.Product{p.ID: p})
	return out
}

// unrepaired returns the drift of a product about which nothing is done: it needs a decision, or is only reported. It
// includes differences within the grace period that will only be reported.
func unrepaired(p *ledger.Product) (out []*ledger.Drift) {
	for _, d := range p.Open() {
		if d.State == ledger.Waiting || d.State == ledger.Found && d.Action == catalog.Report && d.Decided == "" {
			out = append(out, d)
		}
	}
	for _, d := range p.Decisions {
		if d.Action == catalog.Report &&
			!slices.ContainsFunc(p.Open(), func(o *ledger.Drift) bool { return o.Field == d.Field }) {
			out = append(out, &ledger.Drift{
				Product:    p.ID,
				Difference: d.Difference,
				Action:     d.Action,
				Since:      p.DiffersSince,
				State:      ledger.Found,
				CausedBy:   ledger.CauseUnknown,
			})
		}
	}
	return out
}
