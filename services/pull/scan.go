package pull

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// scanners is how many pages are read at once: enough for Stripe's 25 a second at half a second each.
	scanners = 12
	// saveEvery is how often a running scan records how far it is, and busyWait how long a scan that is taken up again
	// waits for a sign that another process is still at it.
	saveEvery = time.Second
	busyWait  = 3 * time.Second
	// tailAfter is how long the listing must have taken for what was created meanwhile to be listed, too: events tell
	// of those objects as well.
	tailAfter = 60
)

// scan carries out an order to read everything.
func (p *puller) scan(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	s := &scan{puller: p, listed: newDifference(seed(msg.Body.GetId())), running: map[*span]bool{}}
	s.free.L = &s.mu
	switch err := s.begin(ctx, msg.Body); {
	case errors.Is(err, errBusy):
		return mesh.RetryIn(2*busyWait, nil)
	case errors.Is(err, errOver):
		return mesh.Ack()
	case err != nil:
		return mesh.Retry(err)
	}
	ctx, stop := context.WithCancelCause(budget.For(budget.InLane(ctx, budget.Bulk), budget.Scans))
	defer stop(nil)
	// A scan does not hold up the end of the service: it goes on where it was.
	defer context.AfterFunc(p.running, func() { stop(errStopped) })()
	err := s.run(ctx)
	switch {
	case err == nil:
		return mesh.Ack()
	case errors.Is(err, errTaken):
		p.logger.WarnContext(ctx, "another process has taken up the scan", "scan", msg.Body.GetId())
		return mesh.RetryIn(2*busyWait, nil)
	case errors.Is(err, errStopped):
		return mesh.RetryIn(time.Second, nil)
	case errors.Is(err, errAllowance):
		// Not again and again: the next scan is for when there are reads left.
		p.logger.ErrorContext(ctx, "scan given up", "scan", msg.Body.GetId(), "error", err)
		return mesh.Ack()
	case stripeapi.Classify(err).Action == stripeapi.Halt:
		p.logger.ErrorContext(ctx, "Stripe does not let pull scan; check STRIPE_API_KEY and its permissions",
			"error", err)
	}
	return mesh.Retry(err)
}

var (
	// errAllowance: the reads that Stripe allows are needed for what cannot wait.
	errAllowance = errors.New("scans stop at nine tenths of Stripe's read allowance")
	errBusy      = errors.New("another process is at the scan")
	errTaken     = errors.New("another process has taken up the scan")
	errOver      = errors.New("the scan is over")
	errStopped   = errors.New("the service ends")
)

// scan reads everything Stripe holds and corrects what is known. It needs the same memory for any number of objects,
// and records once a second from where it goes on if its process dies.
type scan struct {
	*puller
	cursor *mesh.Record
	// mostReads of single objects; 0 for any number.
	mostReads uint64

	mu sync.Mutex
	// free is signalled when a span waits for a lister, or the last one is done.
	free sync.Cond
	// report, and everything that state has of the scan.
	report   *meshv1.ScanReport
	listed   *difference
	waiting  []*span
	running  map[*span]bool
	idle     int
	began    int64
	tail     bool
	revision uint64
	end      uint64
	stored   uint64
	pace     pace

	bucketMu sync.Mutex
	bucketAt time.Time
	bucket   uint64
}

func seed(id string) uint64 { return (&difference{}).key("scan", id) }

// begin takes the scan up: from the start, or from where it was when it was interrupted.
func (s *scan) begin(ctx context.Context, order *meshv1.Command) error {
	s.cursor = s.mesh.Record(topology.KeyScanState, s.account)
	state := &meshv1.ScanState{}
	revision, err := s.cursor.GetAt(ctx, state)
	if err != nil {
		return err
	}
	if overtaken(order, state.GetReport()) {
		return errOver
	}
	if over(state.GetReport()) {
		if state.GetReport().GetId() == order.GetId() {
			return errOver
		}
	} else if revision != 0 {
		if err := pause(ctx, busyWait); err != nil {
			return err
		}
		now, err := s.cursor.GetAt(ctx, &meshv1.ScanState{})
		if err != nil {
			return err
		}
		if now != revision {
			return errBusy
		}
	}
	_, allowed, err := s.budget.Reads(ctx)
	if err != nil {
		return err
	}
	if allowed > 0 {
		// A scan is for lists; what they do not show is for several scans if it is much.
		s.mostReads = max(100, allowed/20)
	}
	s.stored = revision
	if state.GetReport().GetId() == order.GetId() {
		return s.resume(ctx, state)
	}
	s.report = &meshv1.ScanReport{
		Id: order.GetId(), Issuer: order.GetIssuer(), Reason: order.GetReason(), StartedAt: timestamppb.Now(),
		Phase: meshv1.ScanPhase_SCAN_PHASE_LISTING, Ranges: 1,
	}
	s.waiting = []*span{{}}
	last := &meshv1.ScanReport{}
	if _, err := s.mesh.Record(topology.KeyScan, s.account).Get(ctx, last); err != nil {
		return err
	}
	entries, err := s.mesh.Observed().Count(ctx, s.account)
	if err != nil {
		return err
	}
	s.report.Expected = max(entries, last.GetProducts()) + last.GetPrices()
	s.logger.InfoContext(ctx, "scan started", "scan", s.report.GetId(), "by", s.report.GetIssuer(),
		"reason", s.report.GetReason())
	return nil
}

