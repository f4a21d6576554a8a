package ingestion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
)

// reportEvery is how often the report is written, and the schema looked at.
const reportEvery = time.Second

// keptAsked is how many comparisons that somebody asked for are kept in the report.
const keptAsked = 16

// reporter is what others learn about the capture, in CURSOR under capture.<account>. Safe for concurrent use.
type reporter struct {
	mesh    *mesh.Mesh
	account string
	// look asks for a look at the schema at once.
	look chan struct{}

	mu      sync.Mutex
	current *meshv1.CaptureReport
	// loaded: current has what the report before this process said.
	loaded bool
	// writing is held while the report is stored, so that an older one does not come after a newer one.
	writing sync.Mutex
	// wrote is when this process stored it last.
	wrote time.Time
	// problem is why nothing is captured, waiting what the start waits for.
	problem, waiting string
}

func newReporter(m *mesh.Mesh, account string) *reporter {
	return &reporter{mesh: m, account: account, look: make(chan struct{}, 1), current: &meshv1.CaptureReport{}}
}

// lookNow has the schema looked at without waiting for the next time.
func (r *reporter) lookNow() {
	select {
	case r.look <- struct{}{}:
	default:
	}
}

func (r *reporter) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem, r.waiting = err.Error(), ""
}

func (r *reporter) succeed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem, r.waiting = "", ""
}

// wait says what the start waits for; empty for nothing.
func (r *reporter) wait(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = why
}

// trouble is why nothing is captured; empty if it is not known that nothing is.
func (r *reporter) trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != "" {
		return r.waiting
	}
	return r.problem
}

// load reads what the ingestion before this one reported.
func (r *reporter) load(ctx context.Context) error {
	before := &meshv1.CaptureReport{}
	if _, err := r.mesh.Capture(r.account).Get(ctx, before); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded || before.GetAt().AsTime().After(r.current.GetAt().AsTime()) {
		r.current, r.loaded = before, true
	}
	return nil
}

func (r *reporter) everCompared() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current.GetCompared() != nil
}

// comparedAt is when the last complete comparison started; the zero time if there was none.
func (r *reporter) comparedAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.current.GetCompared().GetStartedAt(); at != nil {
		return at.AsTime()
	}
	return time.Time{}
}

// begunAt is when the comparison that was interrupted began, or, if that is not known, the last complete one; the zero
// time if neither is.
func (r *reporter) begunAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range []*meshv1.TableComparison{r.current.GetRunning(), r.current.GetCompared()} {
		if c.GetStartedAt() != nil && (c.GetId() == "" || c.GetFinishedAt() != nil) {
			return c.GetStartedAt().AsTime()
		}
	}
	return time.Time{}
}

// interrupted is from where a comparison with the same reason goes on, and when it began; nothing if none was
// interrupted.
func (r *reporter) interrupted(reason string) (after string, startedAt time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	running := r.current.GetRunning()
	if running.GetAfter() == "" || running.GetReason() != reason || running.GetId() != "" ||
		running.GetFinishedAt() != nil {
		return "", time.Time{}
	}
	return running.GetAfter(), running.GetStartedAt().AsTime()
}

// owing are the commands that are owed now.
func (r *reporter) owing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.current.GetOutstanding())
}

// forgive forgets the commands that are owed, and reports whether there were any.
func (r *reporter) forgive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	owed := len(r.current.GetOutstanding()) > 0
	r.current.Outstanding = nil
	return owed
}

// comparing shows a comparison that runs.
func (r *reporter) comparing(c *meshv1.TableComparison) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.Running = proto.CloneOf(c)
}

