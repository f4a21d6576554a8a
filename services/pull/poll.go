package pull

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/stripeapi"
)

// overlap is how far behind the newest event the cursor stays: nobody promises that events become visible in the
// order of their times, so the last minute is read again. Events read twice are recognised by their ids.
const overlap = time.Minute

// poll reads /v1/events at once and then at every interval, until ctx ends.
func (p *puller) poll(ctx context.Context, interval time.Duration) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := p.readEvents(ctx); err != nil && ctx.Err() == nil {
			p.logger.WarnContext(ctx, "could not read Stripe's events; trying again at the next turn", "in", interval, "error", stripeapi.Classify(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// position is where the reading of events has come: an event's id, or "@" and a Unix second before the first one.
type position string

func (p position) event() string {
	if strings.HasPrefix(string(p), "@") {
		return ""
	}
	return string(p)
}

func (p position) since() int64 {
	s, err := strconv.ParseInt(strings.TrimPrefix(string(p), "@"), 10, 64)
	if err != nil {
		return 0
	}
	return s
}

// readEvents stores every event since the cursor, then moves the cursor.
func (p *puller) readEvents(ctx context.Context) error {
	cursor := p.mesh.Cursor("events." + p.account)
	text, err := cursor.GetString(ctx)
	if err != nil {
		return err
	}
	if text == "" {
		// The first start: what happened in Stripe before is for the first scan to find.
		text = "@" + strconv.FormatInt(time.Now().Add(-overlap).Unix(), 10)
		if err := cursor.PutString(ctx, text); err != nil {
			return err
		}
	}
	from := position(text)
	next := from
	for event, err := range p.stripe.EventsAfter(ctx, from.event(), from.since()) {
		if err != nil {
			if from.event() != "" && stripeapi.Classify(err).Action == stripeapi.LookFirst && stripeapi.NotFound(err) || stripeapi.LostCursor(err) {
				return p.lostEvents(ctx, from, cursor)
			}
			return err
		}
		// Listed for a connected account, events need not name it.
		if event.Livemode == p.livemode && (event.Account == "" || event.Account == p.stripeAccount) {
			if err := p.take(ctx, event, meshv1.Via_VIA_POLL); err != nil {
				return err
			}
		}
		if time.Since(time.Unix(event.Created, 0)) > overlap {
			next = position(event.ID)
		}
	}
	if next == from {
		return nil
	}
	return cursor.PutString(ctx, string(next))
}

// lostEvents starts over after an absence longer than Stripe's memory: only a full scan can tell what happened.
func (p *puller) lostEvents(ctx context.Context, from position, cursor *mesh.Cursor) error {
	p.logger.ErrorContext(ctx, "Stripe no longer has the event up to which events were read; scanning everything instead", "event", from)
	scan := &meshv1.Command{
		Id: "lost-events-" + string(from), Account: p.account, Issuer: mesh.Pull,
		Reason: fmt.Sprintf("event %s is older than Stripe's memory", from), Verb: &meshv1.Command_Scan{Scan: &meshv1.Scan{}},
	}
	if err := p.mesh.Publish(ctx, mesh.CommandSubject(mesh.Pull, p.account, mesh.VerbScan, ""), scan, mesh.WithID(scan.GetId())); err != nil {
		return err
	}
	return cursor.PutString(ctx, "@"+strconv.FormatInt(time.Now().Add(-overlap).Unix(), 10))
}
