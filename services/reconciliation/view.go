package reconciliation

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// watchInterval is how often the reports and consumers of the other services are read. Ingestion reports as often.
	watchInterval = time.Second
	// watchTimeout bounds one read of them.
	watchTimeout = 10 * time.Second
	// maxRetries is how many retries are read at once. Each takes a round trip.
	maxRetries = 200
)

// Consumers that show whether a service runs: one of its processes always has room for a message of at least one of
// them.
var (
	pushConsumers = []topology.Consumer{topology.PushLive, topology.PushBulk, topology.PushCommand, topology.PushRetry}
	pullConsumers = []topology.Consumer{topology.PullStripe, topology.PullCommand}
)

// monitor has the latest state of the other services. Safe for concurrent use.
type monitor struct {
	mu     sync.Mutex
	points capturePoints
	push   lastActivity
	pull   lastActivity
	lanes  convergence
	// last is the latest answer about equality, for the metrics.
	last     *controlv1.Equality
	lastSeen time.Time
}

// lastActivity is when a service last requested or received messages.
type lastActivity struct {
	at        time.Time
	delivered uint64
}

// update takes the consumers of a service into account, and returns its activity.
func (s *lastActivity) update(now time.Time, all []mesh.ConsumerStatus, of []topology.Consumer) activity {
	var p activity
	asked, delivered := 0, uint64(0)
	for _, c := range all {
		if slices.Contains(of, c.Consumer) {
			asked += c.Waiting
			delivered += c.Delivered
			p.pending += c.Pending + c.InFlight
		}
	}
	// The first update cannot detect progress. A service without room for messages gets the benefit of the doubt.
	if asked > 0 || delivered != s.delivered || s.at.IsZero() {
		s.at, s.delivered = now, delivered
	}
	p.inactive = now.Sub(s.at)
	return p
}

// statusOf returns the status of a consumer.
func statusOf(all []mesh.ConsumerStatus, c topology.Consumer) mesh.ConsumerStatus {
	i := slices.IndexFunc(all, func(s mesh.ConsumerStatus) bool { return s.Consumer == c })
	if i < 0 {
		return mesh.ConsumerStatus{Consumer: c}
	}
	return all[i]
}

// view is the state of the other services at one moment.
type view struct {
	equality  *controlv1.Equality
	consumers []mesh.ConsumerStatus
	paused    []*controlv1.PausedService
	halted    string
	// end is the first sequence of CATALOG after those that ingestion's report covers.
	end uint64
}

// readView reads the evidence for an answer about equality. It reads ingestion's report before the consumers: if the
// ledger's consumer is done then, the ledger has what was captured. What is read from the ledger afterwards is at least
// of that time.
func (r *reconciler) readView(ctx context.Context) (*view, error) {
	e := evidence{}
	report := &meshv1.CaptureReport{}
	revision, err := r.stores.Capture(r.Account).GetAt(ctx, report)
	if err != nil {
		return nil, err
	}
	if revision > 0 {
		e.capture = report
	}
	consumers, err := r.mesh.Consumers(ctx)
	if err != nil {
		return nil, err
	}
	end := report.GetCatalogSequence() + 1
	waiting, err := r.firstPending(ctx, statusOf(consumers, topology.ReconciliationCatalog), end)
	if err != nil {
		return nil, err
	}
	e.poll = &meshv1.PollReport{}
	if e.polled, err = r.stores.Record(topology.KeyPoll, r.Account).GetWithTime(ctx, e.poll); err != nil {
		return nil, err
	}
	if e.polled.IsZero() {
		e.poll = nil
	}
	if e.paused, err = r.allPaused(ctx); err != nil {
		return nil, err
	}
	if e.halted, err = r.stores.Halted(r.Account).GetString(ctx); err != nil {
		return nil, err
	}
	var oldest time.Time
	for _, c := range []topology.Consumer{topology.PullStripe, topology.ReconciliationObserved} {
		at, err := r.mesh.Oldest(ctx, statusOf(consumers, c))
		if err != nil {
			return nil, err
		}
		if !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	if e.now, err = r.mesh.Clock().Now(ctx); err != nil {
		return nil, err
	}
	if !oldest.IsZero() {
		e.eventDelay = e.now.Sub(oldest)
	}
	r.monitor.mu.Lock()
	defer r.monitor.mu.Unlock()
	o := &r.monitor
	if o.points.add(report, revision) {
		o.lanes.reset()
	}
	e.ledger = o.points.before(waiting)
	e.push, e.pull = o.push.update(e.now, consumers, pushConsumers), o.pull.update(e.now, consumers, pullConsumers)
	return &view{equality: e.equality(), consumers: consumers, paused: e.paused, halted: e.halted, end: end}, nil
}

// firstPending returns the sequence of the first message that a consumer has not processed, at most end. Later messages
// may have arrived after the consumers were read.
func (r *reconciler) firstPending(ctx context.Context, c mesh.ConsumerStatus, end uint64) (uint64, error) {
	sequence, _, err := r.mesh.OldestMessage(ctx, c)
	return min(cmp.Or(sequence, end), end), err
}

// watchMesh reads the state of the other services every watchInterval, until ctx ends.
func (r *reconciler) watchMesh(ctx context.Context) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for outage := (&mesh.Outage{}); ; {
		err := r.updateLanes(ctx)
		if ctx.Err() == nil && outage.ShouldLog(err) {
			r.Logger.WarnContext(
				ctx,
				"could not read the state of the other services; retrying every second",
				"error",
				err,
			)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// updateLanes updates the times up to which the lanes are in Stripe.
func (r *reconciler) updateLanes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	v, err := r.readView(ctx)
	if err != nil {
		return err
	}
	due := statusOf(v.consumers, topology.PushRetry)
	b := backlog{oldest: map[string]uint64{}, due: due.Pending + due.InFlight, delivered: due.Delivered}
	for lane, c := range map[string]topology.Consumer{"live": topology.PushLive, "bulk": topology.PushBulk} {
		if b.oldest[lane], err = r.firstPending(ctx, statusOf(v.consumers, c), v.end); err != nil {
			return err
		}
	}
	// The retries are read after the consumers, because push stores a retry before it acknowledges the message.
	if b.retries, b.more, err = r.mesh.Retries(ctx, topology.Push, r.Account, maxRetries); err != nil {
		return err
	}
	r.monitor.mu.Lock()
	defer r.monitor.mu.Unlock()
	r.monitor.lanes.update(r.monitor.points, b)
	r.monitor.last, r.monitor.lastSeen = v.equality, time.Now()
	return nil
}

// latest returns the latest answer about equality, nil if it is older than maxInactivity, and the times up to which the
// lanes are in Stripe.
func (o *monitor) latest() (equality *controlv1.Equality, converged map[string]time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	converged = map[string]time.Time{}
	maps.Copy(converged, o.lanes.converged)
	if time.Since(o.lastSeen) > maxInactivity {
		return nil, converged
	}
	return o.last, converged
}
