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
	// lookEvery is how often the reports and consumers of the other services are read. Ingestion reports as often.
	lookEvery = time.Second
	// lookTimeout bounds one look.
	lookTimeout = 10 * time.Second
	// readRetries bounds how many retries one look, or one answer, reads: each takes a round trip.
	readRetries = 200
)

// The consumers that tell whether a service runs: one of its processes has room for a message of one of them at any
// time.
var (
	pushConsumers = []topology.Consumer{topology.PushLive, topology.PushBulk, topology.PushCommand, topology.PushRetry}
	pullConsumers = []topology.Consumer{topology.PullStripe, topology.PullCommand}
)

// outlook is what reconciliation has seen of the other services so far. Safe for concurrent use.
type outlook struct {
	mu    sync.Mutex
	marks marks
	push  sighting
	pull  sighting
	lanes convergence
	// last is the last look, as far as metrics show it.
	last     *controlv1.Equality
	lastSeen time.Time
}

// sighting is when a service was last seen at work.
type sighting struct {
	at        time.Time
	delivered uint64
}

// see takes the consumers of a service into account, and returns what they tell now.
func (s *sighting) see(now time.Time, all []mesh.ConsumerStatus, of []topology.Consumer) presence {
	var p presence
	asked, delivered := 0, uint64(0)
	for _, c := range all {
		if slices.Contains(of, c.Consumer) {
			asked += c.Waiting
			delivered += c.Delivered
			p.waiting += c.Pending + c.InFlight
		}
	}
	// The first look cannot tell progress, and gives a service that has room for nothing the benefit of the doubt.
	if asked > 0 || delivered != s.delivered || s.at.IsZero() {
		s.at, s.delivered = now, delivered
	}
	p.unseen = now.Sub(s.at)
	return p
}

// of returns the status of a consumer.
func of(all []mesh.ConsumerStatus, c topology.Consumer) mesh.ConsumerStatus {
	i := slices.IndexFunc(all, func(s mesh.ConsumerStatus) bool { return s.Consumer == c })
	if i < 0 {
		return mesh.ConsumerStatus{Consumer: c}
	}
	return all[i]
}

// view is what one look at the other services saw.
type view struct {
	equality  *controlv1.Equality
	consumers []mesh.ConsumerStatus
	paused    []*controlv1.PausedService
	halted    string
	// end is the first sequence of CATALOG after those that ingestion's report covers.
	end uint64
}

// look reads what an answer about equality rests on: ingestion's report before the consumers, so that the ledger
// knows what was captured then if its consumer is done. What is read from the ledger after it is at least of that
// time.
func (r *reconciler) look(ctx context.Context) (*view, error) {
	e := evidence{}
	report := &meshv1.CaptureReport{}
	revision, err := r.mesh.Capture(r.Account).GetAt(ctx, report)
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
	waiting, err := r.firstWaiting(ctx, of(consumers, topology.ReconciliationCatalog), end)
	if err != nil {
		return nil, err
	}
	e.poll = &meshv1.PollReport{}
	if e.polled, err = r.mesh.Record(topology.KeyPoll, r.Account).GetWithTime(ctx, e.poll); err != nil {
		return nil, err
	}
	if e.polled.IsZero() {
		e.poll = nil
	}
	if e.paused, err = r.allPaused(ctx); err != nil {
		return nil, err
	}
	if e.halted, err = r.mesh.Halted(r.Account).GetString(ctx); err != nil {
		return nil, err
	}
	var oldest time.Time
	for _, c := range []topology.Consumer{topology.PullStripe, topology.ReconciliationObserved} {
		at, err := r.mesh.Oldest(ctx, of(consumers, c))
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
		e.stripeBehind = e.now.Sub(oldest)
	}
	r.outlook.mu.Lock()
	defer r.outlook.mu.Unlock()
	o := &r.outlook
	if o.marks.add(report, revision) {
		o.lanes.forget()
	}
	e.ledger = o.marks.before(waiting)
	e.push, e.pull = o.push.see(e.now, consumers, pushConsumers), o.pull.see(e.now, consumers, pullConsumers)
	return &view{equality: e.equality(), consumers: consumers, paused: e.paused, halted: e.halted, end: end}, nil
}

// firstWaiting is the sequence of the first message that a consumer is not done with, end if there is none before it.
// What came later may have come after the consumers were read.
func (r *reconciler) firstWaiting(ctx context.Context, c mesh.ConsumerStatus, end uint64) (uint64, error) {
	sequence, _, err := r.mesh.OldestMessage(ctx, c)
	return min(cmp.Or(sequence, end), end), err
}

// watchMesh looks at the other services once in a while, until ctx ends.
func (r *reconciler) watchMesh(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for outage := (&mesh.Outage{}); ; {
		err := r.lookAtLanes(ctx)
		if ctx.Err() == nil && outage.ShouldLog(err) {
			r.Logger.WarnContext(
				ctx,
				"it is not known how far catalog and Stripe are; looking again every second",
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

// lookAtLanes works out how far each lane is in Stripe.
func (r *reconciler) lookAtLanes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	v, err := r.look(ctx)
	if err != nil {
		return err
	}
	due := of(v.consumers, topology.PushRetry)
	b := backlog{oldest: map[string]uint64{}, due: due.Pending + due.InFlight, delivered: due.Delivered}
	for lane, c := range map[string]topology.Consumer{"live": topology.PushLive, "bulk": topology.PushBulk} {
		if b.oldest[lane], err = r.firstWaiting(ctx, of(v.consumers, c), v.end); err != nil {
			return err
		}
	}
	// After the consumers: push stores a retry before it acknowledges the message.
	if b.retries, b.more, err = r.mesh.Retries(ctx, topology.Push, r.Account, readRetries); err != nil {
		return err
	}
	r.outlook.mu.Lock()
	defer r.outlook.mu.Unlock()
	r.outlook.lanes.look(r.outlook.marks, b)
	r.outlook.last, r.outlook.lastSeen = v.equality, time.Now()
	return nil
}

// seen is what the last look saw, and how far each lane is in Stripe; nil if there was none lately.
func (o *outlook) seen() (equality *controlv1.Equality, converged map[string]time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	converged = map[string]time.Time{}
	maps.Copy(converged, o.lanes.known)
	if time.Since(o.lastSeen) > unseenAfter {
		return nil, converged
	}
	return o.last, converged
}
