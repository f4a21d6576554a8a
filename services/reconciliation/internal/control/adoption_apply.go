package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// ApplyAdoption checks entries, and commands push to adopt them if all of them still fit.
func (c control) ApplyAdoption(ctx context.Context,
	req *connect.Request[controlv1.ApplyAdoptionRequest],
) (*connect.Response[controlv1.ApplyAdoptionResponse], error) {
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ApplyAdoptionResponse{}
	orders, err := c.checkAdoption(ctx, req.Msg, out)
	if err != nil {
		return nil, err
	}
	if req.Msg.GetDryRun() || out.GetStale() > 0 {
		return connect.NewResponse(out), nil
	}
	batch := cmp.Or(req.Msg.GetBatch(), nuid.Next())
	// Also if only some are ordered.
	defer c.adoptions.forget()
	for i, order := range orders {
		if order == nil {
			continue
		}
		id := fmt.Sprintf("%s-%d", batch, int(req.Msg.GetFirst())+i)
		if err := c.orderAdoption(ctx, asked, id, order); err != nil {
			return nil, err
		}
		out.Orders = append(out.Orders, &controlv1.AdoptionOrder{ProductId: order.GetProductId(), Id: id})
	}
	return connect.NewResponse(out), nil
}

// orderAdoption commands push to adopt a product, and records who wants it.
func (c control) orderAdoption(ctx context.Context, asked by, id string, a *meshv1.Adopt) error {
	// The outcome of push says who asked, and why.
	about := command.About{ID: id, Issuer: asked.actor, Reason: asked.reason}
	order := c.Commands.Adopt(about, a)
	if err := c.Commands.Publish(ctx, order, a.GetProductId()); err != nil {
		return unavailable(err)
	}
	if err := c.record(ctx, asked, ledger.Entry{
		EventID: "ORDER:" + order.GetId(),
		Product: a.GetProductId(),
		Kind:    "ordered",
		Detail:  "adopt " + mesh.DescribeAdoption(a),
	}, nil); err != nil {
		return unavailable(err)
	}
	return nil
}

// checkAdoption adds the result of each entry to an answer. It returns push's commands by place, nil for entries that
// need none.
func (c control) checkAdoption(ctx context.Context, req *controlv1.ApplyAdoptionRequest,
	out *controlv1.ApplyAdoptionResponse,
) ([]*meshv1.Adopt, error) {
	found, err := c.bothSides(ctx, req.GetEntries())
	if err != nil {
		return nil, err
	}
	key := cmp.Or(req.GetMetadataKey(), adoption.DefaultMetadataKey)
	orders := make([]*meshv1.Adopt, len(req.GetEntries()))
	products, stripes := map[string]bool{}, map[string]bool{}
	for i, e := range req.GetEntries() {
		entry := entryOf(e)
		checked, err := adoption.Check(entry, key, pairOf(entry, found))
		switch {
		case err != nil:
		case products[entry.Product]:
			err = errors.New(entry.Product + " is there twice")
		case stripes[entry.Stripe]:
			err = errors.New(entry.Stripe + " is there twice")
		}
		products[entry.Product], stripes[entry.Stripe] = true, true
		result := &controlv1.CheckedAdoption{Adopted: checked.IsDone, Match: &controlv1.AdoptionMatch{
			ProductId: entry.Product, StripeId: entry.Stripe, Why: entry.Why,
		}}
		switch {
		case err != nil:
			result.Stale = err.Error()
			out.Stale++
		case !checked.IsDone:
			product, stripe := found[entry.Product], found[entry.Stripe]
			result.Match = matchOf(checked.Proposal, product.Desired.GetProduct().GetName(),
				stripe.Observed.GetProduct().GetName())
			result.Match.Prices, result.Match.Replace = checked.Order.GetPrices(), checked.Order.GetReplace()
			result.Match.Create = adoption.Creations(product.Desired, stripe.Observed, checked.Order.GetPrices())
			orders[i] = checked.Order
		}
		out.Entries = append(out.Entries, result)
	}
	return orders, nil
}

// bothSides reads the products of entries, by id.
func (c control) bothSides(ctx context.Context,
	entries []*controlv1.AdoptionEntry,
) (map[string]*ledger.Product, error) {
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.GetProductId())
		if e.GetStripeId() != "" {
			ids = append(ids, e.GetStripeId())
		}
	}
	return c.readProducts(ctx, distinct(ids))
}

// readProducts reads products from the ledger, by id.
func (c control) readProducts(ctx context.Context, ids []string) (map[string]*ledger.Product, error) {
	found := map[string]*ledger.Product{}
	if len(ids) == 0 {
		return found, nil
	}
	for filter := (ledger.ListFilter{Products: ids}); ; {
		next, err := c.Ledger.List(ctx, filter, listPage, func(p *ledger.Product) { found[p.ID] = p })
		if err != nil {
			return nil, unavailable(err)
		}
		if filter.After = next; next == "" {
			return found, nil
		}
	}
}

func entryOf(e *controlv1.AdoptionEntry) adoption.Entry {
	out := adoption.Entry{
		Product:     e.GetProductId(),
		Stripe:      e.GetStripeId(),
		Why:         e.GetWhy(),
		Replace:     e.GetReplace(),
		Doubts:      e.GetDoubts(),
		KnowsDoubts: e.GetKnowsDoubts(),
	}
	if !e.GetPairPrices() {
		// Nil would pair them.
		out.Prices = map[string]string{}
		maps.Copy(out.Prices, e.GetPrices())
	}
	return out
}

func pairOf(e adoption.Entry, found map[string]*ledger.Product) adoption.Pair {
	var pair adoption.Pair
	if p := found[e.Product]; p != nil {
		pair.Change, pair.Observed = p.Desired, p.Observed
	}
	if p := found[e.Stripe]; p != nil {
		pair.Held, pair.IsTaken = p.Observed, p.Desired != nil
	}
	return pair
}

// matchOf returns a proposal for an answer.
func matchOf(p adoption.Proposal, name, stripeName string) *controlv1.AdoptionMatch {
	out := &controlv1.AdoptionMatch{
		ProductId:  p.Product,
		Name:       name,
		StripeName: stripeName,
		StripeId:   p.StripeID,
		Why:        string(p.Why),
		Prices:     p.Prices,
		Replace:    p.Replace,
		Create:     p.Create,
		Candidates: p.Candidates,
	}
	for _, r := range p.Reservations {
		out.Doubts = append(out.Doubts, &controlv1.AdoptionDoubt{
			Doubt: string(r.Doubt), PriceId: r.Price, Detail: r.Detail,
		})
	}
	return out
}
