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

// pollOnce polls /v1/events and records the result. It begins again if another process has changed what is known of
// lost events meanwhile.
func (p *puller) pollOnce(ctx context.Context, interval time.Duration) {
	for errors.Is(p.tryPoll(ctx, interval), errLossChanged) && ctx.Err() == nil {
	}
}

// tryPoll is one attempt of pollOnce. It logs and records all errors but errLossChanged.
func (p *puller) tryPoll(ctx context.Context, interval time.Duration) error {
	// Another process may have made the last poll.
	report, err := p.lastPoll(ctx)
	switch {
	case errors.Is(err, errLossChanged):
		return err
	case err != nil:
		if ctx.Err() == nil {
			p.logger.WarnContext(ctx, "could not read the result of the last poll; trying again", "interval", interval,
				"error", err)
		}
		return err
	}
	report.Interval = durationpb.New(interval)
	failure := p.readEvents(ctx, report)
	if ctx.Err() != nil || errors.Is(failure, errLossChanged) {
		return failure
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
	if err := p.recordPoll(ctx, report, failure != nil); err != nil && ctx.Err() == nil {
		p.logger.WarnContext(ctx, "could not record the result of a poll", "error", err)
	}
	return failure
}

// recordPoll stores the result of a poll. It stores nothing that hides that the position or the last result was lost
// during the poll, which may have said that events were lost: the next poll commands a scan.
func (p *puller) recordPoll(ctx context.Context, report *meshv1.PollReport, failed bool) error {
	position, err := p.stores.Record(topology.KeyEvents, p.account).GetString(ctx)
	if err != nil {
		return err
	}
	return p.updatePoll(ctx, func(stored *meshv1.PollReport, exists bool) error {
		switch {
		case position != "" && !exists, position == "" && !failed:
			return errors.New("bucket CURSOR lost records during the poll")
		case position == "":
			report.At, report.ReadUpTo, stored.At = nil, nil, nil
		}
		// Another process may have read them during a poll that failed.
		if !failed || !stored.GetAt().AsTime().After(report.GetAt().AsTime()) {
			stored.At, stored.Events, stored.ReadUpTo = report.GetAt(), report.GetEvents(), report.GetReadUpTo()
		}
		stored.Error, stored.FailedAt, stored.Interval = report.GetError(), report.GetFailedAt(), report.GetInterval()
		return nil
	})
}

// errUnchanged is the error of a change that is none.
var errUnchanged = errors.New("nothing changes")

// updatePoll changes the stored result of the last poll, an empty one if none exists. Every replica polls and writes
// it. If change fails, nothing is stored. Its error is returned, but for errUnchanged.
func (p *puller) updatePoll(ctx context.Context, change func(stored *meshv1.PollReport, exists bool) error) error {
	for {
		stored := &meshv1.PollReport{}
		revision, written, err := p.pollRecord().GetWithTime(ctx, stored)
		if err != nil {
			return err
		}
		if err := p.useOwnClock(ctx, stored, written); err != nil {
			return err
		}
		switch err := change(stored, revision != 0); {
		case errors.Is(err, errUnchanged):
			return nil
		case err != nil:
			return err
		}
		stored.RecordedAt = timestamppb.Now()
		if _, err := p.pollRecord().CompareAndPut(ctx, stored, revision); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

func (p *puller) pollRecord() *state.Record { return p.stores.Record(topology.KeyPoll, p.account) }

// lastPoll returns the result of the last poll by this host's clock. If it cannot be decoded, or is missing although a
// position is stored, it may have said that events were lost, so a scan is commanded.
func (p *puller) lastPoll(ctx context.Context) (*meshv1.PollReport, error) {
	report := &meshv1.PollReport{}
	_, written, err := p.pollRecord().GetWithTime(ctx, report)
	if errors.Is(err, proto.Error) {
		reason := "the result of the last poll, which may have lost events, cannot be decoded (" + err.Error() + ")"
		report = newLoss("undecodable", reason)
		loss := proto.CloneOf(report)
		report.Error, report.FailedAt = reason, report.GetLostAt()
		// If the scan cannot be commanded, the next polls do it.
		if err := p.pollRecord().Put(ctx, report); err != nil {
			return nil, err
		}
		return report, p.scanForLostEvents(ctx, report, loss)
	}
	if err != nil {
		return nil, err
	}
	if written.IsZero() {
		position, err := p.stores.Record(topology.KeyEvents, p.account).GetString(ctx)
		if err != nil || position == "" {
			return report, err
		}
		return report, p.scanForLostEvents(ctx, report, newLoss("missing",
			"the result of the last poll, which may have said that events were lost, is missing"))
	}
	if err := p.useOwnClock(ctx, report, written); err != nil {
		return nil, err
	}
	if report.GetLost() == "" {
		return report, nil
	}
	switch err := p.followLostEvents(ctx, report); {
	case errors.Is(err, errLossChanged):
		return nil, err
	case err != nil:
		// Events are read all the same.
		p.logger.WarnContext(ctx, "could not follow lost events; the next poll does", "reason", report.GetLost(),
			"error", err)
	}
	return report, nil
}

// useOwnClock converts the times of the last polls to this host's clock, since another host may have written the
// report. written is when it was, by the NATS server's clock.
func (p *puller) useOwnClock(ctx context.Context, report *meshv1.PollReport, written time.Time) error {
	if report.GetAt() == nil {
		return nil
	}
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	at := time.Now().Add(-now.Sub(written) - state.PollAge(report))
	if failed := report.GetFailedAt(); failed != nil {
		report.FailedAt = timestamppb.New(failed.AsTime().Add(at.Sub(report.GetAt().AsTime())))
	}
	report.At = timestamppb.New(at)
	return nil
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

// readEvents stores every event since the position, moves the position, and writes the result into the report.
func (p *puller) readEvents(ctx context.Context, report *meshv1.PollReport) error {
	at, err := p.startPosition(ctx, report)
	if err != nil {
		return err
	}
	if at.isExpired(time.Now()) {
		reason := "the position in Stripe's events (" + time.Unix(at.since(), 0).UTC().Format(time.DateTime) +
			" UTC) is near or past the 30 days for which Stripe lists them"
		if err := p.recoverLostEvents(ctx, report, &at, reason); err != nil {
			return err
		}
	}
	read, err := p.readFrom(ctx, at.position)
	if err != nil && at.event() != "" && (stripeapi.IsNotFound(err) || stripeapi.IsCursorLost(err)) {
		// The sandbox was reset, or the key is of another account now.
		reason := "Stripe does not know event " + at.event() + ", at which reading was to continue"
		if err := p.recoverLostEvents(ctx, report, &at, reason); err != nil {
			return err
		}
		read, err = p.readFrom(ctx, at.position)
	}
	if err != nil {
		if read.next != at.position {
			// All events up to there are stored. A poll of many pages that always began again might never end.
			err = errors.Join(err, p.storePosition(ctx, &at, read.next))
		}
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
	if next == at.position {
		return nil
	}
	return p.storePosition(ctx, &at, next)
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

// storedPosition is a position with the revision under which it is stored.
type storedPosition struct {
	position

	revision uint64
}

// startPosition returns the stored position. If there is none, as at the first start, it stores one. A scan tells what
// earlier events said.
func (p *puller) startPosition(ctx context.Context, report *meshv1.PollReport) (at storedPosition, err error) {
	text, revision, err := p.stores.Record(topology.KeyEvents, p.account).GetStringAt(ctx)
	if err != nil {
		return at, fmt.Errorf("read the position in Stripe's events: %w", err)
	}
	at = storedPosition{position(text), revision}
	if text != "" {
		return at, nil
	}
	start, err := p.startTime(ctx)
	if err != nil {
		return at, err
	}
	p.logger.InfoContext(ctx, "no position in Stripe's events is stored; equality is unknown until a scan has ended",
		"start", start.UTC())
	if err := p.scanBefore(ctx, report, start); err != nil {
		return at, err
	}
	err = p.storePosition(ctx, &at, positionAt(start))
	return at, err
}

// startTime returns where reading starts if there is no event to continue at.
func (p *puller) startTime(ctx context.Context) (time.Time, error) {
	now, err := p.mesh.Clock().Now(ctx)
	return now.Add(-startAge), err
}

// storePosition stores a position. Another process may have stored one meanwhile, which is as good. If CURSOR was lost
// meanwhile, nothing is stored, and the next poll notices that.
func (p *puller) storePosition(ctx context.Context, at *storedPosition, next position) error {
	revision, err := p.stores.Record(topology.KeyEvents, p.account).CompareAndPutString(ctx, string(next), at.revision)
	if err != nil && !errors.Is(err, state.ErrConflict) {
		return fmt.Errorf("store the position in Stripe's events: %w", err)
	}
	if err == nil {
		at.revision = revision
	}
	at.position = next
	return nil
}
