package control

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// statePage is how many products one call about past states reads.
const statePage = 1000

// maxClockSkew is how far the clock of a caller may be ahead. A time within it means now.
const maxClockSkew = 5 * time.Second

var sides = map[controlv1.Side]ledger.Side{
	controlv1.Side_SIDE_CATALOG: ledger.CatalogSide,
	controlv1.Side_SIDE_STRIPE:  ledger.StripeSide,
}

// ListStates returns the products of one side as they were at a time.
func (c control) ListStates(ctx context.Context,
	req *connect.Request[controlv1.ListStatesRequest],
) (*connect.Response[controlv1.ListStatesResponse], error) {
	out := &controlv1.ListStatesResponse{}
	at := req.Msg.GetAt().AsTime()
	var err error
	if out.Equality, out.KnownFrom, err = c.checkTimes(ctx, &at); err != nil {
		return nil, err
	}
	ids := distinct(req.Msg.GetProductIds())
	if out.Next, err = c.Ledger.StatesAt(ctx, sides[req.Msg.GetSide()], at, ids, req.Msg.GetAfter(), statePage,
		func(s *ledger.PastState) { out.States = append(out.States, pastState(s)) }); err != nil {
		return nil, unavailable(err)
	}
	if out.Unknown, err = c.Ledger.NeverKnown(ctx, ids); err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(out), nil
}

// DiffStates returns the products of one side that differ between two times.
func (c control) DiffStates(ctx context.Context,
	req *connect.Request[controlv1.DiffStatesRequest],
) (*connect.Response[controlv1.DiffStatesResponse], error) {
	out := &controlv1.DiffStatesResponse{}
	from, to := req.Msg.GetFrom().AsTime(), time.Time{}
	times := []*time.Time{&from}
	if req.Msg.GetTo() != nil {
		to = req.Msg.GetTo().AsTime()
		times = append(times, &to)
	}
	var err error
	if out.Equality, out.KnownFrom, err = c.checkTimes(ctx, times...); err != nil {
		return nil, err
	}
	if req.Msg.GetTo() == nil {
		to = out.GetEquality().GetAt().AsTime()
	}
	if to.Before(from) {
		return nil, invalid("from %s is after to %s: exchange them", formatTime(from), formatTime(to))
	}
	ids := distinct(req.Msg.GetProductIds())
	compared, next, err := c.Ledger.StateChanges(ctx, sides[req.Msg.GetSide()], from, to, ids, req.Msg.GetAfter(),
		statePage, func(change ledger.StateChange) {
			if d := productDiff(change); d != nil {
				out.Products = append(out.Products, d)
			}
		})
	if err != nil {
		return nil, unavailable(err)
	}
	out.Compared, out.Next = uint64(compared), next
	if out.Unknown, err = c.Ledger.NeverKnown(ctx, ids); err != nil {
		return nil, unavailable(err)
	}
	return connect.NewResponse(out), nil
}

// checkTimes returns the basis of an answer about past states at the given times, and the time from which on states are
// complete. It returns an error if one of the times is before that, in a gap, or to come. It changes a time that is to
// come by no more than the skew of the caller's clock: that time becomes now.
func (c control) checkTimes(ctx context.Context, times ...*time.Time) (
	equality *controlv1.Equality, from *timestamppb.Timestamp, err error,
) {
	// The services are read before the ledger, as for every answer about equality.
	v, err := c.readView(ctx)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	if v.LedgerUnknown != "" {
		return nil, nil, failedPrecondition("past states are not known now: %s", v.LedgerUnknown)
	}
	known, err := c.Ledger.KnownFrom(ctx)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	now := v.Equality.GetAt().AsTime()
	for _, at := range times {
		if at.Sub(now) > maxClockSkew {
			return nil, nil, invalid("%s is in the future: the clock of the NATS server says %s", formatTime(*at), formatTime(now))
		}
		if at.After(now) {
			*at = now
		}
	}
	if known.IsZero() {
		return nil, nil, failedPrecondition(
			"no past state is known yet: the ledger has yet to receive the whole catalog for the first time " +
				"(`driftless status` shows how far it is)")
	}
	for _, at := range times {
		if err := c.checkTime(ctx, *at, known); err != nil {
			return nil, nil, err
		}
	}
	return v.Equality, timestamppb.New(known), nil
}

// checkTime returns why the states at a time are not known, nil if they are.
func (c control) checkTime(ctx context.Context, at, known time.Time) error {
	if at.Before(known) {
		return failedPrecondition(
			"the state at %s is not known: states are known from %s on, when the ledger began to keep them, or "+
				"because earlier ones were deleted (history_retention)", formatTime(at), formatTime(known))
	}
	gap, err := c.Ledger.GapAt(ctx, at)
	switch {
	case err != nil:
		return unavailable(err)
	case gap != nil:
		return failedPrecondition("the state at %s is not known: the ledger was restored from an older copy, "+
			"and lacks states between %s and %s", formatTime(at), formatTime(gap.Since), formatTime(gap.Until))
	}
	return nil
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func failedPrecondition(format string, args ...any) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(format, args...))
}

func pastState(s *ledger.PastState) *controlv1.PastState {
	out := &controlv1.PastState{
		ProductId:    s.Product,
		Since:        timestamppb.New(s.Since),
		FirstVersion: s.FirstVersion,
		LastVersion:  s.LastVersion,
		Catalog:      s.Desired,
		Stripe:       s.Observed,
	}
	if !s.Until.IsZero() {
		out.Until = timestamppb.New(s.Until)
	}
	return out
}

// productDiff describes how a product differs between two times. It returns nil if no field that is shown differs.
func productDiff(change ledger.StateChange) *controlv1.ProductDiff {
	out := &controlv1.ProductDiff{ProductId: change.Product}
	var from, to ledger.PastState
	if change.From == nil && change.To == nil {
		return nil
	}
	if change.From != nil {
		from, out.FromVersion = *change.From, change.From.LastVersion
	}
	if change.To != nil {
		to, out.ToVersion, out.Since = *change.To, change.To.LastVersion, timestamppb.New(change.To.Since)
	}
	if from.Desired != nil || to.Desired != nil {
		out.Changes = describe.StateChanges(from.Desired.GetProduct(), to.Desired.GetProduct())
		out.Verb = describe.Verb(from.Desired.GetProduct(), to.Desired.GetProduct())
	} else {
		out.Changes = describe.ObservedChanges(from.Observed, to.Observed)
		out.Verb = describe.Verb(from.Observed.GetProduct(), to.Observed.GetProduct())
	}
	if len(out.GetChanges()) == 0 {
		return nil
	}
	return out
}
