package reconciliation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// continuityInterval is how often the process checks that the ledger is the one that it writes to.
const continuityInterval = time.Second

// maxEmptyPages is how many pages of a stream are read to see whether any message in them is for the ledger.
const maxEmptyPages = 4

// Reasons to read streams again.
const (
	reasonOlder = "the ledger was restored from an older copy, or its process was killed: " +
		"it lacks what was delivered to it since %s"
	reasonReplaced = "an older copy of the ledger was restored while reconciliation ran"
	reasonNoRecord = "the ledger does not say how much of the streams it has: it was lost or changed for another " +
		"one, or comes from an earlier version of Driftless"
	reasonOther = "stream %s is not the one that the ledger was made from: it was made again or restored from an " +
		"older copy, or the ledger is the one of another mesh"
	reasonRemoved = "messages of stream %s may have been removed before they were read, by a purge or by a limit of " +
		"the stream"
)

// verifyLedger joins the writers of the ledger. If the ledger may lack what NATS has delivered to it, it stores that
// this must be read again.
func (r *reconciler) verifyLedger(ctx context.Context) error {
	// The ledger is read first. Another process may store more meanwhile, which then is read again.
	stored, err := r.ledger.Positions(ctx)
	if err != nil {
		return err
	}
	delivered, err := r.delivered(ctx, stored)
	if err != nil {
		return err
	}
	gaps, damage := ledger.Gaps(stored, delivered)
	if gaps, err = r.withMessages(ctx, gaps, damage); err != nil {
		return err
	}
	if len(gaps) == 0 {
		return r.ledger.Join(ctx)
	}
	copied := oldest(stored)
	var reason string
	switch {
	case len(stored) == 0:
		reason = reasonNoRecord
	case damage.NeedsComparison():
		reason = reasonOf(damage)
	default:
		reason = fmt.Sprintf(reasonOlder, copied.UTC().Format(time.DateTime)+" UTC")
	}
	return r.beginReread(ctx, reason, copied, damage.NeedsComparison(), gaps)
}

// reasonOf returns why every product must be compared with the streams.
func reasonOf(damage ledger.Damage) string {
	if damage.Other != "" {
		return fmt.Sprintf(reasonOther, damage.Other)
	}
	return fmt.Sprintf(reasonRemoved, damage.Removed)
}

// delivered returns how far NATS has delivered the streams that the ledger follows. If that is less than a stored
// position, it looks at the message there.
func (r *reconciler) delivered(ctx context.Context, stored map[string]ledger.StreamPosition) (
	out []ledger.Delivered, err error,
) {
	consumers, err := r.mesh.Consumers(ctx)
	if err != nil {
		return nil, err
	}
	return r.deliveredTo(ctx, consumers, stored)
}

