package control

import (
	"context"
	"slices"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// SyncProducts commands ingestion to read products from the operator's tables, and push to bring them to their latest
// desired state. This closes their dead letters without a version: a new failure writes a new letter. A product that
// neither side has gets no command of its own and no entry in the audit trail.
func (c control) SyncProducts(ctx context.Context,
	req *connect.Request[controlv1.SyncProductsRequest],
) (*connect.Response[controlv1.SyncProductsResponse], error) {
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	out := &controlv1.SyncProductsResponse{}
	ids, m := distinct(req.Msg.GetProductIds()), req.Msg.GetMatching()
	switch {
	case len(ids) == 0 && m == nil:
		return nil, invalid("product_ids: must be at least 1, or matching must be given")
	case len(ids) > 0 && m != nil:
		return nil, invalid("product_ids and matching: only one of them can be given")
	case m != nil:
		page, err := c.matching(ctx, m, "")
		if err != nil {
			return nil, err
		}
		if ids, out.Matched = page.ids, page.answer; len(ids) == 0 {
			return connect.NewResponse(out), nil
		}
	}
	if out.Unknown, err = c.unknown(ctx, ids); err != nil {
		return nil, unavailable(err)
	}
	out.RereadId = nuid.Next()
	if err := c.Commands.Backfill(ctx, asked.about(out.GetRereadId(), "sync"), ids); err != nil {
		return nil, unavailable(err)
	}
	for _, id := range ids {
		if slices.Contains(out.GetUnknown(), id) {
			// Ingestion reads it. If the tables have it, push receives it through CATALOG.
			continue
		}
		if err := c.orderSync(ctx, id, req.Msg.GetLook(), asked); err != nil {
			return nil, unavailable(err)
		}
	}
	return connect.NewResponse(out), nil
}

// orderSync commands push to sync a product, and records that.
func (c control) orderSync(ctx context.Context, id string, reread bool, asked by) error {
	order, at := nuid.Next(), c.Now()
	if err := c.syncProduct(ctx, id, reread, asked.about(order, "requested")); err != nil {
		return err
	}
	detail := "sync"
	if reread {
		detail = "sync, with a reread from Stripe"
	}
	return c.record(ctx, asked, ledger.Entry{
		EventID: "ORDER:" + order,
		Product: id,
		At:      at,
		Kind:    "ordered",
		Detail:  detail,
	}, nil)
}
