package pull

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// overlap is how far the cursor stays behind the latest event. Stripe does not promise that events become visible
	// in the order of their times, so each poll reads the last minute again. The ids of events tell repeated ones.
	overlap = time.Minute
	// maxEventAge is how long Stripe lists an event, less a margin for clocks and the time of a poll. Stripe does not
	// document its answer to an older cursor.
	maxEventAge = 30*24*time.Hour - 12*time.Hour
	// firstPollAge is how far back the first poll goes. The first scan detects earlier changes.
	firstPollAge = time.Hour
)

// poll polls /v1/events at once and then at every interval, until ctx ends.
func (p *puller) poll(ctx context.Context, interval time.Duration) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	report := &meshv1.PollReport{Interval: durationpb.New(interval)}
	for {
		if err := p.readEvents(ctx, report); err != nil && ctx.Err() == nil {
			failure := stripeapi.Classify(err)
			report.Error, report.FailedAt = failure.Error(), timestamppb.Now()
			p.logger.WarnContext(ctx, "could not read Stripe's events; the next poll tries again", "in", interval,
				"last_read", report.GetAt().AsTime(), "error", failure)
		}
		if err := p.stores.Record(topology.KeyPoll, p.account).Put(ctx, report); err != nil && ctx.Err() == nil {
			p.logger.WarnContext(ctx, "could not record the result of a poll of Stripe's events", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// position is how far events have been read. "evt_...@second" is an event and the second of its creation. "@second" is
// before the first event of that second.
type position string

func positionOf(e stripeapi.Event) position {
	return position(e.ID + "@" + strconv.FormatInt(e.Created, 10))
}

func positionAt(t time.Time) position { return position("@" + strconv.FormatInt(t.Unix(), 10)) }

func (p position) event() string {
	event, _, _ := strings.Cut(string(p), "@")
	return event
}

// since returns the second of the position, or 0 if it has none.
func (p position) since() int64 {
	_, second, _ := strings.Cut(string(p), "@")
	s, err := strconv.ParseInt(second, 10, 64)
	if err != nil {
		return 0
	}
	return s
}

// isExpired reports whether Stripe may no longer list all events since the position.
func (p position) isExpired(now time.Time) bool {
	return p.since() > 0 && now.Sub(time.Unix(p.since(), 0)) > maxEventAge
}

// readEvents stores every event since the cursor, then moves the cursor.
func (p *puller) readEvents(ctx context.Context, report *meshv1.PollReport) error {
	cursor := p.stores.Record(topology.KeyEvents, p.account)
	text, err := cursor.GetString(ctx)
	if err != nil {
		return err
	}
	if text == "" {
		text = string(positionAt(time.Now().Add(-firstPollAge)))
		if err := cursor.PutString(ctx, text); err != nil {
			return err
		}
	}
	from := position(text)
	if from.isExpired(time.Now()) {
		if from, err = p.recoverLostEvents(ctx, from, cursor); err != nil {
			return err
		}
	}
	next := from
	events, latest := uint64(0), from.since()
	for event, err := range p.stripe.EventsAfter(ctx, from.event(), from.since()) {
		if err != nil {
			if from.event() != "" && (stripeapi.IsNotFound(err) || stripeapi.IsCursorLost(err)) {
				_, err = p.recoverLostEvents(ctx, from, cursor)
			}
			return err
		}
		// Events that are listed for a connected account need not name it.
		if event.Livemode == p.livemode && (event.Account == "" || event.Account == p.stripeAccount) {
			if err := p.storeEvent(ctx, event, meshv1.Via_VIA_POLL); err != nil {
				return err
			}
		}
		events++
		latest = max(latest, event.Created)
		// By Stripe's clock, because this host's may be wrong.
		if event.Seen-event.Created > int64(overlap/time.Second) {
			next = positionOf(event)
		}
	}
	report.At, report.Events, report.ReadUpTo = timestamppb.Now(), events, timestamppb.New(time.Unix(latest, 0))
	report.Error, report.FailedAt = "", nil
	p.polled.Store(report.GetAt().AsTime().UnixNano())
	if next == from {
		return nil
	}
	return cursor.PutString(ctx, string(next))
}

// recoverLostEvents starts over after more time than Stripe keeps events: only a scan can detect what changed. It
// returns the position from which events are read.
func (p *puller) recoverLostEvents(ctx context.Context, from position, cursor *state.Record) (position, error) {
	what := "event " + from.event()
	if from.event() == "" {
		what = "the time of the last poll"
	}
	if from.since() > 0 {
		what += ", of " + time.Unix(from.since(), 0).UTC().Format(time.DateTime) + " UTC,"
	}
	reason := what +
		" is older than the events that Stripe keeps (30 days): a scan reads everything to detect what changed since"
	p.logger.ErrorContext(ctx, "Stripe no longer lists some events; a scan reads everything instead", "reason", reason)
	scan := &meshv1.Command{
		Id: "lost-events-" + string(from), Account: p.account, Issuer: topology.Pull, Reason: reason,
		IssuedAt: timestamppb.Now(),
		Verb:     &meshv1.Command_Scan{Scan: &meshv1.Scan{}},
	}
	if err := p.mesh.Publish(ctx, topology.CommandSubject(topology.Pull, p.account, topology.VerbScan, ""), scan,
		mesh.WithID(scan.GetId())); err != nil {
		return from, err
	}
	// Skip older events that Stripe still lists. A month of events costs more reads than the scan, which detects their
	// effects.
	next := positionAt(time.Now().Add(-firstPollAge))
	return next, cursor.PutString(ctx, string(next))
}
