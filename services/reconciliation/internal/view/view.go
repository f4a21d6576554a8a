// Package view reads the state of the other services from the mesh, and derives up to when it is known that catalog and
// Stripe are equal.
package view

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// watchInterval is how often the reports and consumers of the other services are read. Ingestion reports as often.
	watchInterval = time.Second
	// watchTimeout bounds one read of them.
	watchTimeout = 10 * time.Second
	// MaxRetries is how many retries are read at once. Each takes a round trip.
	MaxRetries = 200
)

// Consumers that show whether a service runs: one of its processes always has room for a message of at least one of
// them.
var (
	pushConsumers = []topology.Consumer{topology.PushLive, topology.PushBulk, topology.PushCommand, topology.PushRetry}
	pullConsumers = []topology.Consumer{topology.PullStripe, topology.PullCommand}
)

// Reader reads the state of the other services, and remembers the latest. It is safe for concurrent use.
type Reader struct {
	mesh    *mesh.Mesh
	stores  *state.Stores
	account string
	logger  *slog.Logger
	// ledgerUnknown returns why the ledger cannot answer, "" if it can.
	ledgerUnknown func(context.Context) (string, error)
	// linksUnknown returns why it is not known what Stripe holds of adopted products, "" if it is known.
	linksUnknown func() string

	mu     sync.Mutex
	points capturePoints
	push   lastActivity
	pull   lastActivity
	lanes  convergence
	rates  rates
	// last is the latest answer about equality, for the metrics.
	last     *controlv1.Equality
	lastSeen time.Time
	// lastView is the latest view, whatever its age.
	lastView *View
	// retries are scheduled retries of push at lastSeen, at most MaxRetries.
	retries []*meshv1.Retry
	// waiting is used by Watch alone, without mu.
	waiting waitingRetries
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

// New returns a reader for an account. ledgerUnknown returns why the ledger may lack what was delivered to it, "" if it
// has everything that is acknowledged.
// linksUnknown returns why adopted products cannot be followed in Stripe, "" if they can.
func New(m *mesh.Mesh, account string, ledgerUnknown func(context.Context) (string, error),
	linksUnknown func() string, logger *slog.Logger,
) *Reader {
	return &Reader{
		mesh:          m,
		stores:        state.New(m),
		account:       account,
		ledgerUnknown: ledgerUnknown,
		linksUnknown:  linksUnknown,
		logger:        logger,
	}
}

// Confirm returns a view's answer about equality, after what it is about was read from the ledger. If an older copy was
// restored meanwhile, equality is unknown.
func (r *Reader) Confirm(ctx context.Context, v *View) (*controlv1.Equality, error) {
	why, err := r.ledgerUnknown(ctx)
	if err != nil || why == "" || v.LedgerUnknown != "" {
		return v.Equality, err
	}
	out := proto.CloneOf(v.Equality)
	out.AsOf, out.Unknown = nil, joinReasons(why, out.GetUnknown())
	return out, nil
}

// LedgerUnknown returns why the ledger lacks what was delivered to it, "" if it has everything. It is called after what
// the answer is about was read from the ledger.
func (r *Reader) LedgerUnknown(ctx context.Context) (string, error) { return r.ledgerUnknown(ctx) }

// View is the state of the other services at one moment.
type View struct {
	Equality  *controlv1.Equality
	Consumers []mesh.ConsumerStatus
	Paused    []*controlv1.PausedService
	// Halted is why Stripe refuses push's key. Empty if it does not.
	Halted string
	// LedgerUnknown is why the ledger lacks what was delivered to it. It is part of Equality.Unknown.
	LedgerUnknown string
	// CaptureUnknown is why it is not known what the catalog holds now, and StripeUnknown why it is not known what
	// Stripe holds. Both are empty if that is known. They are parts of Equality.Unknown.
	CaptureUnknown, StripeUnknown string
	// PushRuns reports whether a process of push asks for messages. A paused or halted push may not.
	PushRuns bool
	// end is the first sequence of CATALOG after those that ingestion's report covers.
	end uint64
}

// Read reads the evidence for an answer about equality. It reads ingestion's report before the consumers: if the
// ledger's consumer is done then, the ledger has what was captured. What is read from the ledger afterwards is at least
// of that time.
func (r *Reader) Read(ctx context.Context) (*View, error) {
	e := evidence{}
	report := &meshv1.CaptureReport{}
	revision, err := r.stores.Capture(r.account).GetAt(ctx, report)
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
	// The consumers were read before, so the ledger must have what they have acknowledged.
	if e.ledgerUnknown, err = r.ledgerUnknown(ctx); err != nil {
		return nil, err
	}
	e.linksUnknown = r.linksUnknown()
	e.poll = &meshv1.PollReport{}
	if _, e.polled, err = r.stores.Record(topology.KeyPoll, r.account).GetWithTime(ctx, e.poll); err != nil {
		return nil, err
	}
	if e.polled.IsZero() {
		e.poll = nil
	}
	if e.scan, err = r.LastScan(ctx); err != nil {
		return nil, err
	}
	e.scanUnread, err = r.isScanUnread(ctx, e.scan, statusOf(consumers, topology.ReconciliationObserved))
	if err != nil {
		return nil, err
	}
	if e.paused, err = r.paused(ctx); err != nil {
		return nil, err
	}
	if e.halted, err = r.stores.Halted(r.account).GetString(ctx); err != nil {
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
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.points.add(report, revision) {
		r.lanes.reset()
	}
	r.rates.add(e.now, consumers)
	e.ledger = r.points.before(waiting)
	e.push, e.pull = r.push.update(e.now, consumers, pushConsumers), r.pull.update(e.now, consumers, pullConsumers)
	r.lastView = &View{
		Equality:       e.equality(),
		Consumers:      consumers,
		Paused:         e.paused,
		Halted:         e.halted,
		LedgerUnknown:  e.ledgerUnknown,
		CaptureUnknown: e.captureUnknown(),
		StripeUnknown:  e.pullUnknown(),
		PushRuns:       e.push.inactive <= maxInactivity,
		end:            end,
	}
	return r.lastView, nil
}

// firstPending returns the sequence of the first message that a consumer has not processed, at most end. Later messages
// may have arrived after the consumers were read.
func (r *Reader) firstPending(ctx context.Context, c mesh.ConsumerStatus, end uint64) (uint64, error) {
	sequence, _, err := r.mesh.OldestMessage(ctx, c)
	return min(cmp.Or(sequence, end), end), err
}

// isScanUnread reports whether the ledger may lack something that the last finished scan found. The consumer of
// OBSERVED was read before the scan's report, so it may not have had what the scan found last. A later message may have
// replaced one of the scan's.
func (r *Reader) isScanUnread(ctx context.Context, scan *meshv1.ScanReport, c mesh.ConsumerStatus) (bool, error) {
	if c.AckFloor >= scan.GetObservedRevision() {
		return false, nil
	}
	next, _, err := r.mesh.NextMessage(ctx, c)
	return next != 0, err
}

// Watch reads the state of the other services every watchInterval, until ctx ends.
func (r *Reader) Watch(ctx context.Context) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for outage := (&mesh.Outage{}); ; {
		err := r.updateLanes(ctx)
		if ctx.Err() == nil && outage.ShouldLog(err) {
			r.logger.WarnContext(ctx, "could not read the state of the other services; retrying every second",
				"error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// updateLanes updates the times up to which the lanes are in Stripe.
func (r *Reader) updateLanes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	v, err := r.Read(ctx)
	if err != nil {
		return err
	}
	due := statusOf(v.Consumers, topology.PushRetry)
	b := backlog{oldest: map[string]uint64{}, due: due.Pending + due.InFlight, delivered: due.Delivered}
	for lane, c := range map[string]topology.Consumer{"live": topology.PushLive, "bulk": topology.PushBulk} {
		if b.oldest[lane], err = r.firstPending(ctx, statusOf(v.Consumers, c), v.end); err != nil {
			return err
		}
	}
	// The retries are read after the consumers, because push stores a retry before it acknowledges the message.
	if b.retries, b.more, err = r.readRetries(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lanes.update(r.points, b)
	r.last, r.lastSeen, r.retries = v.Equality, time.Now(), b.retries
	return nil
}

// LatestRetries returns retries of push that were scheduled at the latest read, at most MaxRetries. Retries that wait
// without a failure may be missing. ok is false if the read is too long ago.
func (r *Reader) LatestRetries() (retries []*meshv1.Retry, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retries, time.Since(r.lastSeen) <= maxInactivity
}

// Latest returns the latest answer about equality, nil if it is older than maxInactivity, and the times up to which the
// lanes are in Stripe.
func (r *Reader) Latest() (equality *controlv1.Equality, converged map[string]time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	converged = map[string]time.Time{}
	maps.Copy(converged, r.lanes.converged)
	if time.Since(r.lastSeen) > maxInactivity {
		return nil, converged
	}
	return r.last, converged
}

// Last returns the latest view that could be read, whatever its age. It is nil if there never was one.
func (r *Reader) Last() *View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lastView
}

// LastScan returns the report of the latest scan, nil if there was none.
func (r *Reader) LastScan(ctx context.Context) (*meshv1.ScanReport, error) {
	report := &meshv1.ScanReport{}
	ok, err := r.stores.Record(topology.KeyScan, r.account).Get(ctx, report)
	if err != nil || !ok {
		return nil, err
	}
	return report, nil
}

// paused returns the services that are paused.
func (r *Reader) paused(ctx context.Context) (out []*controlv1.PausedService, err error) {
	for _, service := range state.Pausable {
		pause, err := r.stores.Paused(ctx, service)
		if err != nil {
			return nil, err
		}
		if pause != nil {
			out = append(out, PausedService(service, pause))
		}
	}
	return out, nil
}

// PausedService returns the API's message about a pause.
func PausedService(service string, pause *meshv1.Pause) *controlv1.PausedService {
	return &controlv1.PausedService{
		Service: service,
		Since:   pause.GetSince(),
		Until:   pause.GetUntil(),
		Actor:   pause.GetActor(),
		Reason:  pause.GetReason(),
	}
}
