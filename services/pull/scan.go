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
	// scanners is how many pages are read at once. It is enough for Stripe's 25 calls a second at half a second each.
	scanners = 12
	// saveEvery is how often a running scan records its position. busyWait is how long a process that resumes a scan
	// waits for a sign that another process still runs it.
	saveEvery = time.Second
	busyWait  = 3 * time.Second
	// tailAfter is how many seconds a listing must have taken before objects created meanwhile are listed too. Events
	// also report those objects.
	tailAfter = 60
)

// scan handles a command to read everything.
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
	// A scan does not delay the end of the service: it resumes at its recorded position.
	defer context.AfterFunc(p.running, func() { stop(errStopped) })()
	err := s.run(ctx)
	switch {
	case err == nil:
		return mesh.Ack()
	case errors.Is(err, errTaken):
		p.logger.WarnContext(ctx, "another process has taken over the scan", "scan", msg.Body.GetId())
		return mesh.RetryIn(2*busyWait, nil)
	case errors.Is(err, errStopped):
		return mesh.RetryIn(time.Second, nil)
	case errors.Is(err, errAllowance):
		// Not retried: a later scan runs when there are reads left.
		p.logger.ErrorContext(ctx, "scan stopped: the read allowance is nearly used up", "scan", msg.Body.GetId(),
			"error", err)
		return mesh.Ack()
	case stripeapi.Classify(err).Action == stripeapi.Halt:
		p.logger.ErrorContext(ctx, "Stripe refuses the scan; check STRIPE_API_KEY and its permissions",
			"error", err)
	}
	return mesh.Retry(err)
}

var (
	// errAllowance means that the remaining reads are needed for reads that cannot wait.
	errAllowance = errors.New("scans stop at nine tenths of Stripe's read allowance")
	errBusy      = errors.New("another process runs the scan")
	errTaken     = errors.New("another process has taken over the scan")
	errOver      = errors.New("the scan has finished")
	errStopped   = errors.New("the service is stopping")
)

// scan reads everything that Stripe holds and corrects the observed states. It needs the same memory for any number of
// objects. Once a second it records the position from which it resumes if its process dies.
type scan struct {
	*puller
	cursor *mesh.Record
	// mostReads is the maximum number of reads of single objects; 0 means no maximum.
	mostReads uint64

	mu sync.Mutex
	// free is signaled when a range waits for a lister, or when the last one is done.
	free sync.Cond
	// report and the following fields are the recorded state of the scan.
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

// begin starts the scan, or resumes an interrupted one.
func (s *scan) begin(ctx context.Context, command *meshv1.Command) error {
	s.cursor = s.mesh.Record("scan-state." + s.account)
	state := &meshv1.ScanState{}
	revision, err := s.cursor.GetAt(ctx, state)
	if err != nil {
		return err
	}
	if overtaken(command, state.GetReport()) {
		return errOver
	}
	if over(state.GetReport()) {
		if state.GetReport().GetId() == command.GetId() {
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
		// A scan mainly reads lists. Many unlisted objects are read by several scans.
		s.mostReads = max(100, allowed/20)
	}
	s.stored = revision
	if state.GetReport().GetId() == command.GetId() {
		return s.resume(ctx, state)
	}
	s.report = &meshv1.ScanReport{
		Id: command.GetId(), Issuer: command.GetIssuer(), Reason: command.GetReason(), StartedAt: timestamppb.Now(),
		Phase: meshv1.ScanPhase_SCAN_PHASE_LISTING, Ranges: 1,
	}
	s.waiting = []*span{{}}
	last := &meshv1.ScanReport{}
	if _, err := s.mesh.Record("scan."+s.account).Get(ctx, last); err != nil {
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

// over reports whether a scan has finished.
func over(r *meshv1.ScanReport) bool { return r.GetFinishedAt() != nil }

// overtaken reports whether a command is a scheduled one and another scan started after it was issued. The other scan
// does as well. Scheduled commands pile up while pull is down, and each would cost the reads of a scan.
func overtaken(command *meshv1.Command, last *meshv1.ScanReport) bool {
	return command.GetIssuer() == topology.Reconciliation && command.GetId() != last.GetId() &&
		command.GetIssuedAt().AsTime().Before(last.GetStartedAt().AsTime())
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
	s.logger.InfoContext(ctx, "scan resumed", "scan", s.report.GetId(), "products", s.report.GetProducts(),
		"prices", s.report.GetPrices())
	return nil
}

// run runs the scan's phases and records the result.
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

// record saves the scan every second until it ends.
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

// ended records the result of the scan.
func (s *scan) ended(ctx context.Context, err error) error {
	// Also while the service stops.
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

// allowed returns errAllowance if the scan may read no more.
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

// mayRead counts a read of a single object. It reports whether the scan may make it.
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

// namedFailures is the maximum number of failed objects that the log names.
const namedFailures = 100

// fail counts an object that could not be processed. One object must not end the scan of all.
func (s *scan) fail(ctx context.Context, object string, err error) {
	n := uint64(0)
	s.count(func(r *meshv1.ScanReport) { r.Failed++; n = r.GetFailed() })
	if n <= namedFailures {
		s.logger.WarnContext(ctx, "could not process an object; the scan continues", "object", object,
			"error", err)
	}
}

// save records the report and the position. It returns errTaken if another process has taken over the scan.
func (s *scan) save(ctx context.Context) error {
	s.mu.Lock()
	state := s.state()
	s.mu.Unlock()
	revision, err := s.cursor.CompareAndPut(ctx, state, s.stored)
	if errors.Is(err, mesh.ErrMoved) {
		return errTaken
	}
	if err != nil {
		return err
	}
	s.stored = revision
	return s.mesh.Record("scan."+s.account).Put(ctx, state.GetReport())
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