// over says whether a scan will not go on.
func over(r *meshv1.ScanReport) bool { return r.GetFinishedAt() != nil }

// overtaken says whether an order is a scheduled one, and another scan began after it was given: that is as good. They
// pile up while pull is away, and each would cost the reads of a scan.
func overtaken(order *meshv1.Command, last *meshv1.ScanReport) bool {
	return order.GetIssuer() == topology.Reconciliation && order.GetId() != last.GetId() &&
		order.GetIssuedAt().AsTime().Before(last.GetStartedAt().AsTime())
}

func (s *scan) resume(ctx context.Context, state *meshv1.ScanState) (err error) {
	if s.listed, err = unmarshalDifference(state.GetListed()); err != nil {
		return err
	}
	s.report = state.GetReport()
	s.report.Resumed++
	s.report.Error = ""
	for _, r := range state.GetRanges() {
		s.waiting = append(s.waiting, spanOf(r))
	}
	s.began, s.tail, s.revision, s.end = state.GetBegan(), state.GetTail(), state.GetRevision(), state.GetEnd()
	s.logger.InfoContext(ctx, "scan goes on where it was", "scan", s.report.GetId(), "products", s.report.GetProducts(),
		"prices", s.report.GetPrices())
	return nil
}

// run carries the scan out, and records how it went.
func (s *scan) run(ctx context.Context) error {
	if err := errors.Join(s.save(ctx), s.allowed(ctx)); err != nil {
		return s.ended(ctx, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancelCause(ctx)
	g.Go(func() error { return s.record(ctx) })
	g.Go(func() error {
		defer done(errOver)
		for _, phase := range []func(context.Context) error{s.list, s.compare, s.confirm} {
			if err := phase(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	err := g.Wait()
	if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errOver) {
		err = context.Cause(ctx)
	}
	return s.ended(ctx, err)
}

// record saves the scan every second, until it is over.
func (s *scan) record(ctx context.Context) error {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := errors.Join(s.save(ctx), s.allowed(ctx)); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// ended records how the scan ended.
func (s *scan) ended(ctx context.Context, err error) error {
	// Also while the service ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	switch {
	case errors.Is(err, errTaken):
		return err
	case err == nil:
		s.report.FinishedAt = timestamppb.Now()
		s.logger.InfoContext(ctx, "scan finished", "scan", s.report.GetId(), "products", s.report.GetProducts(),
			"prices", s.report.GetPrices(),
			"corrected", s.report.GetCorrected(), "missing", s.report.GetMissing(),
			"missing_prices", s.report.GetMissingPrices(),
			"unconfirmed", s.report.GetUnconfirmed(), "failed", s.report.GetFailed(),
			"list_calls", s.report.GetListCalls(), "reads", s.report.GetReads(),
			"took", s.report.GetFinishedAt().AsTime().Sub(s.report.GetStartedAt().AsTime()))
	case !errors.Is(err, errStopped):
		s.report.Error = err.Error()
	}
	return errors.Join(err, s.save(ctx))
}

// allowed says whether the scan may go on reading.
func (s *scan) allowed(ctx context.Context) error {
	made, allowed, err := s.budget.Reads(ctx)
	if err != nil {
		return err
	}
	if allowed > 0 && made >= allowed/10*9 {
		return fmt.Errorf(
			"%d of %d reads of 30 days are used up: %w; if Stripe allows the account more (500 for each of its transactions), set STRIPE_READ_ALLOWANCE",
			made, allowed, errAllowance)
	}
	return nil
}

// mayRead takes one of the reads of single objects that the scan may make.
func (s *scan) mayRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mostReads > 0 && s.report.GetReads() >= s.mostReads {
		return false
	}
	s.report.Reads++
	return true
}

func (s *scan) count(change func(*meshv1.ScanReport)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.report)
}

// namedFailures is how many objects that fail the log names.
const namedFailures = 100

// fail counts an object that could not be taken into account: one must not end the scan of all.
func (s *scan) fail(ctx context.Context, object string, err error) {
	n := uint64(0)
	s.count(func(r *meshv1.ScanReport) { r.Failed++; n = r.GetFailed() })
	if n <= namedFailures {
		s.logger.WarnContext(ctx, "an object could not be taken into account; the scan goes on", "object", object,
			"error", err)
	}
}

// save records the report, and from where the scan goes on; errTaken if another process does by now.
func (s *scan) save(ctx context.Context) error {
	s.mu.Lock()
	state := s.state()
	s.mu.Unlock()
	revision, err := s.cursor.CompareAndPut(ctx, state, s.stored)
	if errors.Is(err, mesh.ErrConflict) {
		return errTaken
	}
	if err != nil {
		return err
	}
	s.stored = revision
	return s.mesh.Record(topology.KeyScan, s.account).Put(ctx, state.GetReport())
}

func (s *scan) state() *meshv1.ScanState {
	s.report.At = timestamppb.Now()
	s.pace.report(s.report)
	out := &meshv1.ScanState{Report: proto.CloneOf(s.report)}
	if over(s.report) {
		return out
	}
	for _, x := range s.waiting {
		out.Ranges = append(out.Ranges, x.state())
	}
	for x := range s.running {
		out.Ranges = append(out.Ranges, x.state())
	}
	out.Listed, out.Began, out.Tail, out.Revision, out.End = s.listed.marshal(), s.began, s.tail, s.revision, s.end
	return out
}
