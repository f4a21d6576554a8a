package pull

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// rereadWindow is how far the cursor stays behind the latest event. Stripe does not promise that events become
	// visible in the order of their times, so each poll reads the last minute again. Event ids identify the repeats.
	rereadWindow = time.Minute
	// maxEventAge is how long Stripe lists an event, less a margin for clocks and the time of a poll. Stripe does not
	// document its answer to an older cursor.
	maxEventAge = 30*24*time.Hour - 12*time.Hour
	// maxCursorAge is the age from which the cursor moves without an event. A catalog may not change for a month, and
	// its cursor must not grow older than the events that Stripe lists. Until then it stays at its event: Stripe's
	// answer that it does not know the event is how a poll notices a reset sandbox, or the key of another account.
	maxCursorAge = 20 * 24 * time.Hour
	// startAge is how far back reading starts if there is no event to continue at. A scan detects earlier changes, and
	// events are visible long before they are that old.
	startAge = time.Hour
)

// poll polls /v1/events at once and then at every interval, until ctx ends.
func (p *puller) poll(ctx context.Context, interval time.Duration) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		p.pollOnce(ctx, interval)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// pollOnce polls /v1/events and records the result.
func (p *puller) pollOnce(ctx context.Context, interval time.Duration) {
	// Another process may have made the last poll.
	report, err := p.lastPoll(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.logger.WarnContext(ctx, "could not read the result of the last poll; trying again", "interval", interval,
				"error", err)
		}
		return
	}
	report.Interval = durationpb.New(interval)
	failure := p.readEvents(ctx, report)
	if ctx.Err() != nil {
		return
	}
	if failure != nil {
		failure = stripeapi.Classify(failure)
		report.Error, report.FailedAt = failure.Error(), timestamppb.Now()
		attributes := []any{"interval", interval, "error", failure}
		if at := report.GetAt(); at != nil {
			attributes = append(attributes, "last_read", at.AsTime())
		}
		p.logger.WarnContext(ctx, "poll failed; the next one tries again", attributes...)
	}
	if err := p.updatePoll(ctx, func(stored *meshv1.PollReport) {
		stored.At, stored.Events, stored.ReadUpTo = report.GetAt(), report.GetEvents(), report.GetReadUpTo()
		stored.Error, stored.FailedAt, stored.Interval = report.GetError(), report.GetFailedAt(), report.GetInterval()
	}); err != nil && ctx.Err() == nil {
		p.logger.WarnContext(ctx, "could not record the result of a poll", "error", err)
	}
}

