package ingestion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
)

// reportInterval is the time between two reports, and between two checks of the schema.
const reportInterval = time.Second

// maxRequestedComparisons is the maximum number of requested comparisons that the report keeps.
const maxRequestedComparisons = 16

// reporter writes the report of the capture to CURSOR under capture.<account>. Safe for concurrent use.
type reporter struct {
	mesh    *mesh.Mesh
	stores  *state.Stores
	account string
	// schemaCheck triggers a check of the schema.
	schemaCheck chan struct{}

	mu      sync.Mutex
	current *meshv1.CaptureReport
	// isLoaded reports whether current includes the report of the process before.
	isLoaded bool
	// writeMu is locked while the report is stored, so that an older report never replaces a later one.
	writeMu sync.Mutex
	// wroteAt is when this process stored the report last.
	wroteAt time.Time
	// problem is why nothing is captured. waiting is what the start waits for.
	problem, waiting string
}

func newReporter(m *mesh.Mesh, account string) *reporter {
	return &reporter{
		mesh:        m,
		stores:      state.New(m),
		account:     account,
		schemaCheck: make(chan struct{}, 1),
		current:     &meshv1.CaptureReport{},
	}
}

// checkSchemaNow triggers a check of the schema without waiting for the interval.
func (r *reporter) checkSchemaNow() {
	select {
	case r.schemaCheck <- struct{}{}:
	default:
	}
}

func (r *reporter) setProblem(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem, r.waiting = err.Error(), ""
}

func (r *reporter) clearProblem() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem, r.waiting = "", ""
}

// setWaiting sets what the start waits for, empty for nothing.
func (r *reporter) setWaiting(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = why
}

// stopReason returns why nothing is captured, empty if no reason is known.
func (r *reporter) stopReason() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != "" {
		return r.waiting
	}
	return r.problem
}

// load reads the report of the ingestion before this one.
func (r *reporter) load(ctx context.Context) error {
	before := &meshv1.CaptureReport{}
	if _, err := r.stores.Capture(r.account).Get(ctx, before); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.isLoaded || before.GetAt().AsTime().After(r.current.GetAt().AsTime()) {
		r.current, r.isLoaded = before, true
	}
	return nil
}

func (r *reporter) hasCompared() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current.GetCompared() != nil
}

// comparedAt returns when the last complete comparison started, the zero time if there was none.
func (r *reporter) comparedAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.current.GetCompared().GetStartedAt(); at != nil {
		return at.AsTime()
	}
	return time.Time{}
}

// comparisonStartedAt returns when the interrupted comparison began. If that is not known, it returns when the last
// complete one began. It is the zero time if neither is known.
func (r *reporter) comparisonStartedAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range []*meshv1.TableComparison{r.current.GetRunning(), r.current.GetCompared()} {
		if c.GetStartedAt() != nil && (c.GetId() == "" || c.GetFinishedAt() != nil) {
			return c.GetStartedAt().AsTime()
		}
	}
	return time.Time{}
}

// resumePoint returns where an interrupted comparison with the same reason continues, and when it began. It is empty if
// there is none.
func (r *reporter) resumePoint(reason string) (after string, startedAt time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	running := r.current.GetRunning()
	if running.GetAfter() == "" || running.GetReason() != reason || running.GetId() != "" ||
		running.GetFinishedAt() != nil {
		return "", time.Time{}
	}
	return running.GetAfter(), running.GetStartedAt().AsTime()
}

// outstanding returns the outstanding reread commands.
func (r *reporter) outstanding() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.current.GetOutstanding())
}

// clearOutstanding drops the outstanding commands, and reports whether there were any.
func (r *reporter) clearOutstanding() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	outstanding := len(r.current.GetOutstanding()) > 0
	r.current.Outstanding = nil
	return outstanding
}

// setRunning reports a running comparison.
func (r *reporter) setRunning(c *meshv1.TableComparison) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.Running = proto.CloneOf(c)
}

