package pull

import (
	"cmp"
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
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/wait"
	"github.com/driftless-sync/driftless/services/pull/internal/idsketch"
)

const (
	// maxListers is how many pages are read at once. It is enough for Stripe's 25 calls a second at half a second each.
	maxListers = 12
	// saveInterval is how often a running scan records its position. takeoverDelay is how long a process that resumes a
	// scan waits for a sign that another process still runs it.
	saveInterval  = time.Second
	saveTimeout   = 5 * time.Second
	takeoverDelay = 3 * time.Second
	// minTailSeconds is how many seconds a listing must have taken before objects created meanwhile are listed too.
	// Events also report those objects.
	minTailSeconds = 60
)

// scan handles a command to read everything.
func (p *puller) scan(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	s := &scan{
		puller: p, listed: idsketch.New(seed(msg.Body.GetId())), running: map[*timeRange]bool{},
		failed: map[string]bool{},
	}
	s.free.L = &s.mu
	switch err := s.begin(ctx, msg.Body); {
	case errors.Is(err, errScanBusy):
		return mesh.RetryIn(2*takeoverDelay, nil)
	case errors.Is(err, errFinished):
		return mesh.Ack()
	case err != nil:
		return mesh.Retry(err)
	}
	p.scanning.Add(1)
	defer p.scanning.Add(-1)
	ctx, stop := context.WithCancelCause(budget.For(budget.InLane(ctx, budget.Bulk), budget.Scans))
	defer stop(nil)
	// A scan does not delay the end of the service: it resumes at its recorded position.
	defer context.AfterFunc(p.running, func() { stop(errStopped) })()
	err := s.run(ctx)
	switch {
	case err == nil:
		return mesh.Ack()
	case errors.Is(err, errTakenOver):
		p.logger.WarnContext(ctx, "another process has taken over the scan", "scan", msg.Body.GetId())
		return mesh.RetryIn(2*takeoverDelay, nil)
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
	errScanBusy  = errors.New("another process runs the scan")
	errTakenOver = errors.New("another process has taken over the scan")
	errFinished  = errors.New("the scan has finished")
	errStopped   = errors.New("the service is stopping")
)

// scan reads everything that Stripe holds and corrects the observed states. It needs the same memory for any number of
// objects. Once a second it records the position from which it resumes if its process dies.
type scan struct {
	*puller
	// cursor has the recorded state, and result the report for others. Only the process that runs the scan writes them.
	cursor, result *state.Record
	// maxReads is the maximum number of reads of single objects; 0 means no maximum.
	maxReads uint64

	mu sync.Mutex
	// free is signaled when a range waits for a lister, or when the last one is done.
	free sync.Cond
	// report and the following fields up to end are the state of the scan that is recorded.
	report *meshv1.ScanReport
	// listed has the ids that Stripe's lists show, without the observed ids that were compared with them.
	listed *idsketch.Sketch
	// waiting and running are the ranges that are not listed to their end.
	waiting []*timeRange
	running map[*timeRange]bool
	// began is the second in which the first page was read, 0 before. Objects created before it are in the lists.
	began int64
	// tail reports whether the range of objects created since then was added.
	tail bool
	// revision is the next revision of OBSERVED to compare or to confirm, and end the last when the phase began.
	revision, end uint64
	// missing has the keys of unlisted objects that are not read yet.
	missing map[uint64]bool
	// failed has the products of the catalog with objects that could not be processed, and those whose observed state
	// cannot be decoded.
	failed map[string]bool
	// idle is the number of listers that wait for a range.
	idle int
	// stored is the revision of the recorded state, and reported that of the report.
	stored, reported uint64
	rate             scanRate

	bucketMu       sync.Mutex
	bucketReadAt   time.Time
	bucketRevision uint64
}

func seed(id string) uint64 { return (&idsketch.Sketch{}).Key("scan", id) }

// begin starts the scan, or resumes an interrupted one.
func (s *scan) begin(ctx context.Context, command *meshv1.Command) error {
	s.cursor = s.stores.Record(topology.KeyScanState, s.account)
	s.result = s.stores.Record(topology.KeyScan, s.account)
	state := &meshv1.ScanState{}
	revision, err := s.cursor.GetAt(ctx, state)
	if err != nil {
		return err
	}
	if isSupersededBy(command, state.GetReport()) {
		return cmp.Or(s.replaceLostScan(ctx, command.GetId(), state.GetReport().GetId()), errFinished)
	}
	if isFinished(state.GetReport()) {
		if state.GetReport().GetId() == command.GetId() {
			// A process may have died before it wrote that the scan has finished.
			return cmp.Or(s.result.Put(ctx, state.GetReport()), errFinished)
		}
	} else if revision != 0 {
		if err := wait.For(ctx, takeoverDelay); err != nil {
			return err
		}
		now, err := s.cursor.GetAt(ctx, &meshv1.ScanState{})
		if err != nil {
			return err
		}
		if now != revision {
			return errScanBusy
		}
	}
	_, allowed, err := s.budget.Reads(ctx)
	if err != nil {
		return err
	}
	if allowed > 0 {
		// A scan mainly reads lists. Many unlisted objects are read by several scans.
		s.maxReads = max(100, allowed/20)
	}
	last := &meshv1.ScanReport{}
	s.stored = revision
	if s.reported, err = s.result.GetAt(ctx, last); err != nil {
		return err
	}
	if state.GetReport().GetId() == command.GetId() {
		return s.resume(ctx, state)
	}
	s.report = &meshv1.ScanReport{
		Id: command.GetId(), Issuer: command.GetIssuer(), Reason: command.GetReason(), StartedAt: timestamppb.Now(),
		Phase: meshv1.ScanPhase_SCAN_PHASE_LISTING, Ranges: 1,
	}
	s.waiting = []*timeRange{{}}
	entries, err := s.stores.Observed().Count(ctx, s.account)
	if err != nil {
		return err
	}
	s.report.Expected = max(entries, last.GetProducts()) + last.GetPrices()
	// The ledger may not have read yet what the last scan found.
	s.report.ObservedRevision = last.GetObservedRevision()
	s.logger.InfoContext(ctx, "scan started", "scan", s.report.GetId(), "by", s.report.GetIssuer(),
		"reason", s.report.GetReason())
	return nil
}

// isFinished reports whether a scan has finished.
func isFinished(r *meshv1.ScanReport) bool { return r.GetFinishedAt() != nil }

// isSupersededBy reports whether a service issued a command and another scan started after that. The other scan does as
// well. Such commands pile up while pull is down, and each would cost the reads of a scan.
func isSupersededBy(command *meshv1.Command, last *meshv1.ScanReport) bool {
	isOperators := command.GetIssuer() != topology.Reconciliation && command.GetIssuer() != topology.Pull
	return !isOperators && command.GetId() != last.GetId() &&
		command.GetIssuedAt().AsTime().Before(last.GetStartedAt().AsTime())
}

func (s *scan) resume(ctx context.Context, state *meshv1.ScanState) (err error) {
	if s.listed, err = idsketch.Unmarshal(state.GetListed()); err != nil {
		return err
	}
	s.report = state.GetReport()
	s.report.Resumed++
	s.report.Error = ""
	for _, r := range state.GetRanges() {
		s.waiting = append(s.waiting, newTimeRange(r))
	}
	s.began, s.tail, s.revision, s.end = state.GetBegan(), state.GetTail(), state.GetRevision(), state.GetEnd()
	s.logger.InfoContext(ctx, "scan resumed", "scan", s.report.GetId(), "products", s.report.GetProducts(),
		"prices", s.report.GetPrices())
	return nil
}

// run runs the scan's phases and records the result.
func (s *scan) run(ctx context.Context) error {
	if err := errors.Join(s.save(ctx), s.checkAllowance(ctx)); err != nil {
		return s.finish(ctx, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancelCause(ctx)
	g.Go(func() error { return s.saveRegularly(ctx) })
	g.Go(func() error {
		defer done(errFinished)
		for _, phase := range []func(context.Context) error{s.list, s.compare, s.confirmMissing} {
			if err := phase(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	err := g.Wait()
	if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errFinished) {
		err = context.Cause(ctx)
	}
	return s.finish(ctx, err)
}

// saveRegularly saves the scan every second until it ends.
func (s *scan) saveRegularly(ctx context.Context) error {
	ticker := time.NewTicker(saveInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		// A write whose answer is not awaited would look like that of another process.
		saving, cancel := context.WithCancel(context.WithoutCancel(ctx))
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(saveTimeout, cancel) })
		err := errors.Join(s.save(saving), s.checkAllowance(saving))
		stop()
		cancel()
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// finish records the result of the scan.
func (s *scan) finish(ctx context.Context, err error) error {
	// Also while the service stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	switch {
	case errors.Is(err, errTakenOver):
		return err
	case err == nil:
		if s.report.ObservedRevision, err = s.stores.Observed().Revision(ctx); err != nil {
			s.report.Error = err.Error()
			break
		}
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
	if err := errors.Join(err, s.save(ctx)); err != nil || !isFinished(s.report) {
		return err
	}
	if err := s.forgetLostEvents(ctx, s.report); err != nil {
		// The next poll does it as well.
		s.logger.WarnContext(ctx, "could not record that the scan has read what lost events said", "error", err)
	}
	return nil
}

// checkAllowance returns errAllowance if the scan may read no more.
func (s *scan) checkAllowance(ctx context.Context) error {
	made, allowed, err := s.budget.Reads(ctx)
	if err != nil {
		return err
	}
	if allowed > 0 && made >= budget.ScansStopAt(allowed) {
		return fmt.Errorf(
			"%d of %d reads of 30 days are used up: %w; if Stripe allows the account more (500 for each of its "+
				"transactions), set STRIPE_READ_ALLOWANCE",
			made, allowed, errAllowance)
	}
	return nil
}

// reserveRead counts a read of a single object. It reports whether the scan may make it.
func (s *scan) reserveRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.maxReads > 0 && s.report.GetReads() >= s.maxReads {
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

// countUnconfirmed counts an object that could not be read now. What Stripe holds is not known until another scan has
// read it.
func (s *scan) countUnconfirmed(ctx context.Context, object string, err error) {
	n := uint64(0)
	s.count(func(r *meshv1.ScanReport) { r.Unconfirmed++; n = r.GetUnconfirmed() })
	if n <= maxNamedFailures {
		s.logger.WarnContext(ctx, "could not read an object now; the scan continues without it", "object", object,
			"error", err)
	}
}

// maxNamedFailures is the maximum number of failed objects that the log names, and of unconfirmed ones.
const maxNamedFailures = 100

// fail counts an object that could not be processed. One object must not end the scan of all. If it belongs to a
// product of the catalog, that gets a dead letter, one in each scan. The error is about NATS.
func (s *scan) fail(ctx context.Context, ref productRef, object, reason string, failure error) error {
	n := uint64(0)
	s.count(func(r *meshv1.ScanReport) { r.Failed++; n = r.GetFailed() })
	if n <= maxNamedFailures {
		s.logger.WarnContext(ctx, "could not process an object; the scan continues", "object", object,
			"error", failure)
	}
	if ref.stripeID == "" {
		return nil
	}
	known, _, err := ref.get(ctx)
	switch {
	case errors.Is(err, state.ErrUndecodable):
		return s.failEntry(ctx, ref.product, err)
	case err != nil:
		return err
	case ref.verify(known) != nil, !catalog.IsManaged(known), !s.isFirstFailure(ref.product):
		return nil //nolint:nilerr // a product of others differs from nothing
	}
	return s.reportDead(ctx, ref.product, reason, fmt.Errorf("scan of Stripe, object %s: %w", object, failure))
}

// failEntry counts a product whose observed state cannot be decoded, once. It gets a dead letter, because it may be a
// product of the catalog. The error is about NATS.
func (s *scan) failEntry(ctx context.Context, product string, failure error) error {
	product = cmp.Or(product, "unknown")
	if !s.isFirstFailure(product) {
		return nil
	}
	s.count(func(r *meshv1.ScanReport) { r.Failed++ })
	return s.reportDead(ctx, product, topology.ReasonUndecodable, fmt.Errorf("scan of Stripe: %w", failure))
}

// reportDead makes the dead letter of a product.
func (s *scan) reportDead(ctx context.Context, product, reason string, failure error) error {
	letter := s.deadLetter(product, reason, failure)
	letter.Service, letter.Attempts = topology.Pull, 1
	// A resumed scan may meet the product again.
	letter.Id = "scan:" + s.report.GetId() + ":" + product
	return s.mesh.DeadLetter(ctx, letter)
}

// isFirstFailure reports whether nothing else of a product has failed since the scan began or resumed.
func (s *scan) isFirstFailure(product string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed[product] {
		return false
	}
	s.failed[product] = true
	return true
}

// save records the report and the position. It returns errTakenOver if another process has taken over the scan.
func (s *scan) save(ctx context.Context) error {
	s.mu.Lock()
	position := s.state()
	s.mu.Unlock()
	revision, err := s.cursor.CompareAndPut(ctx, position, s.stored)
	if errors.Is(err, state.ErrConflict) {
		return errTakenOver
	}
	if err != nil {
		return err
	}
	s.stored = revision
	// A process that was suspended here does not hide what another one has reported since.
	revision, err = s.result.CompareAndPut(ctx, position.GetReport(), s.reported)
	if errors.Is(err, state.ErrConflict) {
		return errTakenOver
	}
	if err != nil {
		return err
	}
	s.reported = revision
	return nil
}

func (s *scan) state() *meshv1.ScanState {
	s.report.At = timestamppb.Now()
	s.rate.report(s.report)
	out := &meshv1.ScanState{Report: proto.CloneOf(s.report)}
	if isFinished(s.report) {
		return out
	}
	for _, x := range s.waiting {
		out.Ranges = append(out.Ranges, x.state())
	}
	for x := range s.running {
		out.Ranges = append(out.Ranges, x.state())
	}
	out.Listed, out.Began, out.Tail, out.Revision, out.End = s.listed.Marshal(), s.began, s.tail, s.revision, s.end
	return out
}
