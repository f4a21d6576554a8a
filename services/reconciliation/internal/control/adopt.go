package control

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// listPage is how many products one call of ListProducts reads.
const listPage = 1000

// ListProducts returns products with the state that each side has.
func (c control) ListProducts(ctx context.Context,
	req *connect.Request[controlv1.ListProductsRequest],
) (*connect.Response[controlv1.ListProductsResponse], error) {
	out := &controlv1.ListProductsResponse{}
	var err error
	for _, kind := range req.Msg.GetKinds() {
		if !slices.Contains(ledger.Kinds, kind) {
			return nil, invalid("kinds: %q is not one of %s", kind, strings.Join(ledger.Kinds, ", "))
		}
	}
	filter := ledger.ListFilter{
		Products: req.Msg.GetProductIds(),
		Kinds:    req.Msg.GetKinds(),
		Search:   req.Msg.GetSearch(),
		After:    req.Msg.GetAfter(),
	}
	for state, name := range states {
		if slices.Contains(req.Msg.GetStates(), name) {
			filter.States = append(filter.States, state)
		}
	}
	limit := int(cmp.Or(req.Msg.GetLimit(), listPage))
	out.Next, err = c.Ledger.List(ctx, filter, limit, func(p *ledger.Product) {
		if req.Msg.GetAdoptable() && !adoptable(p) {
			return
		}
		detail := &controlv1.ProductDetail{ProductId: p.ID, State: states[p.State], Desired: p.Desired}
		if p.Observed != nil {
			detail.Observed = proto.CloneOf(p.Observed)
			detail.Observed.Intents, detail.Observed.RecentEvents, detail.Observed.Claim = nil, nil, nil
		}
		out.Products = append(out.Products, detail)
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(out), nil
}

// adoptable reports whether a product can be linked to one of the other side. The catalog's can until Driftless has
// written it. Stripe's can if the catalog never had it.
func adoptable(p *ledger.Product) bool {
	if p.Desired == nil {
		return p.Observed.GetProduct() != nil
	}
	return p.Desired.GetProduct() != nil && !catalog.IsManaged(p.Observed)
}

// AdoptProducts commands push to adopt products.
func (c control) AdoptProducts(ctx context.Context,
	req *connect.Request[controlv1.AdoptProductsRequest],
) (*connect.Response[controlv1.AdoptProductsResponse], error) {
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	adoptions := req.Msg.GetAdoptions()
	out := &controlv1.AdoptProductsResponse{}
	// Also if only some are ordered.
	defer c.adoptions.forget()
	for _, a := range adoptions {
		id := nuid.Next()
		if err := c.orderAdoption(ctx, asked, id, a); err != nil {
			return nil, err
		}
		out.Orders = append(out.Orders, &controlv1.AdoptionOrder{ProductId: a.GetProductId(), Id: id})
	}
	return connect.NewResponse(out), nil
}

// ListAdoptions returns the outcomes of commands to adopt, as far as they are recorded.
func (c control) ListAdoptions(ctx context.Context,
	req *connect.Request[controlv1.ListAdoptionsRequest],
) (*connect.Response[controlv1.ListAdoptionsResponse], error) {
	refused := topology.OutcomeName(meshv1.OutcomeKind_OUTCOME_KIND_ADOPTION_REFUSED)
	var events []string
	for _, id := range req.Msg.GetIds() {
		for _, kind := range []meshv1.OutcomeKind{
			meshv1.OutcomeKind_OUTCOME_KIND_ADOPTED,
			meshv1.OutcomeKind_OUTCOME_KIND_ADOPTION_REFUSED,
		} {
			events = append(events, "SYNC:"+mesh.AdoptionID(kind, id))
		}
	}
	found, err := c.Ledger.Adoptions(ctx, events)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.ListAdoptionsResponse{}
	for _, a := range found {
		out.Adoptions = append(out.Adoptions, &controlv1.Adoption{
			Id:        a.EventID[strings.LastIndexByte(a.EventID, ':')+1:],
			ProductId: a.Product,
			Refused:   a.Kind == refused,
			Detail:    a.Detail,
		})
	}
	return connect.NewResponse(out), nil
}