// updatePoll changes the stored result of the last poll. Every replica polls and writes it.
func (p *puller) updatePoll(ctx context.Context, change func(*meshv1.PollReport)) error {
	for {
		stored := &meshv1.PollReport{}
		revision, err := p.pollRecord().GetAt(ctx, stored)
		if err != nil {
			return err
		}
		change(stored)
		if _, err := p.pollRecord().CompareAndPut(ctx, stored, revision); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

func (p *puller) pollRecord() *state.Record { return p.stores.Record(topology.KeyPoll, p.account) }

// lastPoll returns the result of the last poll by this host's clock. If it cannot be decoded, it may have said that
// events were lost, so a scan is commanded.
func (p *puller) lastPoll(ctx context.Context) (*meshv1.PollReport, error) {
	report := &meshv1.PollReport{}
	written, err := p.pollRecord().GetWithTime(ctx, report)
	if errors.Is(err, proto.Error) {
		reason := "the result of the last poll, which may have lost events, cannot be decoded (" + err.Error() + ")"
		id, now := lostEventsID("undecodable"), timestamppb.Now()
		// If the scan cannot be commanded, the next polls do it.
		if err := p.pollRecord().Put(ctx, &meshv1.PollReport{
			Error: reason, FailedAt: now, Lost: reason, LostScan: id, LostAt: now,
		}); err != nil {
			return nil, err
		}
		report = &meshv1.PollReport{}
		return report, p.scanForLostEvents(ctx, report, id, reason)
	}
	if err != nil {
		return nil, err
	}
	if report.GetAt() != nil {
		now, err := p.mesh.Clock().Now(ctx)
		if err != nil {
			return nil, err
		}
		adoptClock(report, now.Sub(written))
	}
	if report.GetLost() == "" {
		return report, nil
	}
	return report, p.followLostEvents(ctx, report)
}

// lostEventsID returns a new id of a scan for lost events.
func lostEventsID(cause string) string {
	return fmt.Sprintf("lost-events-%s-%d", cause, time.Now().UnixMicro())
}

// lostEventsInterval is the time after which another scan for lost events is commanded if none has read everything.
const lostEventsInterval = 5 * time.Minute

// followLostEvents forgets lost events that a scan has made up for. If the latest scan has not and runs no more, it
// commands another one.
func (p *puller) followLostEvents(ctx context.Context, report *meshv1.PollReport) error {
	scan := &meshv1.ScanReport{}
	if _, err := p.stores.Record(topology.KeyScan, p.account).Get(ctx, scan); err != nil {
		return err
	}
	// A running scan reports every second. If its command was lost with its process, nobody resumes it.
	isRunning := scan.GetFinishedAt() == nil && scan.GetError() == "" &&
		time.Since(scan.GetAt().AsTime()) < lostEventsInterval
	switch {
	case state.HasReadLostEvents(scan, report):
		return p.forgetLostEvents(ctx, scan)
	case isRunning || time.Since(report.GetLostAt().AsTime()) < lostEventsInterval:
		return nil
	default:
		return p.scanForLostEvents(ctx, report, lostEventsID("again"), report.GetLost())
	}
}

// forgetLostEvents removes lost events from the stored result of the last poll if a scan has made up for them.
func (p *puller) forgetLostEvents(ctx context.Context, scan *meshv1.ScanReport) error {
	return p.updatePoll(ctx, func(stored *meshv1.PollReport) {
		if stored.GetLost() != "" && state.HasReadLostEvents(scan, stored) {
			stored.Lost, stored.LostScan, stored.LostAt = "", "", nil
		}
	})
}

// adoptClock converts the time of the last successful poll to this host's clock. age is how long ago the report was
// written. Another host may have written it, and the time between success and failure is by one clock only.
func adoptClock(report *meshv1.PollReport, age time.Duration) {
	if report.GetError() != "" {
		age += max(report.GetFailedAt().AsTime().Sub(report.GetAt().AsTime()), 0)
	}
	report.At = timestamppb.New(time.Now().Add(-age))
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

// readEvents stores every event since the cursor, moves the cursor, and writes the result into the report.
func (p *puller) readEvents(ctx context.Context, report *meshv1.PollReport) error {
	cursor := p.stores.Record(topology.KeyEvents, p.account)
	from, err := p.startPosition(ctx, report, cursor)
	if err != nil {
		return err
	}
	if from.isExpired(time.Now()) {
		reason := "the position in Stripe's events (" + time.Unix(from.since(), 0).UTC().Format(time.DateTime) +
			" UTC) is near or past the 30 days for which Stripe lists them"
		if from, err = p.recoverLostEvents(ctx, report, from, cursor, reason); err != nil {
			return err
		}
	}
	read, err := p.readFrom(ctx, from)
	if err != nil && from.event() != "" && (stripeapi.IsNotFound(err) || stripeapi.IsCursorLost(err)) {
		// The sandbox was reset, or the key is of another account now.
		reason := "Stripe does not know event " + from.event() + ", at which reading was to continue"
		if from, err = p.recoverLostEvents(ctx, report, from, cursor, reason); err != nil {
			return err
		}
		read, err = p.readFrom(ctx, from)
	}
	if err != nil {
		return err
	}
	readUpTo := time.Unix(read.answeredAt, 0).Add(-rereadWindow)
	report.At, report.Events = timestamppb.Now(), read.events
	report.ReadUpTo = timestamppb.New(time.Unix(max(read.latest, readUpTo.Unix()), 0))
	report.Error, report.FailedAt = "", nil
	p.polled.Store(report.GetAt().AsTime().UnixNano())
	next := read.next
	if readUpTo.Unix()-next.since() > int64(maxCursorAge/time.Second) {
		next = positionAt(readUpTo.Add(-startAge))
	}
	if next == from {
		return nil
	}
	return storePosition(ctx, cursor, next)
}

// eventsRead is the result of reading all events after a position.
type eventsRead struct {
	// next is the position at which the next poll continues.
	next   position
	events uint64
	// latest and answeredAt are by Stripe's clock: the second of the latest event, and of Stripe's first answer.
	latest, answeredAt int64
}

// readFrom stores every event after a position.
func (p *puller) readFrom(ctx context.Context, from position) (eventsRead, error) {
	read := eventsRead{next: from, latest: from.since()}
	for event, err := range p.stripe.EventsAfter(ctx, from.event(), from.since(), &read.answeredAt) {
		if err != nil {
			return read, err
		}
		// Events that are listed for a connected account need not name it.
		if event.Livemode == p.livemode && (event.Account == "" || event.Account == p.stripeAccount) {
			if err := p.storeEvent(ctx, event, meshv1.Via_VIA_POLL); err != nil {
				return read, fmt.Errorf("store event %s: %w", event.ID, err)
			}
		}
		read.events++
		read.latest = max(read.latest, event.Created)
		// By Stripe's clock, because this host's may be wrong.
		if event.Seen-event.Created > int64(rereadWindow/time.Second) {
			read.next = positionOf(event)
		}
	}
	return read, nil
}

// startPosition returns the cursor's position. If there is none, as at the first start, it stores one. A scan tells
// what earlier events said.
func (p *puller) startPosition(ctx context.Context, report *meshv1.PollReport, cursor *state.Record) (position, error) {
	text, err := cursor.GetString(ctx)
	if err != nil {
		return "", fmt.Errorf("read the position in Stripe's events: %w", err)
	}
	if text != "" {
		return position(text), nil
	}
	start := time.Now().Add(-startAge)
	if err := p.scanBefore(ctx, report, start); err != nil {
		return "", err
	}
	return positionAt(start), storePosition(ctx, cursor, positionAt(start))
}

// noPosition is why events are not read if no position is stored.
const noPosition = "Stripe's events are read from the last hour on, as at the first start"

// scanBefore records that events from before a time are not read, and commands the scan that makes up for them. A scan
// that began later, such as the first scheduled one, does as well, unless events were lost for another reason too.
func (p *puller) scanBefore(ctx context.Context, report *meshv1.PollReport, start time.Time) error {
	scan := &meshv1.ScanReport{}
	if _, err := p.stores.Record(topology.KeyScan, p.account).Get(ctx, scan); err != nil {
		return err
	}
	p.logger.InfoContext(ctx, "no position in Stripe's events is stored; equality is unknown until a scan has ended",
		"start", start.UTC())
	if report.GetLost() == "" && scan.GetError() == "" && state.BeganAfter(scan, start) {
		return p.recordLostEvents(ctx, report, scan.GetId(), noPosition, start)
	}
	return p.commandScan(ctx, report, lostEventsID("start"), noPosition)
}

func storePosition(ctx context.Context, cursor *state.Record, p position) error {
	if err := cursor.PutString(ctx, string(p)); err != nil {
		return fmt.Errorf("store the position in Stripe's events: %w", err)
	}
	return nil
}

// recoverLostEvents commands a scan and moves the cursor, because Stripe no longer lists the events at the cursor. It
// returns the new position.
func (p *puller) recoverLostEvents(ctx context.Context, report *meshv1.PollReport, from position, cursor *state.Record,
	reason string,
) (position, error) {
	if err := p.scanForLostEvents(ctx, report, "lost-events-"+string(from), reason); err != nil {
		return from, err
	}
	// Skip older events that Stripe still lists. A month of events costs more reads than the scan, which detects their
	// effects.
	next := positionAt(time.Now().Add(-startAge))
	return next, storePosition(ctx, cursor, next)
}

// scanForLostEvents commands the scan that detects the effects of lost events, and stores that they were lost. Equality
// is unknown until the scan has ended.
func (p *puller) scanForLostEvents(ctx context.Context, report *meshv1.PollReport, id, reason string) error {
	p.logger.ErrorContext(ctx, "some of Stripe's events cannot be read", "reason", reason+". A scan reads everything.")
	return p.commandScan(ctx, report, id, reason)
}

// commandScan records that events are not read, and commands the scan that makes up for them. The caller moves the
// cursor afterwards, so that a kill in between repeats this.
func (p *puller) commandScan(ctx context.Context, report *meshv1.PollReport, id, reason string) error {
	scan := &meshv1.Command{
		Id: id, Account: p.account, Issuer: topology.Pull, Reason: reason + ". A scan reads everything.",
		IssuedAt: timestamppb.Now(),
		Verb:     &meshv1.Command_Scan{Scan: &meshv1.Scan{}},
	}
	// It is recorded first, since the command may be dropped at once in favor of a scan that began meanwhile.
	if err := p.recordLostEvents(ctx, report, id, reason, scan.GetIssuedAt().AsTime()); err != nil {
		return err
	}
	if err := p.mesh.Publish(ctx, topology.CommandSubject(topology.Pull, p.account, topology.VerbScan, ""), scan,
		mesh.WithID(id)); err != nil {
		return fmt.Errorf("command a scan, because %s: %w", reason, err)
	}
	return nil
}

// recordLostEvents stores that events from before a time are not read, and which scan makes up for them.
func (p *puller) recordLostEvents(ctx context.Context, report *meshv1.PollReport, scan, reason string, at time.Time,
) error {
	if err := p.updatePoll(ctx, func(stored *meshv1.PollReport) {
		stored.Lost, stored.LostScan, stored.LostAt = reason, scan, timestamppb.New(at)
		if stored.At = report.GetAt(); stored.At != nil {
			// Nothing has been read by this.
			stored.Error, stored.FailedAt = reason, timestamppb.Now()
		}
	}); err != nil {
		return fmt.Errorf("record that events were lost: %w", err)
	}
	return nil
}

// replaceLostScan records that another scan than the commanded one makes up for the events of a start without a
// position. The other scan may have begun a little before the command, by the clocks of two hosts. That does not
// matter, since the events of the last hour are read. For other losses a later scan is commanded.
func (p *puller) replaceLostScan(ctx context.Context, commanded, scan string) error {
	isReplaced := func(r *meshv1.PollReport) bool {
		return r.GetLost() == noPosition && r.GetLostScan() == commanded
	}
	report := &meshv1.PollReport{}
	if _, err := p.pollRecord().Get(ctx, report); err != nil || !isReplaced(report) {
		return err
	}
	return p.updatePoll(ctx, func(stored *meshv1.PollReport) {
		if isReplaced(stored) {
			stored.LostScan = scan
		}
	})
}