// compared shows a comparison of the whole catalog that ended.
// It has read what was owed before it began, paid.
func (r *reporter) compared(ctx context.Context, c *meshv1.TableComparison, paid []string, failed error) {
	now, err := r.mesh.Clock().Now(ctx)
	if err != nil {
		now = time.Now()
	}
	done := proto.CloneOf(c)
	done.FinishedAt = timestamppb.New(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if failed != nil {
		// One that is interrupted goes on from there; one that somebody asked for is asked for again by its command.
		return
	}
	done.Error, done.After = "", ""
	r.current.Running, r.current.Compared = nil, done
	r.current.Outstanding = slices.DeleteFunc(r.current.GetOutstanding(),
		func(o string) bool { return slices.Contains(paid, o) })
	if done.GetId() != "" {
		r.keep(done)
	}
}

// answered shows what became of a comparison of named products.
func (r *reporter) answered(ctx context.Context, c *meshv1.TableComparison) error {
	now, err := r.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	done := proto.CloneOf(c)
	done.FinishedAt = timestamppb.New(now)
	r.mu.Lock()
	r.keep(done)
	r.mu.Unlock()
	return r.write(ctx)
}

func (r *reporter) keep(c *meshv1.TableComparison) {
	asked := append(r.current.GetAsked(), c)
	r.current.Asked = asked[max(len(asked)-keptAsked, 0):]
}

// owe notes a command whose products are not captured until it is carried out, and returns once that is stored.
func (r *reporter) owe(ctx context.Context, id string) error {
	r.mu.Lock()
	if !slices.Contains(r.current.GetOutstanding(), id) {
		r.current.Outstanding = append(r.current.GetOutstanding(), id)
	}
	r.mu.Unlock()
	return r.write(ctx)
}

// paid notes that such a command was carried out.
func (r *reporter) paid(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.Outstanding = slices.DeleteFunc(r.current.GetOutstanding(), func(o string) bool { return o == id })
}

// owed is how many such commands there are, as far as any replica has reported.
func (r *reporter) owed(ctx context.Context) (int, error) {
	stored := &meshv1.CaptureReport{}
	_, err := r.mesh.Capture(r.account).Get(ctx, stored)
	return len(stored.GetOutstanding()), err
}

// write stores the report.
func (r *reporter) write(ctx context.Context) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	now, err := r.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.current.At = timestamppb.New(now)
	r.wrote = now
	report := proto.CloneOf(r.current)
	r.mu.Unlock()
	return r.mesh.Capture(r.account).Put(ctx, report)
}

// others reports whether another replica has reported lately: one that cannot capture leaves the report to one that
// can.
func (r *reporter) others(ctx context.Context) bool {
	now, err := r.mesh.Clock().Now(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.current.GetAt().AsTime()
	return err == nil && r.current.GetAt() != nil && !at.Equal(r.wrote) && now.Sub(at) < 3*reportEvery
}

// stopped reports that ingestion cannot start.
func (r *reporter) stopped(ctx context.Context, why error) {
	if r.load(ctx) != nil || r.others(ctx) {
		return
	}
	r.mu.Lock()
	r.current.State, r.current.Reason = meshv1.CaptureState_CAPTURE_STATE_STOPPED,
		"ingestion does not start: "+why.Error()
	r.mu.Unlock()
	_ = r.write(ctx)
}

// keepReport writes the report until ctx ends, also while ingestion is paused. A standby leaves it to the active
// replica.
func (in *ingester) keepReport(ctx context.Context) error {
	defer metrics.Observe(in.report.observe, metrics.CapturedTimestamp, metrics.TablesComparedTimestamp)()
	h := &horizon{}
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	outage := &mesh.Outage{}
	for {
		err := in.reportOnce(ctx, h)
		if ctx.Err() == nil && outage.ShouldLog(err) && !errors.Is(err, errSchema) {
			in.logger.WarnContext(ctx, "could not report how far the catalog is captured", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-in.report.look:
		case <-ticker.C:
		}
	}
}

func (in *ingester) reportOnce(ctx context.Context, h *horizon) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	t := in.turns.mine()
	state, reason := meshv1.CaptureState_CAPTURE_STATE_STARTING, in.report.trouble()
	switch {
	case in.gate.Paused():
		state, reason = meshv1.CaptureState_CAPTURE_STATE_PAUSED, "an operator has paused ingestion"
		h.forget()
	case t != nil:
		return in.reportTurn(ctx, t, h)
	case in.turns.standing.Load():
		return nil
	case reason != "" && !in.report.waits():
		state = meshv1.CaptureState_CAPTURE_STATE_STOPPED
	}
	if err := in.report.load(ctx); err != nil {
		return err
	}
	if state != meshv1.CaptureState_CAPTURE_STATE_PAUSED && in.report.others(ctx) {
		return nil
	}
	in.report.mu.Lock()
	in.report.current.State, in.report.current.Reason = state, reason
	in.report.mu.Unlock()
	return in.report.write(ctx)
}

func (r *reporter) waits() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting != ""
}

