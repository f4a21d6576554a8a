package control

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
)

// GetPriceChain returns the prices of a product with those that they replaced.
func (c control) GetPriceChain(ctx context.Context,
	req *connect.Request[controlv1.GetPriceChainRequest],
) (*connect.Response[controlv1.GetPriceChainResponse], error) {
	id := req.Msg.GetProductId()
	product, err := c.Ledger.Product(ctx, id)
	if err != nil {
		return nil, unavailable(err)
	}
	if product == nil {
		return nil, connect.NewError(connect.CodeNotFound,
			fmt.Errorf("nothing is known of product %s: is the id right?", id))
	}
	past, err := c.Ledger.StripeStates(ctx, id)
	if err != nil {
		return nil, unavailable(err)
	}
	states := make([]*catalogv1.Observed, 0, len(past)+1)
	for _, s := range past {
		states = append(states, s.Observed)
	}
	// Past states lack what does not describe the product, such as the times of its prices.
	states = append(states, product.Observed)
	stored, err := c.Ledger.History(ctx, id, maxNamed)
	if err != nil {
		return nil, unavailable(err)
	}
	entries := make([]*controlv1.HistoryEntry, len(stored))
	for i, e := range stored {
		if entries[i], err = historyEntry(e); err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
	}
	out := &controlv1.GetPriceChainResponse{Chains: describe.PriceChains(states, entries)}
	from, err := c.Ledger.KnownFrom(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	if !from.IsZero() {
		out.KnownFrom = timestamppb.New(from)
	}
	return connect.NewResponse(out), nil
}
