package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// lostEventsPrefix is how the ids of scans for events begin that were lost for a cause.
func lostEventsPrefix(cause string) string { return "lost-events-" + cause + "-" }

// lostEventsID returns a new id of a scan for lost events.
func lostEventsID(cause string) string {
	return lostEventsPrefix(cause) + strconv.FormatInt(time.Now().UnixMicro(), 10)
}

// newLoss says that events were lost, which a new scan makes up for.
func newLoss(cause, reason string) *meshv1.PollReport {
	return &meshv1.PollReport{Lost: reason, LostScan: lostEventsID(cause), LostAt: timestamppb.Now()}
}

// lostEventsInterval is the time after which another scan for lost events is commanded if none has read everything.
const lostEventsInterval = 5 * time.Minute

// lostEventsRest is how many times as long as a scan that left objects unread the next one waits. Scans spend the read
// allowance.
const lostEventsRest = 20

// followLostEvents forgets lost events that a scan has made up for. If none has and none runs any more, it commands one
// again.
func (p *puller) followLostEvents(ctx context.Context, report *meshv1.PollReport) error {
	scan := &meshv1.ScanReport{}
	_, written, err := p.stores.Record(topology.KeyScan, p.account).GetWithTime(ctx, scan)
	if err != nil {
		return err
	}
	if state.HasReadLostEvents(scan, report) {
		return p.forgetLostEvents(ctx, scan)
	}
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	// A running scan reports every second, and one that fails whenever it is tried again. If its command was lost with
	// its process, nobody resumes it.
	isRunning := scan.GetFinishedAt() == nil && now.Sub(written).Abs() < lostEventsInterval
	commanded := cmp.Or(report.GetLostCommandedAt(), report.GetLostAt()).AsTime()
	// Its command may still wait, or it failed. Then it resumes where it ended.
	id, interval := report.GetLostScan(), lostEventsInterval
	isLater := id == scan.GetId() || state.BeganAfter(scan, report.GetLostAt().AsTime())
	if isLater && scan.GetFinishedAt() != nil {
		// It has left objects unread, and may take hours. So may the next one.
		took := scan.GetFinishedAt().AsTime().Sub(scan.GetStartedAt().AsTime())
		id, interval = lostEventsID("again"), max(lostEventsInterval, lostEventsRest*took)
	}
	if isRunning || now.Sub(commanded).Abs() < interval {
		return nil
	}
	return p.scanAgain(ctx, report, id)
}

// scanAgain commands a scan for lost events that are recorded.
func (p *puller) scanAgain(ctx context.Context, report *meshv1.PollReport, id string) error {
	p.logger.WarnContext(ctx, "no scan has read yet what lost events said; commanding one", "scan", id,
		"reason", report.GetLost())
	return p.commandScan(ctx, report,
		&meshv1.PollReport{Lost: report.GetLost(), LostScan: id, LostAt: report.GetLostAt()})
}

// forgetLostEvents removes lost events from the stored result of the last poll if a scan has made up for them.
func (p *puller) forgetLostEvents(ctx context.Context, scan *meshv1.ScanReport) error {
	return p.updatePoll(ctx, func(stored *meshv1.PollReport, _ bool) error {
		if stored.GetLost() == "" || !state.HasReadLostEvents(scan, stored) {
			return errUnchanged
		}
		setLoss(stored, &meshv1.PollReport{})
		return nil
	})
}

// errLossChanged means that another process has recorded or forgotten lost events since the poll began.
var errLossChanged = errors.New("another process has changed what is known of lost events")

// setLoss copies what a result says of lost events.
func setLoss(to, from *meshv1.PollReport) {
	to.Lost, to.LostScan, to.LostAt = from.GetLost(), from.GetLostScan(), from.GetLostAt()
	to.LostCommandedAt = from.GetLostCommandedAt()
}

// hasSameLoss reports whether two results say the same of lost events.
func hasSameLoss(a, b *meshv1.PollReport) bool {
	x, y := &meshv1.PollReport{}, &meshv1.PollReport{}
	setLoss(x, a)
	setLoss(y, b)
	return proto.Equal(x, y)
}