// reportTurn reports how far the capture is, and looks whether the schema or CATALOG changed under it.
func (in *ingester) reportTurn(ctx context.Context, t *turn, h *horizon) error {
	if h.turn != t {
		*h = horizon{turn: t}
	}
	// In this order: what was committed before now is in the log below its end, and the schema is as it was until after
	// that.
	now, err := in.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	end, err := t.schema.source.End(ctx, in.pool)
	if err != nil {
		return err
	}
	if err := in.lookAtSchema(ctx, t); err != nil {
		return err
	}
	writes, err := t.schema.source.Writes(ctx, in.pool, t.schema.reads)
	if err != nil {
		return err
	}
	in.whole.wrote(writes)
	h.saw(now, endOfLog(end))
	captured := t.reader.Confirmed()
	// After the position was read: what is uncertain is noted before it is confirmed, and CATALOG has what was.
	state, err := in.lookAtCatalog(ctx)
	if err != nil {
		return err
	}
	settled := in.whole.isSettled()
	in.report.mu.Lock()
	r := in.report.current
	r.CatalogCreated, r.CatalogLastSequence, r.CatalogMessages = timestamppb.New(state.Created), state.LastSeq,
		state.Messages
	r.State, r.Reason, r.Version = meshv1.CaptureState_CAPTURE_STATE_READING, "", in.progress.version()
	r.UnwatchedTables = in.tables().unwatched
	failure := in.whole.trouble()
	switch owed := len(r.GetOutstanding()); {
	case failure != "" && !settled:
		r.State, r.Reason = meshv1.CaptureState_CAPTURE_STATE_STOPPED, failure
	case !settled:
		reason, _ := in.whole.why()
		r.State, r.Reason = meshv1.CaptureState_CAPTURE_STATE_READING_TABLES,
			"the tables are being read as a whole: "+reason
	case owed > 0:
		r.State, r.Reason = meshv1.CaptureState_CAPTURE_STATE_READING_TABLES,
			"products that a change of shared rows concerns are being read"
	default:
		if at := h.captured(captured); !at.IsZero() {
			r.CapturedUpTo, r.CatalogSequence = timestamppb.New(at), state.LastSeq
		}
		// The log is captured, and the comparison that nobody waits for fails.
		r.Reason = failure
	}
	behind := now.Sub(r.GetCapturedUpTo().AsTime())
	late := r.GetState() == meshv1.CaptureState_CAPTURE_STATE_READING && behind > 2*reportEvery
	in.report.mu.Unlock()
	if late {
		why, err := t.schema.source.Locked(ctx, in.pool)
		if err == nil && why == "" {
			why = fmt.Sprintf("%d bytes of the write-ahead log are not captured yet", max(end, captured)-captured)
		}
		in.report.mu.Lock()
		r.Reason = why
		in.report.mu.Unlock()
	}
	return in.report.write(ctx)
}

// observe gives the gauges of the capture, of the replica that reads the log.
func (r *reporter) observe(_ context.Context, report metrics.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.current.GetCapturedUpTo(); at != nil && r.loaded {
		report(metrics.CapturedTimestamp, float64(at.AsTime().UnixMilli())/1000)
	}
	if at := r.current.GetCompared().GetStartedAt(); at != nil && r.loaded {
		report(metrics.TablesComparedTimestamp, float64(at.AsTime().UnixMilli())/1000)
	}
}
