package control

import (
	"cmp"
	"context"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// activityInterval is how often ListActivity looks for new entries while it waits.
const activityInterval = 250 * time.Millisecond

// maxActivityWaiters is how many calls of ListActivity may wait at a time. Each asks the ledger four times a second.
const maxActivityWaiters = 32

// lateEntries is how many ids before the latest one may still be missing, because their transactions run.
const lateEntries = 10000

// failedKinds are the kinds of entries that failed or wait for a person.
var failedKinds = []string{"dead", "failed", "held", "drifted", "adoption_refused"}

// ListActivity returns entries of the history of all products. If there are none, it waits for the first.
func (c control) ListActivity(ctx context.Context,
	req *connect.Request[controlv1.ListActivityRequest],
) (*connect.Response[controlv1.ListActivityResponse], error) {
	switch {
	case req.Msg.GetFailed() && len(req.Msg.GetKinds()) > 0:
		return nil, invalid("failed and kinds: only one of them can be given")
	case req.Msg.GetBefore() > 0 && req.Msg.GetLatest() == 0:
		return nil, invalid("before: requires latest, the number of entries")
	}
	filter := ledger.ActivityFilter{
		After:    req.Msg.GetAfter(),
		Latest:   int(req.Msg.GetLatest()),
		Before:   req.Msg.GetBefore(),
		Kinds:    req.Msg.GetKinds(),
		Text:     req.Msg.GetText(),
		Actor:    req.Msg.GetActor(),
		Products: req.Msg.GetProductIds(),
		Limit:    int(cmp.Or(req.Msg.GetLimit(), maxNamed)),
	}
	if req.Msg.GetFailed() {
		filter.Kinds = failedKinds
	}
	entries, err := c.awaitActivity(ctx, filter, req.Msg.GetWait().AsDuration())
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.ListActivityResponse{}
	if req.Msg.GetLatest() > 0 && len(entries) == 0 {
		if out.LastId, err = c.Ledger.LastActivity(ctx); err != nil {
			return nil, unavailable(err)
		}
	}
	for _, e := range entries {
		entry, err := historyEntry(e.Entry)
		if err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		out.Entries = append(out.Entries, &controlv1.ActivityEntry{Id: e.ID, ProductId: e.Product, Entry: entry})
	}
	return connect.NewResponse(out), nil
}

// awaitActivity returns the entries as soon as there are any, or none after a time.
func (c control) awaitActivity(ctx context.Context, f ledger.ActivityFilter,
	wait time.Duration,
) ([]ledger.ActivityEntry, error) {
	entries, err := c.Ledger.Activity(ctx, f)
	if err != nil || len(entries) > 0 || wait == 0 {
		return entries, err
	}
	select {
	case c.activityWaiters <- struct{}{}:
		defer func() { <-c.activityWaiters }()
	default:
		// Too many wait. The caller asks again.
		return nil, nil
	}
	// Everything up to here was looked at. Only entries of transactions that commit late can have lower ids.
	last, err := c.Ledger.LastActivity(ctx)
	if err != nil {
		return nil, err
	}
	f.After = max(f.After, last-min(last, lateEntries))
	ticker, timeout := time.NewTicker(activityInterval), time.NewTimer(wait)
	defer ticker.Stop()
	defer timeout.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timeout.C:
			return nil, nil
		case <-c.Stopping:
			return nil, nil
		case <-ticker.C:
		}
		if entries, err := c.Ledger.Activity(ctx, f); err != nil || len(entries) > 0 {
			return entries, err
		}
	}
}