// recoverLostEvents commands a scan and moves the position, because Stripe no longer lists the events there.
func (p *puller) recoverLostEvents(ctx context.Context, report *meshv1.PollReport, at *storedPosition, reason string,
) error {
	// Skip older events that Stripe still lists. A month of events costs more reads than the scan, which detects their
	// effects.
	start, err := p.startTime(ctx)
	if err != nil {
		return err
	}
	// The position is moved afterwards, so that a kill in between repeats this. The same scan does then.
	loss := newLoss(string(at.position), reason)
	isRepeated := strings.HasPrefix(report.GetLostScan(), lostEventsPrefix(string(at.position)))
	if isRepeated && !report.GetLostAt().AsTime().Before(start) {
		loss.LostScan, loss.LostAt = report.GetLostScan(), report.GetLostAt()
	}
	if err := p.scanForLostEvents(ctx, report, loss); err != nil {
		return err
	}
	return p.storePosition(ctx, at, positionAt(start))
}

// noPosition is why events are not read if no position is stored.
const noPosition = "Stripe's events are read from the last hour on, as at the first start"

// scanBefore records that events from before a time are not read, because no position is stored, and commands the scan
// that makes up for them. A scan that was commanded since that time does as well. So does one that began since, such as
// the first scheduled one, unless events were lost for another reason too.
func (p *puller) scanBefore(ctx context.Context, report *meshv1.PollReport, start time.Time) error {
	reason := cmp.Or(report.GetLost(), noPosition)
	if reason == noPosition {
		scan := &meshv1.ScanReport{}
		if _, err := p.stores.Record(topology.KeyScan, p.account).Get(ctx, scan); err != nil {
			return err
		}
		if scan.GetError() == "" && state.BeganAfter(scan, start) {
			return p.recordLoss(ctx, report,
				&meshv1.PollReport{Lost: reason, LostScan: scan.GetId(), LostAt: timestamppb.New(start)})
		}
	}
	loss := newLoss("start", reason)
	if report.GetLost() != "" && !report.GetLostAt().AsTime().Before(start) {
		loss.LostScan, loss.LostAt = report.GetLostScan(), report.GetLostAt()
	}
	return p.commandScan(ctx, report, loss)
}

// scanForLostEvents commands the scan that detects the effects of lost events, and stores that they were lost. Equality
// is unknown until the scan has ended.
func (p *puller) scanForLostEvents(ctx context.Context, report, loss *meshv1.PollReport) error {
	p.logger.ErrorContext(ctx, "some of Stripe's events cannot be read", "reason",
		loss.GetLost()+". A scan reads everything.")
	return p.commandScan(ctx, report, loss)
}

// commandScan records lost events, and commands the scan that makes up for them. It continues a scan that was
// interrupted.
func (p *puller) commandScan(ctx context.Context, report, loss *meshv1.PollReport) error {
	now, err := p.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	loss.LostCommandedAt = timestamppb.New(now)
	// It is recorded first, since the command may be dropped at once in favor of a scan that began meanwhile.
	if err := p.recordLoss(ctx, report, loss); err != nil {
		return err
	}
	scan := &meshv1.Command{
		Id: loss.GetLostScan(), Account: p.account, Issuer: topology.Pull,
		Reason:   loss.GetLost() + ". A scan reads everything.",
		IssuedAt: timestamppb.Now(),
		Verb:     &meshv1.Command_Scan{Scan: &meshv1.Scan{}},
	}
	// The same scan may be commanded again.
	id := fmt.Sprintf("%s-%d", loss.GetLostScan(), now.UnixMicro())
	if err := p.mesh.Publish(ctx, topology.CommandSubject(topology.Pull, p.account, topology.VerbScan, ""), scan,
		mesh.WithID(id)); err != nil {
		return fmt.Errorf("command a scan, because %s: %w", loss.GetLost(), err)
	}
	return nil
}

// recordLoss stores which events are not read, and which scan makes up for them, also in report. Its error is
// errLossChanged if the stored result does not say the same of lost events as report.
func (p *puller) recordLoss(ctx context.Context, report, loss *meshv1.PollReport) error {
	err := p.updatePoll(ctx, func(stored *meshv1.PollReport, _ bool) error {
		if !hasSameLoss(stored, report) {
			return errLossChanged
		}
		setLoss(stored, loss)
		if stored.At = report.GetAt(); stored.At != nil {
			// Nothing has been read by this.
			stored.Error, stored.FailedAt = loss.GetLost(), timestamppb.Now()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record that events were lost: %w", err)
	}
	setLoss(report, loss)
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
	return p.updatePoll(ctx, func(stored *meshv1.PollReport, _ bool) error {
		if !isReplaced(stored) {
			return errUnchanged
		}
		stored.LostScan = scan
		return nil
	})
}
