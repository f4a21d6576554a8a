package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// ListDrift returns differences that are drift.
func (c control) ListDrift(ctx context.Context,
	req *connect.Request[controlv1.ListDriftRequest],
) (*connect.Response[controlv1.ListDriftResponse], error) {
	msg := req.Msg
	if msg.GetSettled() && len(msg.GetProductIds()) == 0 {
		return nil, invalid("settled: requires product_ids")
	}
	limit := int(msg.GetLimit())
	if limit == 0 {
		limit = maxNamed
	}
	v, err := c.readView(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	drifts, more, err := c.Ledger.Drifts(ctx, ledger.DriftFilter{
		Products: msg.GetProductIds(),
		Kinds:    msg.GetKinds(),
		States:   msg.GetStates(),
		After:    msg.GetAfter(),
		Settled:  msg.GetSettled(),
	}, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	products, err := c.pricedProducts(ctx, drifts)
	if err != nil {
		return nil, unavailable(err)
	}
	equality, err := c.View.Confirm(ctx, v)
	if err != nil {
		return nil, unavailable(err)
	}
	var unknown []string
	if len(msg.GetProductIds()) > 0 {
		if unknown, err = c.Ledger.Unknown(ctx, msg.GetProductIds()); err != nil {
			return nil, unavailable(err)
		}
	}
	return connect.NewResponse(&controlv1.ListDriftResponse{
		Drift:     driftMessages(drifts, products),
		Truncated: more,
		Equality:  equality,
		Unknown:   unknown,
	}), nil
}

// pricedProducts reads the products whose open drift is about prices. Their prices give the currency in which amounts
// are formatted.
func (c control) pricedProducts(ctx context.Context, drifts []*ledger.Drift) (map[string]*ledger.Product, error) {
	var ids []string
	for _, d := range drifts {
		if d.SettledAt.IsZero() && (d.Field == "default_price" || strings.HasPrefix(d.Field, "prices.")) &&
			!slices.Contains(ids, d.Product) {
			ids = append(ids, d.Product)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return c.Ledger.Products(ctx, ids)
}

// driftMessages converts drift to the API's messages. Drift of the given products gets its amounts formatted.
func driftMessages(drifts []*ledger.Drift, products map[string]*ledger.Product) []*controlv1.Drift {
	out := make([]*controlv1.Drift, len(drifts))
	for i, d := range drifts {
		out[i] = &controlv1.Drift{
			ProductId:  d.Product,
			Difference: describe.Difference(d),
			Since:      timestamppb.New(d.Since),
			CausedBy:   d.CausedBy,
			EventId:    d.EventID,
			State:      string(d.State),
			Attempts:   uint32(d.Attempts),
			Detail:     d.Detail,
		}
		if !d.SettledAt.IsZero() {
			out[i].SettledAt = timestamppb.New(d.SettledAt)
		} else if p := products[d.Product]; p != nil {
			describe.AddAmounts(out[i].GetDifference(), p)
		}
	}
	return out
}

// IgnoreDrift leaves open drift as it is until one of its values changes.
func (c control) IgnoreDrift(ctx context.Context,
	req *connect.Request[controlv1.IgnoreDriftRequest],
) (*connect.Response[controlv1.IgnoreDriftResponse], error) {
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	drift, matched, err := c.decideOneOrMatching(ctx, asked, req.Msg.GetProductId(), req.Msg.GetMatching(), decision{
		kind:   "ignored",
		detail: "until a value changes",
		fields: req.Msg.GetFields(),
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlv1.IgnoreDriftResponse{Drift: drift, Matched: matched}), nil
}

// ResolveDrift decides which side's values are kept, whatever the policy says.
func (c control) ResolveDrift(ctx context.Context,
	req *connect.Request[controlv1.ResolveDriftRequest],
) (*connect.Response[controlv1.ResolveDriftResponse], error) {
	keep := map[controlv1.Keep]ledger.Side{
		controlv1.Keep_KEEP_CATALOG: ledger.CatalogSide,
		controlv1.Keep_KEEP_STRIPE:  ledger.StripeSide,
	}[req.Msg.GetKeep()]
	if keep == "" {
		return nil, invalid("keep: must be KEEP_CATALOG or KEEP_STRIPE")
	}
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	var check func(*ledger.Product, *ledger.Drift) error
	if keep == ledger.StripeSide {
		check = checkWriteBack
	}
	drift, matched, err := c.decideOneOrMatching(ctx, asked, req.Msg.GetProductId(), req.Msg.GetMatching(), decision{
		Decision: ledger.Decision{Keep: keep},
		kind:     "resolved",
		detail:   "keep " + string(keep),
		fields:   req.Msg.GetFields(),
		check:    check,
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&controlv1.ResolveDriftResponse{Drift: drift, Matched: matched}), nil
}

// checkWriteBack returns an error if the catalog cannot take a difference from Stripe.
func checkWriteBack(p *ledger.Product, d *ledger.Drift) error {
	if d.Kind == catalog.Extra && d.Field == "" {
		return nil
	}
	if _, taken := catalog.ApplyWriteBackWithPrices(p.Desired, p.Observed, []string{p.Field(d)}); len(taken) > 0 {
		return nil
	}
	what := "product " + p.ID
	if d.Field != "" {
		what = d.Field + " of product " + p.ID
	}
	return connect.NewError(connect.CodeFailedPrecondition,
		fmt.Errorf("%s (%s) cannot be written back from Stripe: change the catalog, or keep the catalog's value",
			what, visible.Words(string(d.Kind))))
}

// wholeProduct is how a request names drift of the product as a whole, whose field is empty.
const wholeProduct = "-"

// decide records an operator's decision about a product's open drift of the given fields, or of all if none are given.
// It returns NotFound if there is no such drift.
func (c control) decide(ctx context.Context, asked by, product string, fields []string, kind, detail string,
	decision ledger.Decision, check func(*ledger.Product, *ledger.Drift) error,
) ([]*ledger.Drift, error) {
	named := make([]string, len(fields))
	for i, f := range fields {
		if f != wholeProduct {
			named[i] = f
		}
	}
	if len(fields) > 0 {
		detail += ": " + strings.Join(fields, ", ")
	}
	entry, err := asked.sign(ledger.Entry{
		EventID: "DECISION:" + nuid.Next(),
		Product: product,
		At:      c.Now(),
		Kind:    kind,
		Detail:  detail,
		TraceID: telemetry.TraceID(ctx),
	}, nil)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	drifts, err := c.Ledger.Decide(ctx, product, named, entry, decision, check)
	if refused := new(connect.Error); errors.As(err, &refused) {
		return nil, refused
	}
	switch {
	case err != nil:
		return nil, unavailable(err)
	case len(drifts) == 0:
		return nil, connect.NewError(connect.CodeNotFound,
			fmt.Errorf("product %s has no such open drift: list it with `driftless drift`", product))
	}
	return drifts, nil
}
