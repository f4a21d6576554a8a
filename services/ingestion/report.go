package ingestion

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
)

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
	// isLoaded reports whether current continues the report of the previous process.
	isLoaded bool
	// writeMu is locked while the report is stored, so that an older report never replaces a later one.
	writeMu sync.Mutex
	// wroteAt is the time in the latest report that this process wrote.
	wroteAt time.Time
	// problem is the reason why capture stopped. waiting is the reason why it has not started yet.
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

// setWaiting sets the reason why capture has not started yet. Empty means that it waits for nothing.
func (r *reporter) setWaiting(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = why
}

// stopReason returns why nothing is captured. It is empty if no reason is known.
func (r *reporter) stopReason() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != "" {
		return r.waiting
	}
	return r.problem
}

func (r *reporter) isWaiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting != ""
}

// load reads the stored report, unless this process has a later one.
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

// comparedAt returns when the latest complete comparison started. It is the zero time if there was none.
func (r *reporter) comparedAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.current.GetCompared().GetStartedAt(); at != nil {
		return at.AsTime()
	}
	return time.Time{}
}

// comparisonStartedAt returns when the interrupted comparison started, else when the latest complete one did. It is the
// zero time if there was neither.
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

// outstanding returns the ids of the reread commands that are not carried out yet. CATALOG lacks states of their
// products, so the captured time stands still.
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

// finishComparison reports a comparison of the whole catalog that ended. read are the commands that were outstanding
// before it began: it has read their products too.
func (r *reporter) finishComparison(ctx context.Context, c *meshv1.TableComparison, read []string, failed error) {
	if failed != nil {
		// An interrupted comparison continues later. A requested one is repeated by its command.
		return
	}
	now, err := r.mesh.Clock().Now(ctx)
	if err != nil {
		now = time.Now()
	}
	done := proto.CloneOf(c)
	done.FinishedAt = timestamppb.New(now)
	done.Error, done.After = "", ""
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.Running, r.current.Compared = nil, done
	r.current.Outstanding = slices.DeleteFunc(r.current.GetOutstanding(),
		func(o string) bool { return slices.Contains(read, o) })
	if done.GetId() != "" {
		r.addRequested(done)
	}
}

// finishNamed stores the report of a finished comparison of named products.
func (r *reporter) finishNamed(ctx context.Context, c *meshv1.TableComparison) error {
	now, err := r.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	done := proto.CloneOf(c)
	done.FinishedAt = timestamppb.New(now)
	r.mu.Lock()
	r.addRequested(done)
	r.mu.Unlock()
	return r.write(ctx)
}

// addRequested adds a requested comparison, and drops the oldest ones. The caller holds mu.
func (r *reporter) addRequested(c *meshv1.TableComparison) {
	requested := append(r.current.GetAsked(), c)
	r.current.Asked = requested[max(len(requested)-maxRequestedComparisons, 0):]
}

// addOutstanding adds a command that must be carried out before its products count as captured. It returns when the
// report is stored.
func (r *reporter) addOutstanding(ctx context.Context, id string) error {
	r.mu.Lock()
	if !slices.Contains(r.current.GetOutstanding(), id) {
		r.current.Outstanding = append(r.current.GetOutstanding(), id)
	}
	r.mu.Unlock()
	return r.write(ctx)
}

// removeOutstanding removes a command that was carried out.
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

// hasOtherWriter reports whether another replica wrote the report within the last three intervals. A replica that
// cannot capture leaves the report to one that can.
func (r *reporter) hasOtherWriter(ctx context.Context) bool {
	now, err := r.mesh.Clock().Now(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.current.GetAt().AsTime()
	return err == nil && r.current.GetAt() != nil && !at.Equal(r.wroteAt) && now.Sub(at) < 3*reportInterval
}

// reportStopped stores why ingestion does not start.
func (r *reporter) reportStopped(ctx context.Context, why error) {
	if r.load(ctx) != nil || r.hasOtherWriter(ctx) {
		return
	}
	r.mu.Lock()
	r.current.State, r.current.Reason = meshv1.CaptureState_CAPTURE_STATE_STOPPED,
		"ingestion does not start: "+why.Error()
	r.mu.Unlock()
	_ = r.write(ctx)
}

// observeMetrics reports the gauges of the capture from the report that this process has.
func (r *reporter) observeMetrics(report metrics.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.current.GetCapturedUpTo(); at != nil && r.isLoaded {
		report(metrics.CapturedTimestamp, float64(at.AsTime().UnixMilli())/1000)
	}
	if at := r.current.GetCompared().GetStartedAt(); at != nil && r.isLoaded {
		report(metrics.TablesComparedTimestamp, float64(at.AsTime().UnixMilli())/1000)
	}
}
