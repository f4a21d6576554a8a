package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/explain"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// maxFound is how many products an id may stand for in one answer.
const maxFound = 20

// Explain says where the products that an id stands for are on their way to Stripe. Without NATS it answers from the
// ledger, and says that the answer is old.
func (c control) Explain(ctx context.Context,
	req *connect.Request[controlv1.ExplainRequest],
) (*connect.Response[controlv1.ExplainResponse], error) {
	id := req.Msg.GetId()
	if n := len(req.Msg.GetRows()); n > maxFound {
		return nil, invalid("rows: must be at most %d, not %d", maxFound, n)
	}
	// The mesh is read first, so that the ledger is at least as recent.
	mesh, err := c.meshFacts(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	found, err := c.Ledger.Find(ctx, id, maxFound)
	if err != nil {
		return nil, unavailable(err)
	}
	rows := map[string]*ingestv1.TableProduct{}
	for _, row := range req.Msg.GetRows() {
		rows[row.GetId()] = row
	}
	if len(found.Products) == 0 && rows[id].GetProduct() != nil {
		// The table has a product that nobody else has heard of yet.
		found = ledger.Match{Kind: ledger.ProductID, Products: []string{id}}
	}
	if len(found.Products) == 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("nothing is known of %s%s", id, mesh.lastHeard()))
	}
	out := &controlv1.ExplainResponse{Account: c.Account, IdKind: string(found.Kind), Truncated: found.More}
	for _, product := range found.Products {
		facts := mesh.Facts
		facts.Row, facts.RowUnknown = rows[product], req.Msg.GetRowsUnknown()
		if err := c.productFacts(ctx, product, &facts); err != nil {
			return nil, unavailable(err)
		}
		if mesh.view != nil {
			if facts.LedgerUnknown, err = c.View.LedgerUnknown(ctx); err != nil {
				return nil, unavailable(err)
			}
		}
		explanation := explain.Derive(facts)
		describeProduct(explanation, facts, id)
		out.Explanations = append(out.Explanations, explanation)
	}
	return connect.NewResponse(out), nil
}

// meshFacts are the facts that do not depend on the product.
type meshFacts struct {
	explain.Facts

	// view is what was read of the services now. Nil while NATS is away.
	view *view.View
}

// lastHeard says that the ledger may be behind, "" if it is not.
func (m meshFacts) lastHeard() string {
	if m.NATS == "" {
		return ""
	}
	return " (NATS cannot be reached, so the ledger may be behind: " + m.NATS + ")"
}

// meshFacts reads the state of the services. If NATS is away, it returns the last that was known.
func (c control) meshFacts(ctx context.Context) (out meshFacts, err error) {
	v := c.View.Last()
	if err := c.Mesh.Ready(ctx); err != nil {
		out.NATS = err.Error()
		// The clock of NATS is remembered, and goes on.
		if out.Now, err = c.Mesh.Clock().Now(ctx); err != nil {
			out.Now = time.Now()
		}
	} else {
		v, err = c.readMesh(ctx, &out.Facts)
		out.view = v
		if hangs, ok := errors.AsType[*natsHangsError](err); ok {
			// The client has yet to notice that the connection is gone.
			out = meshFacts{Facts: explain.Facts{NATS: hangs.Error(), Now: time.Now()}}
			v = c.View.Last()
		} else if err != nil {
			return out, err
		}
	}
	if v != nil {
		out.Equality, out.CaptureUnknown, out.StripeUnknown = v.Equality, v.CaptureUnknown, v.StripeUnknown
		out.Halted, out.Paused, out.PushRuns = v.Halted, v.Paused, v.PushRuns
		out.Queue = queue(v, topology.Live)
	}
	return out, nil
}

// readMesh reads the state of the services, and what a view does not have.
func (c control) readMesh(ctx context.Context, out *explain.Facts) (*view.View, error) {
	v, err := c.readView(ctx)
	if err != nil {
		return nil, err
	}
	out.Now = v.Equality.GetAt().AsTime()
	return v, explainHang(ctx, c.readMeshFacts(ctx, out))
}

// readMeshFacts reads from the mesh what a view does not have.
func (c control) readMeshFacts(ctx context.Context, out *explain.Facts) error {
	held, err := c.Stores.CreationsHeld(c.Account).GetString(ctx)
	if err != nil {
		return err
	}
	out.CreationsHeld = held != ""
	if out.Retrying, err = c.Mesh.RetryingCount(ctx, topology.Push, c.Account); err != nil {
		return err
	}
	rates := &meshv1.Budget{}
	if _, err := c.Stores.Budget(c.Account).GetAt(ctx, rates); err != nil {
		return err
	}
	out.Slowed, out.SlowedTo = budget.Slowest(rates, out.Now)
	return nil
}

// laneConsumer returns push's consumer of a lane.
func laneConsumer(lane topology.Lane) topology.Consumer {
	if lane == topology.Bulk {
		return topology.PushBulk
	}
	return topology.PushLive
}