// deliveredTo is delivered with the consumers that were read.
func (r *reconciler) deliveredTo(ctx context.Context, consumers []mesh.ConsumerStatus,
	stored map[string]ledger.StreamPosition,
) (out []ledger.Delivered, err error) {
	for _, c := range consumers {
		if c.Name != topology.Reconciliation {
			continue
		}
		d := ledger.Delivered{
			Stream: c.Stream, Begun: c.Delivered > 0, To: c.DeliveredTo, Acknowledged: c.AckFloor,
		}
		// The stream is read after its consumer, so that it ends behind what was delivered.
		now, err := r.mesh.StreamState(ctx, c.Stream)
		if err != nil {
			return nil, err
		}
		d.Created, d.Last, d.ReadTo = now.Created, now.Last, r.readTo(c.Stream, now, consumers)
		r.lasts[c.Stream] = now
		p, known := stored[c.Stream]
		if known {
			if err := r.findRemoved(ctx, &d, p, now, consumers); err != nil {
				return nil, err
			}
		}
		if d.To < p.Sequence && p.Sequence <= d.Last {
			if d.MessageAt, err = r.mesh.StoredAt(ctx, c.Stream, p.Sequence); err != nil {
				return nil, err
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// withMessages returns the gaps in which the stream has a message for the ledger, and all of them if every product must
// be compared.
func (r *reconciler) withMessages(ctx context.Context, gaps []ledger.Gap, damage ledger.Damage) (
	out []ledger.Gap, err error,
) {
	for _, gap := range gaps {
		has := damage.NeedsComparison()
		for from, pages := gap.First, 0; !has && from <= gap.Last; pages++ {
			messages, next, err := r.mesh.Range(ctx, consumerOf(gap.Stream), from, gap.Last)
			if err != nil {
				return nil, err
			}
			has, from = len(messages) > 0 || pages == maxEmptyPages, next
		}
		if has {
			out = append(out, gap)
		}
	}
	return out, nil
}

// consumerOf returns the ledger's consumer of a stream.
func consumerOf(stream string) topology.Consumer {
	return topology.Consumer{Stream: stream, Name: topology.Reconciliation}
}

// oldest returns when the oldest position was stored. Zero without positions.
func oldest(positions map[string]ledger.StreamPosition) (at time.Time) {
	for _, p := range positions {
		if at.IsZero() || p.At.Before(at) {
			at = p.At
		}
	}
	return at
}

func (r *reconciler) beginReread(ctx context.Context, reason string, copied time.Time, compare bool,
	gaps []ledger.Gap,
) error {
	if err := r.ledger.BeginReread(ctx, reason, copied, compare, gaps); err != nil {
		return err
	}
	clear(r.looks) // they were about what the ledger had
	r.Logger.WarnContext(ctx, "reading streams again for the ledger; equality is unknown until then",
		"account", r.Account, "reason", reason)
	return nil
}

// watchContinuity stores how far the ledger has the streams, and reads again what it lacks, until ctx ends.
func (r *reconciler) watchContinuity(ctx context.Context) error {
	ticker := time.NewTicker(continuityInterval)
	defer ticker.Stop()
	for outage := (&mesh.Outage{}); ; {
		if err := r.checkContinuity(ctx); ctx.Err() == nil && outage.ShouldLog(err) {
			r.Logger.WarnContext(ctx, "could not check that the ledger has what NATS has delivered; retrying",
				"error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-r.replaced:
		}
	}
}

func (r *reconciler) checkContinuity(ctx context.Context) error {
	if err := r.ledger.StayWriter(ctx); err != nil {
		return err
	}
	switch reread, err := r.ledger.Continuity(ctx); {
	case errors.Is(err, ledger.ErrReplaced):
		return r.rereadAll(ctx)
	case err != nil:
		return err
	case reread != nil:
		return r.readAgain(ctx, reread)
	}
	return r.advance(ctx)
}

// rereadAll stores that everything that was delivered must be read again. This process cannot know how much of it the
// copy has: another process may have stored positions in it meanwhile.
func (r *reconciler) rereadAll(ctx context.Context) error {
	stored, err := r.ledger.Positions(ctx)
	if err != nil {
		return err
	}
	delivered, err := r.delivered(ctx, stored)
	if err != nil {
		return err
	}
	gaps, damage := ledger.AllGaps(stored, delivered)
	reason := reasonReplaced
	if damage.NeedsComparison() {
		reason += ", and " + reasonOf(damage)
	}
	return r.beginReread(ctx, reason, oldest(stored), damage.NeedsComparison(), gaps)
}

// advance stores how far the consumers have acknowledged. It stores nothing if that did not change. If a stream is
// another one than before, everything is compared with the streams.
func (r *reconciler) advance(ctx context.Context) error {
	consumers, err := r.mesh.Consumers(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(consumers, r.hasMoved) && time.Since(r.advanced) < refreshInterval {
		return nil
	}
	// The positions are read before the streams, because other processes store them too.
	stored, err := r.ledger.Positions(ctx)
	if err != nil {
		return err
	}
	delivered, err := r.deliveredTo(ctx, consumers, stored)
	if err != nil {
		return err
	}
	if gaps, damage := ledger.Gaps(stored, delivered); damage.NeedsComparison() {
		return r.beginReread(ctx, reasonOf(damage), oldest(stored), true, gaps)
	}
	positions := make([]ledger.StreamPosition, len(delivered))
	for i, d := range delivered {
		positions[i] = ledger.StreamPosition{
			Stream: d.Stream, Created: d.Created, Sequence: d.Acknowledged, ReadTo: d.ReadTo,
		}
		if d.Acknowledged > stored[d.Stream].Sequence {
			if positions[i].MessageAt, err = r.mesh.StoredAt(ctx, d.Stream, d.Acknowledged); err != nil {
				return err
			}
		}
	}
	if err := r.ledger.Advance(ctx, positions); err != nil {
		if errors.Is(err, ledger.ErrReplaced) {
			wake(r.replaced)
			return nil
		}
		return err
	}
	for _, c := range consumers {
		r.positions[c.Consumer] = markOf(c)
	}
	r.advanced = time.Now()
	return nil
}

// consumerMark is what the stored positions follow from.
type consumerMark struct {
	acknowledged uint64
	hasReadAll   bool
}

func markOf(c mesh.ConsumerStatus) consumerMark { return consumerMark{c.AckFloor, hasReadAll(c)} }

// hasMoved reports whether a consumer that the ledger rests on differs from when the positions were stored last.
func (r *reconciler) hasMoved(c mesh.ConsumerStatus) bool {
	if !restsOn(c.Consumer) {
		return false
	}
	stored, ok := r.positions[c.Consumer]
	return !ok || stored != markOf(c)
}

const (
	// lastAdvanceTimeout bounds lastAdvance, and lastAdvanceDelay is the time between two attempts.
	lastAdvanceTimeout = time.Second
	lastAdvanceDelay   = 50 * time.Millisecond
)

// lastAdvance stores the positions once the last messages are acknowledged, so that the next start has nothing to read
// again. Without it, that start only reads some messages twice.
func (r *reconciler) lastAdvance(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastAdvanceTimeout)
	defer cancel()
	for ctx.Err() == nil {
		reread, err := r.ledger.Continuity(ctx)
		if err != nil || reread != nil || r.advance(ctx) != nil {
			return
		}
		consumers, err := r.mesh.Consumers(ctx)
		if err != nil || !slices.ContainsFunc(consumers, func(c mesh.ConsumerStatus) bool {
			return c.Name == topology.Reconciliation && c.InFlight > 0
		}) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(lastAdvanceDelay):
		}
	}
}

// ledgerUnknown returns why it is not known what the ledger should know, "" if nothing is wrong with it.
func (r *reconciler) ledgerUnknown(ctx context.Context) (string, error) {
	switch reread, err := r.ledger.Continuity(ctx); {
	case errors.Is(err, ledger.ErrReplaced):
		wake(r.replaced)
		return reasonReplaced + "; everything will be read again", nil
	case err != nil || reread == nil:
		return "", err
	case reread.WaitsFor != "":
		return reread.Reason + "; " + reread.WaitsFor + " first", nil
	case reread.Compare && reread.Read >= reread.Total:
		return reread.Reason + "; every product has to be compared with the streams", nil
	case reread.Total == 0 || reread.Read >= reread.Total:
		return reread.Reason + "; all of it was read again, and is being checked", nil
	default:
		return fmt.Sprintf("%s; that is being read again (%d %% done)", reread.Reason,
			100*reread.Read/reread.Total), nil
	}
}
