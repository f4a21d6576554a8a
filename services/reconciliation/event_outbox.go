package reconciliation

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nuid"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// maxEventDelay is the longest time between two attempts to publish events.
const maxEventDelay = 30 * time.Second

// dropInterval is the time between two searches for events that could not be published for too long.
const dropInterval = 10 * time.Minute

// publishEvents publishes the events for other programs that the ledger has stored, until ctx ends. They have a loop of
// their own: repairs do not wait for them. If events are off, it deletes them.
func (r *reconciler) publishEvents(ctx context.Context) error {
	if r.NoEvents {
		return r.discardEvents(ctx)
	}
	holder := nuid.Next()
	var dropAt time.Time
	delay := outboxInterval
	for outage := (&mesh.Outage{}); ; {
		err := r.ledger.PublishEvents(ctx, holder, r.publishEventPage)
		outgoing := r.outgoingEvents
		if err == nil {
			delay = outboxInterval
		} else {
			// NATS may lack the stream or the permission for a long time, and logs each refusal.
			delay, outgoing = min(2*delay, maxEventDelay), nil
		}
		if ctx.Err() == nil && outage.ShouldLog(err) {
			r.Logger.WarnContext(ctx, "could not publish events for other programs; retrying", "error", err)
		}
		if now := time.Now(); now.After(dropAt) {
			dropAt = now.Add(dropInterval)
			r.dropEvents(ctx)
		}
		select {
		case <-ctx.Done():
			if err := r.ledger.ReleaseEvents(ctx, holder); err != nil {
				r.Logger.WarnContext(ctx, "events for other programs are delayed by some seconds", "error", err)
			}
			return nil
		case <-time.After(delay):
		case <-outgoing:
		}
	}
}

// discardEvents deletes events that were stored while they were on. During an update another process may still store
// some.
func (r *reconciler) discardEvents(ctx context.Context) error {
	ticker := time.NewTicker(maxEventDelay)
	defer ticker.Stop()
	for {
		n, err := r.ledger.DropEvents(ctx, 0)
		switch {
		case err != nil && ctx.Err() == nil:
			r.Logger.WarnContext(ctx, "could not delete the events of the ledger; retrying", "error", err)
		case n > 0:
			r.Logger.InfoContext(ctx, "events are off: those that were not published yet were deleted", "events", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// publishEventPage publishes events in their order, and returns how many are stored.
func (r *reconciler) publishEventPage(ctx context.Context, page []ledger.StoredEvent) (n int, err error) {
	events := make([]mesh.Event, len(page))
	for i, e := range page {
		events[i] = mesh.Event{Subject: topology.EventsSubject(r.Account, e.Kind), ID: e.ID, Body: e.Body}
	}
	n, err = r.mesh.PublishEvents(ctx, events)
	switch {
	case err != nil && n < len(page) && len(page[n].Body) > r.mesh.MaxBody():
		// It would keep back all later events.
		r.Logger.ErrorContext(ctx, "an event is too large for NATS, and is left out: raise max_payload of nats-server",
			"product", page[n].Product, "kind", page[n].Kind, "bytes", len(page[n].Body))
		return n + 1, nil
	case mesh.IsUnavailable(err):
		return n, fmt.Errorf("NATS has no stream %s: run `driftless topology apply`: %w", topology.StreamEvents, err)
	}
	return n, err
}

func (r *reconciler) dropEvents(ctx context.Context) {
	n, err := r.ledger.DropEvents(ctx, topology.EventRetention)
	if err != nil && ctx.Err() == nil {
		r.Logger.WarnContext(ctx, "could not delete old events of the ledger; retrying", "error", err)
	}
	if n > 0 {
		r.Logger.ErrorContext(ctx, "events could not be published for too long, and are lost to their readers",
			"events", n, "older_than", topology.EventRetention)
	}
}