// queue returns how long a lane is.
func queue(v *view.View, lane topology.Lane) explain.Queue {
	consumer := laneConsumer(lane)
	out := explain.Queue{Lane: lane}
	for _, s := range v.Consumers {
		if s.Consumer == consumer {
			out.Waiting = s.Pending + s.InFlight
		}
	}
	return out
}

// productFacts adds the facts about one product.
func (c control) productFacts(ctx context.Context, id string, out *explain.Facts) (err error) {
	if out.Product, err = c.Ledger.Product(ctx, id); err != nil {
		return err
	}
	if out.Product == nil {
		out.Product = &ledger.Product{ID: id}
	}
	out.Steps, out.Drift, out.Kept = out.Product.Steps(), out.Product.Open(), out.Product.Kept()
	if out.Letters, err = c.Ledger.DeadLetters(ctx, ledger.Letters{Products: []string{id}}, maxFound); err != nil {
		return err
	}
	if out.Failure, err = c.Ledger.Failure(ctx, id); err != nil {
		return err
	}
	if out.Trace, err = c.Ledger.LatestTrace(ctx, id); err != nil || out.NATS != "" {
		return err
	}
	if out.Retry, err = c.Mesh.RetryOf(ctx, topology.Push, c.Account, id); err != nil {
		return err
	}
	return c.findLane(ctx, id, out)
}

// findLane finds the lane in which the product's latest state waits.
func (c control) findLane(ctx context.Context, id string, out *explain.Facts) error {
	live, err := c.Stores.Desired().LatestInLane(ctx, c.Account, topology.Live, id)
	if err != nil {
		return err
	}
	if live.GetVersion() < out.Product.Desired.GetVersion() {
		out.Queue = queue(c.View.Last(), topology.Bulk)
	}
	out.Queue.PerSecond, _ = c.View.PerSecond(laneConsumer(out.Queue.Lane))
	return nil
}

// describeProduct adds what is known of the product in the three places. asked is the id of the request.
func describeProduct(out *controlv1.Explanation, f explain.Facts, asked string) {
	p := f.Product
	out.PriceId, out.StripePriceId = askedPrice(p, asked)
	out.StripeId = p.ID
	if id := p.Observed.GetStripeId(); id != "" {
		out.StripeId = id
	}
	for _, name := range []string{
		f.Row.GetProduct().GetName(), p.Desired.GetProduct().GetName(), p.Observed.GetProduct().GetName(),
	} {
		if out.GetName() == "" {
			out.Name = name
		}
	}
	out.Row = &controlv1.PlaceState{Unknown: f.RowUnknown}
	if f.Row != nil {
		out.Row = &controlv1.PlaceState{Absent: f.Row.GetProduct() == nil, AsOf: f.Row.GetReadAt()}
	} else if f.RowUnknown == "" {
		out.Row.Unknown = "nobody has read it"
	}
	out.Captured = &controlv1.PlaceState{
		Absent:      p.Desired.GetProduct() == nil,
		AsOf:        f.Equality.GetAsOf(),
		Version:     p.Desired.GetVersion(),
		CommittedAt: p.Desired.GetCommittedAt(),
		Unknown:     f.CaptureUnknown,
		Actor:       p.Desired.GetActor(),
	}
	out.Stripe = &controlv1.PlaceState{
		Absent:  p.Observed.GetProduct() == nil,
		AsOf:    f.Equality.GetStripeAsOf(),
		Unknown: f.StripeUnknown,
	}
	if f.NATS != "" {
		out.Captured.Unknown, out.Stripe.Unknown = "NATS cannot be reached", "NATS cannot be reached"
	}
	places := explain.Places{
		RowRead:  f.Row != nil,
		Row:      f.Row.GetProduct(),
		Captured: p.Desired.GetProduct(),
		Observed: p.Observed,
		PriceID:  out.GetPriceId(),
	}
	for _, d := range p.Decisions {
		difference := describe.Difference(&ledger.Drift{Difference: d.Difference, Action: d.Action})
		describe.AddAmounts(difference, p)
		places.Differences = append(places.Differences, difference)
	}
	out.Fields = explain.Fields(places)
}

// askedPrice returns the catalog's and Stripe's id of the price that an id stands for, empty if it is no price's.
func askedPrice(p *ledger.Product, asked string) (price, stripePrice string) {
	if asked == p.ID {
		return "", ""
	}
	for _, wanted := range p.Desired.GetProduct().GetPrices() {
		if asked == wanted.GetId() || asked == wanted.GetLookupKey() {
			return wanted.GetId(), explain.StripePrice(p.Observed, wanted.GetId()).GetStripeId()
		}
	}
	for _, held := range p.Observed.GetPrices() {
		if asked == held.GetStripeId() || asked == held.GetPrice().GetId() || asked == held.GetPrice().GetLookupKey() {
			return held.GetPrice().GetId(), held.GetStripeId()
		}
	}
	return "", ""
}