// finishComparison reports a comparison of the whole catalog that ended. It also read the products of the outstanding
// commands in read, which existed before it began.
func (r *reporter) finishComparison(ctx context.Context, c *meshv1.TableComparison, read []string, failed error) {
	now, err := r.mesh.Clock().Now(ctx)
	if err != nil {
		now = time.Now()
	}
	done := proto.CloneOf(c)
	done.FinishedAt = timestamppb.New(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if failed != nil {
		// An interrupted comparison continues later. A requested one is repeated by its command.
		return
	}
	done.Error, done.After = "", ""
	r.current.Running, r.current.Compared = nil, done
	r.current.Outstanding = slices.DeleteFunc(r.current.GetOutstanding(),
		func(o string) bool { return slices.Contains(read, o) })
	if done.GetId() != "" {
		r.keepRequested(done)
	}
}

// finishNamed reports a comparison of named products.
func (r *reporter) finishNamed(ctx context.Context, c *meshv1.TableComparison) error {
	now, err := r.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	done := proto.CloneOf(c)
	done.FinishedAt = timestamppb.New(now)
	r.mu.Lock()
	r.keepRequested(done)
	r.mu.Unlock()
	return r.write(ctx)
}

func (r *reporter) keepRequested(c *meshv1.TableComparison) {
	asked := append(r.current.GetAsked(), c)
	r.current.Asked = asked[max(len(asked)-maxRequestedComparisons, 0):]
}

// addOutstanding adds an outstanding command, whose products are not captured until it is carried out. It returns once
// that is stored.
func (r *reporter) addOutstanding(ctx context.Context, id string) error {
	r.mu.Lock()
	if !slices.Contains(r.current.GetOutstanding(), id) {
		r.current.Outstanding = append(r.current.GetOutstanding(), id)
	}
	r.mu.Unlock()
	return r.write(ctx)
}

// removeOutstanding removes an outstanding command that was carried out.
func (r *reporter) removeOutstanding(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.Outstanding = slices.DeleteFunc(r.current.GetOutstanding(), func(o string) bool { return o == id })
}

// storedOutstanding returns the number of outstanding commands in the stored report, whichever replica wrote it.
func (r *reporter) storedOutstanding(ctx context.Context) (int, error) {
	stored := &meshv1.CaptureReport{}
	_, err := r.stores.Capture(r.account).Get(ctx, stored)
	return len(stored.GetOutstanding()), err
}

// write stores the report.
func (r *reporter) write(ctx context.Context) error {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	now, err := r.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.current.At = timestamppb.New(now)
	r.wroteAt = now
	report := proto.CloneOf(r.current)
	r.mu.Unlock()
	return r.stores.Capture(r.account).Put(ctx, report)
}

// othersReport reports whether another replica has reported lately. A replica that cannot capture leaves the report to
// one that can.
func (r *reporter) othersReport(ctx context.Context) bool {
	now, err := r.mesh.Clock().Now(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.current.GetAt().AsTime()
	return err == nil && r.current.GetAt() != nil && !at.Equal(r.wroteAt) && now.Sub(at) < 3*reportInterval
}

// reportStopped reports why ingestion does not start.
func (r *reporter) reportStopped(ctx context.Context, why error) {
	if r.load(ctx) != nil || r.othersReport(ctx) {
		return
	}
	r.mu.Lock()
	r.current.State, r.current.Reason = meshv1.CaptureState_CAPTURE_STATE_STOPPED,
		"ingestion does not start: "+why.Error()
	r.mu.Unlock()
	_ = r.write(ctx)
}

// runReports writes the report until ctx ends, even while ingestion is paused. A standby leaves the report to the
// leader.
func (in *ingester) runReports(ctx context.Context) error {
	defer metrics.Observe(in.report.observeMetrics, metrics.CapturedTimestamp, metrics.TablesComparedTimestamp)()
	h := &horizon{}
	ticker := time.NewTicker(reportInterval)
	defer ticker.Stop()
	outage := &mesh.Outage{}
	for {
		err := in.reportOnce(ctx, h)
		if ctx.Err() == nil && outage.ShouldLog(err) && !errors.Is(err, errSchema) {
			in.logger.WarnContext(ctx, "could not write the capture report", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-in.report.schemaCheck:
		case <-ticker.C:
		}
	}
}

func (in *ingester) reportOnce(ctx context.Context, h *horizon) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	t := in.turns.current()
	state, reason := meshv1.CaptureState_CAPTURE_STATE_STARTING, in.report.stopReason()
	switch {
	case in.gate.Paused():
		state, reason = meshv1.CaptureState_CAPTURE_STATE_PAUSED, "an operator has paused ingestion"
		h.reset()
	case t != nil:
		return in.reportTurn(ctx, t, h)
	case in.turns.isStandby.Load():
		return nil
	case reason != "" && !in.report.isWaiting():
		state = meshv1.CaptureState_CAPTURE_STATE_STOPPED
	}
	if err := in.report.load(ctx); err != nil {
		return err
	}
	if state != meshv1.CaptureState_CAPTURE_STATE_PAUSED && in.report.othersReport(ctx) {
		return nil
	}
	in.report.mu.Lock()
	in.report.current.State, in.report.current.Reason = state, reason
	in.report.mu.Unlock()
	return in.report.write(ctx)
}

func (r *reporter) isWaiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting != ""
}

// reportTurn reports how far the capture is, and checks whether the schema or CATALOG changed.
func (in *ingester) reportTurn(ctx context.Context, t *turn, h *horizon) error {
	if h.turn != t {
		*h = horizon{turn: t}
	}
	// The order matters. Everything that was committed before now is in the log below its end, and the schema did not
	// change until after that.
	now, err := in.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	end, err := t.schema.source.End(ctx, in.pool)
	if err != nil {
		return err
	}
	if err := in.verifySchema(ctx, t); err != nil {
		return err
	}
	writes, err := t.schema.source.CountWrites(ctx, in.pool, t.schema.reads)
	if err != nil {
		return err
	}
	in.snapshot.setWriteCount(writes)
	h.addMoment(now, endOfLog(end))
	captured := t.reader.Confirmed()
	// This comes after the position was read. Uncertainty is stored before its position is confirmed, and CATALOG has
	// everything certain.
	state, err := in.verifyCatalog(ctx)
	if err != nil {
		return err
	}
	r, late := in.updateReport(h, now, captured, state)
	if late {
		why, err := t.schema.source.LockWait(ctx, in.pool)
		if err == nil && why == "" {
			why = fmt.Sprintf("%d bytes of the write-ahead log are not captured yet", max(end, captured)-captured)
		}
		in.report.mu.Lock()
		r.Reason = why
		in.report.mu.Unlock()
	}
	return in.report.write(ctx)
}

// updateReport updates and returns the report of the leader. It also reports whether capture reads the log but is late.
func (in *ingester) updateReport(h *horizon, now time.Time, captured pglogrepl.LSN,
	state state.CatalogState,
) (*meshv1.CaptureReport, bool) {
	done := in.snapshot.isDone()
	in.report.mu.Lock()
	defer in.report.mu.Unlock()
	r := in.report.current
	r.CatalogCreated, r.CatalogLastSequence, r.CatalogMessages = timestamppb.New(state.Created), state.LastSeq,
		state.Messages
	r.State, r.Reason, r.Version = meshv1.CaptureState_CAPTURE_STATE_READING, "", in.captured.version()
	r.UnwatchedTables = in.currentSchema().unwatched
	failure := in.snapshot.lastFailure()
	switch outstanding := len(r.GetOutstanding()); {
	case failure != "" && !done:
		r.State, r.Reason = meshv1.CaptureState_CAPTURE_STATE_STOPPED, failure
	case !done:
		reason, _ := in.snapshot.pending()
		r.State, r.Reason = meshv1.CaptureState_CAPTURE_STATE_READING_TABLES,
			"all tables are being compared: "+reason
	case outstanding > 0:
		r.State, r.Reason = meshv1.CaptureState_CAPTURE_STATE_READING_TABLES,
			"products that a change of shared rows concerns are being read"
	default:
		if at := h.advance(captured); !at.IsZero() {
			r.CapturedUpTo, r.CatalogSequence = timestamppb.New(at), state.LastSeq
		}
		// The log is captured, but a comparison that nothing waits for failed.
		r.Reason = failure
	}
	behind := now.Sub(r.GetCapturedUpTo().AsTime())
	return r, r.GetState() == meshv1.CaptureState_CAPTURE_STATE_READING && behind > 2*reportInterval
}

// observeMetrics reports the gauges of the capture, on the leader.
func (r *reporter) observeMetrics(_ context.Context, report metrics.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.current.GetCapturedUpTo(); at != nil && r.isLoaded {
		report(metrics.CapturedTimestamp, float64(at.AsTime().UnixMilli())/1000)
	}
	if at := r.current.GetCompared().GetStartedAt(); at != nil && r.isLoaded {
		report(metrics.TablesComparedTimestamp, float64(at.AsTime().UnixMilli())/1000)
	}
}
