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
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// overlap is how far behind the newest event the cursor stays: nobody promises that events become visible in the
	// order of their times, so the last minute is read again. Events read twice are recognised by their ids.
	overlap = time.Minute
	// remembered is how long Stripe lists an event, less what clocks may differ and a reading may take. What Stripe
	// answers to a cursor that is older is not documented.
	remembered = 30*24*time.Hour - 12*time.Hour
	// firstLook is how far back the first reading goes. What happened before is for the first scan to find.
	firstLook = time.Hour
)

// poll reads /v1/events at once and then at every interval, until ctx ends.
func (p *puller) poll(ctx context.Context, interval time.Duration) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	report := &meshv1.PollReport{Interval: durationpb.New(interval)}
	for {
		if err := p.readEvents(ctx, report); err != nil && ctx.Err() == nil {
			failure := stripeapi.Classify(err)
			report.Error, report.FailedAt = failure.Error(), timestamppb.Now()
			p.logger.WarnContext(ctx, "could not read Stripe's events; trying again at the next turn", "in", interval,
				"last_read", report.GetAt().AsTime(), "error", failure)
		}
		if err := p.mesh.Record(topology.KeyPoll, p.account).Put(ctx, report); err != nil && ctx.Err() == nil {
			p.logger.WarnContext(ctx, "could not record how the reading of Stripe's events went", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// position is where the reading of events has come: "evt_...@second" is an event and when it was created, "@second" is
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

// since is the second of the position; 0 if it does not say.
func (p position) since() int64 {
	_, second, _ := strings.Cut(string(p), "@")
	s, err := strconv.ParseInt(second, 10, 64)
	if err != nil {
		return 0
	}
	return s
}

// forgotten says that Stripe does not list all events since the position any more.
func (p position) forgotten(now time.Time) bool {
	return p.since() > 0 && now.Sub(time.Unix(p.since(), 0)) > remembered
}

// readEvents stores every event since the cursor, then moves the cursor.
func (p *puller) readEvents(ctx context.Context, report *meshv1.PollReport) error {
	cursor := p.mesh.Record(topology.KeyEvents, p.account)
	text, err := cursor.GetString(ctx)
	if err != nil {
		return err
	}
	if text == "" {
		text = string(positionAt(time.Now().Add(-firstLook)))
		if err := cursor.PutString(ctx, text); err != nil {
			return err
		}
	}
	from := position(text)
	if from.forgotten(time.Now()) {
		if from, err = p.lostEvents(ctx, from, cursor); err != nil {
			return err
		}
	}
	next := from
	events, newest := uint64(0), from.since()
	for event, err := range p.stripe.EventsAfter(ctx, from.event(), from.since()) {
		if err != nil {
			if from.event() != "" && (stripeapi.IsNotFound(err) || stripeapi.IsCursorLost(err)) {
				_, err = p.lostEvents(ctx, from, cursor)
			}
			return err
		}
		// Listed for a connected account, events need not name it.
		if event.Livemode == p.livemode && (event.Account == "" || event.Account == p.stripeAccount) {
			if err := p.take(ctx, event, meshv1.Via_VIA_POLL); err != nil {
				return err
			}
		}
		events++
		newest = max(newest, event.Created)
		// By Stripe's clock: this host's may be wrong.
		if event.Seen-event.Created > int64(overlap/time.Second) {
			next = positionOf(event)
		}
	}
	report.At, report.Events, report.ReadUpTo = timestamppb.Now(), events, timestamppb.New(time.Unix(newest, 0))
	report.Error, report.FailedAt = "", nil
	p.polled.Store(report.GetAt().AsTime().UnixNano())
	if next == from {
		return nil
	}
	return cursor.PutString(ctx, string(next))
}

// lostEvents starts over after an absence longer than Stripe's memory: only a full scan can tell what happened. It
// returns from where events are read.
func (p *puller) lostEvents(ctx context.Context, from position, cursor *mesh.Record) (position, error) {
	what := "event " + from.event()
	if from.event() == "" {
		what = "the second in which events were last read"
	}
	if from.since() > 0 {
		what += ", of " + time.Unix(from.since(), 0).UTC().Format(time.DateTime) + " UTC,"
	}
	reason := what +
		" is older than Stripe's memory of events (30 days): what happened since is found by reading everything"
	p.logger.ErrorContext(ctx, "events of Stripe are lost; scanning everything instead", "reason", reason)
	scan := &meshv1.Command{
		Id: "lost-events-" + string(from), Account: p.account, Issuer: topology.Pull, Reason: reason,
		IssuedAt: timestamppb.Now(),
		Verb:     &meshv1.Command_Scan{Scan: &meshv1.Scan{}},
	}
	if err := p.mesh.Publish(ctx, topology.CommandSubject(topology.Pull, p.account, topology.VerbScan, ""), scan,
		mesh.WithID(scan.GetId())); err != nil {
		return from, err
	}
	// Not all that Stripe still has: a month of events costs more reads than the scan, which finds what came of them.
	next := positionAt(time.Now().Add(-firstLook))
	return next, cursor.PutString(ctx, string(next))
}
