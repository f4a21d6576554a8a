package reconciliation

import (
	"context"
	"slices"
	"strings"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

const tracerName = "github.com/driftless-sync/driftless/services/reconciliation"

// pingTimeout bounds the check whether the ledger's database answers.
const pingTimeout = 3 * time.Second

// observe reports the gauges of the account until the returned function is called.
func (r *reconciler) observe() (stop func()) {
	f := &accountMetrics{reconciler: r}
	sources := metrics.ObserveSources(r.Logger, f.ledgerSource(), f.streamSource())
	view := metrics.Observe(f.reportView, metrics.EqualityKnown, metrics.ConvergedTimestamp, metrics.CaptureStatus,
		metrics.UnwatchedTables, metrics.CapturedTimestamp, metrics.TablesComparedTimestamp, metrics.RetryOldest)
	return func() {
		view()
		sources()
	}
}

// accountMetrics reads the gauges that this service reports for the account as a whole.
type accountMetrics struct{ *reconciler }

func (f *accountMetrics) ledgerSource() metrics.Source {
	return metrics.Source{
		Name: "ledger",
		Gauges: []metrics.Gauge{
			metrics.DatabaseReachable, metrics.Products, metrics.DriftOpen, metrics.OldestUnsynced, metrics.DriftOldest,
			metrics.DeadLettersOpen, metrics.GuardHeld, metrics.ProgramEventOldest, metrics.LedgerBehind,
		},
		Reads: []func(context.Context) (func(metrics.Report), error){
			f.database, f.products, f.drift, f.ages, f.letters, f.held, f.programEvents,
			f.behind,
		},
	}
}

func (f *accountMetrics) streamSource() metrics.Source {
	s := metrics.Source{
		Name: "streams",
		Gauges: []metrics.Gauge{
			metrics.ConsumerPending, metrics.ConsumerInFlight, metrics.ConsumerRedelivered, metrics.ConsumerOldest,
			metrics.ConsumerPaused, metrics.StreamMessages, metrics.StreamSize, metrics.RetriesWaiting, metrics.Halted,
			metrics.ScanRunning, metrics.ScanObjects, metrics.ScanFailed, metrics.ScanFinished, metrics.ScanInterval,
		},
	}
	for _, read := range []func(context.Context) (func(metrics.Report), error){
		f.consumers, f.streams, f.retries, f.halt, f.scans,
	} {
		s.Reads = append(s.Reads, func(ctx context.Context) (func(metrics.Report), error) {
			// Without a connection each read would wait for its timeout.
			if err := f.mesh.Ready(ctx); err != nil {
				return nil, err
			}
			return read(ctx)
		})
	}
	return s
}

// reportView reports what the last update from the other services showed. Without a recent one equality is unknown,
// while the times up to which the lanes are in Stripe stay true.
func (f *accountMetrics) reportView(report metrics.Report) {
	seen, converged := f.view.Latest()
	reportEquality(report, seen, converged)
	if retries, ok := f.view.LatestRetries(); ok {
		reportRetries(report, retries, f.Now())
	}
}

// reportRetries reports how long the product of each class of failure has failed that has failed longest. Retries
// without a time are not those of failures.
func reportRetries(report metrics.Report, retries []*meshv1.Retry, now time.Time) {
	oldest := map[string]time.Duration{}
	for _, r := range retries {
		if r.GetFailingSince() == nil {
			continue
		}
		class := r.GetFailure()
		if !slices.Contains(metrics.Failure.Values, class) {
			class = "other"
		}
		oldest[class] = max(oldest[class], now.Sub(r.GetFailingSince().AsTime()))
	}
	for _, class := range metrics.Failure.Values {
		report(metrics.RetryOldest, oldest[class].Seconds(), metrics.Failure.With(class))
	}
}

// database reports whether the ledger's database answers.
func (f *accountMetrics) database(ctx context.Context) (func(metrics.Report), error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := f.ledger.Ready(ctx)
	return func(report metrics.Report) {
		report(metrics.DatabaseReachable, flag(err == nil), metrics.Database.With("ledger"))
	}, nil
}

// behind reports whether the ledger lacks what was delivered to it.
func (f *accountMetrics) behind(ctx context.Context) (func(metrics.Report), error) {
	why, err := f.ledgerUnknown(ctx)
	return func(report metrics.Report) { report(metrics.LedgerBehind, flag(why != "")) }, err
}

func (f *accountMetrics) products(ctx context.Context) (func(metrics.Report), error) {
	counts, err := f.ledger.Counts(ctx)
	return func(report metrics.Report) {
		for _, s := range metrics.State.Values {
			report(metrics.Products, float64(counts[ledger.State(s)]), metrics.State.With(s))
		}
	}, err
}

func (f *accountMetrics) drift(ctx context.Context) (func(metrics.Report), error) {
	counts, err := f.ledger.DriftCounts(ctx)
	open := map[ledger.DriftCount]uint64{}
	for _, kind := range metrics.DriftKind.Values {
		for _, state := range metrics.DriftState.Values {
			open[ledger.DriftCount{Kind: kind, State: state}] = 0
		}
	}
	for _, c := range counts {
		open[ledger.DriftCount{Kind: c.Kind, State: c.State}] = c.N
	}
	return func(report metrics.Report) {
		for of, n := range open {
			report(metrics.DriftOpen, float64(n), metrics.DriftKind.With(of.Kind), metrics.DriftState.With(of.State))
		}
	}, err
}

func (f *accountMetrics) ages(ctx context.Context) (func(metrics.Report), error) {
	ages, err := f.ledger.Ages(ctx)
	return func(report metrics.Report) {
		report(metrics.OldestUnsynced, f.age(ages.Unsynced))
		report(metrics.DriftOldest, f.age(ages.Drift))
	}, err
}

func (f *accountMetrics) programEvents(ctx context.Context) (func(metrics.Report), error) {
	oldest, err := f.ledger.OldestEvent(ctx)
	return func(report metrics.Report) { report(metrics.ProgramEventOldest, f.age(oldest)) }, err
}

// age returns how long ago a time was, in seconds, and 0 for the zero time.
func (f *accountMetrics) age(since time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return max(f.Now().Sub(since).Seconds(), 0)
}

func (f *accountMetrics) letters(ctx context.Context) (func(metrics.Report), error) {
	counts, err := f.ledger.OpenLetters(ctx)
	if err != nil {
		return nil, err
	}
	for _, reason := range metrics.DeadReason.Values {
		counts[reason] += 0
	}
	return func(report metrics.Report) {
		for reason, n := range counts {
			report(metrics.DeadLettersOpen, float64(n), metrics.DeadReason.With(reason))
		}
	}, nil
}

func (f *accountMetrics) consumers(ctx context.Context) (func(metrics.Report), error) {
	consumers, err := f.mesh.Consumers(ctx)
	if err != nil {
		return nil, err
	}
	oldest := make([]time.Time, len(consumers))
	for i, c := range consumers {
		if oldest[i], err = f.mesh.Oldest(ctx, c); err != nil {
			return nil, err
		}
	}
	return func(report metrics.Report) {
		for i, c := range consumers {
			at := []metrics.Attribute{metrics.Stream.With(c.Stream), metrics.Consumer.With(c.Name)}
			report(metrics.ConsumerPending, float64(c.Pending), at...)
			report(metrics.ConsumerInFlight, float64(c.InFlight), at...)
			report(metrics.ConsumerRedelivered, float64(c.Redelivered), at...)
			report(metrics.ConsumerOldest, f.age(oldest[i]), at...)
			report(metrics.ConsumerPaused, flag(c.Paused), at...)
		}
	}, nil
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (f *accountMetrics) streams(ctx context.Context) (func(metrics.Report), error) {
	streams, err := f.mesh.Streams(ctx, topology.Options{NoEvents: f.NoEvents}.StreamNames())
	return func(report metrics.Report) {
		for _, s := range streams {
			report(metrics.StreamMessages, float64(s.Messages), metrics.Stream.With(s.Name))
			report(metrics.StreamSize, float64(s.Bytes), metrics.Stream.With(s.Name))
		}
	}, err
}

func (f *accountMetrics) retries(ctx context.Context) (func(metrics.Report), error) {
	n, err := f.mesh.RetryingCount(ctx, topology.Push, f.Account)
	return func(report metrics.Report) { report(metrics.RetriesWaiting, float64(n)) }, err
}

func (f *accountMetrics) halt(ctx context.Context) (func(metrics.Report), error) {
	halted, err := f.stores.Halted(f.Account).GetString(ctx)
	return func(report metrics.Report) { report(metrics.Halted, flag(halted != "")) }, err
}

// held reports every rule, so that an alert ends when a rule holds nothing any more.
func (f *accountMetrics) held(ctx context.Context) (func(metrics.Report), error) {
	counts, err := f.ledger.HeldKinds(ctx)
	held := map[string]uint64{}
	for _, rule := range metrics.GuardRule.Values {
		held[rule] = 0
	}
	for _, c := range counts {
		held[c.Rule] = c.N
	}
	return func(report metrics.Report) {
		for rule, n := range held {
			report(metrics.GuardHeld, float64(n), metrics.GuardRule.With(rule))
		}
	}, err
}

func (f *accountMetrics) scans(ctx context.Context) (func(metrics.Report), error) {
	scan, err := f.view.LastScan(ctx)
	return func(report metrics.Report) {
		if f.ScanInterval > 0 {
			report(metrics.ScanInterval, f.ScanInterval.Seconds())
		}
		if scan == nil {
			return
		}
		report(metrics.ScanRunning, flag(scan.GetFinishedAt() == nil && scan.GetError() == ""))
		report(metrics.ScanFailed, flag(scan.GetError() != ""))
		report(metrics.ScanObjects, float64(scan.GetProducts()+scan.GetPrices()))
		if done := scan.GetFinishedAt(); done != nil && scan.GetError() == "" {
			report(metrics.ScanFinished, float64(done.AsTime().Unix()))
		}
	}, err
}

func reportEquality(report metrics.Report, seen *controlv1.Equality, converged map[string]time.Time) {
	for lane, at := range converged {
		report(metrics.ConvergedTimestamp, unix(at), metrics.Lane.With(lane))
	}
	report(metrics.EqualityKnown, flag(seen != nil && seen.GetUnknown() == ""))
	if seen == nil {
		return
	}
	state := captureState(seen)
	for _, s := range metrics.CaptureState.Values {
		report(metrics.CaptureStatus, flag(s == state), metrics.CaptureState.With(s))
	}
	report(metrics.UnwatchedTables, float64(len(seen.GetUnwatchedTables())))
	if at := seen.GetCapture().GetCapturedUpTo(); at != nil {
		report(metrics.CapturedTimestamp, unix(at.AsTime()))
	}
	if at := seen.GetTablesComparedAt(); at != nil {
		report(metrics.TablesComparedTimestamp, unix(at.AsTime()))
	}
}

// captureState returns the state of capture as a label value of the metric.
func captureState(e *controlv1.Equality) string {
	c := e.GetCapture()
	if c.GetAt() == nil || e.GetAt().AsTime().Sub(c.GetAt().AsTime()) > view.MaxReportAge ||
		c.GetState() == meshv1.CaptureState_CAPTURE_STATE_UNSPECIFIED {
		return "absent"
	}
	return strings.ToLower(strings.TrimPrefix(c.GetState().String(), "CAPTURE_STATE_"))
}

func unix(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
