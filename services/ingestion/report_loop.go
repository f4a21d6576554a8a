package ingestion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
)

// reportInterval is the time between two reports, and between two checks of the schema.
const reportInterval = time.Second

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

// reportOnce writes the report of the leader, or of a replica that cannot capture while no other replica reports.
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
	if state != meshv1.CaptureState_CAPTURE_STATE_PAUSED && in.report.hasOtherWriter(ctx) {
		return nil
	}
	in.report.mu.Lock()
	in.report.current.State, in.report.current.Reason = state, reason
	in.report.mu.Unlock()
	return in.report.write(ctx)
}

// reportTurn reports how far the capture is, and checks whether the schema or CATALOG changed.
func (in *ingester) reportTurn(ctx context.Context, t *turn, h *horizon) error {
	if h.turn != t {
		*h = horizon{turn: t}
	}
	// The order matters: the time, then the end of the log, then the schema. Everything committed before that time is
	// below that end. If the schema is unchanged after both, it was unchanged up to that end.
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
	// Checked after the position was read. Before a position is confirmed, CATALOG has the states up to it, and the
	// report has what is uncertain.
	stream, err := in.verifyCatalog(ctx)
	if err != nil {
		return err
	}
	r, isLate := in.updateReport(h, now, captured, stream)
	if isLate {
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

// updateReport updates and returns the report of the leader. isLate reports whether capture reads the log but is late.
func (in *ingester) updateReport(h *horizon, now time.Time, captured pglogrepl.LSN,
	stream state.CatalogState,
) (r *meshv1.CaptureReport, isLate bool) {
	done := in.snapshot.isDone()
	in.report.mu.Lock()
	defer in.report.mu.Unlock()
	r = in.report.current
	r.CatalogCreated = timestamppb.New(stream.Created)
	r.CatalogLastSequence = stream.LastSeq
	r.CatalogMessages = stream.Messages
	r.State, r.Reason = meshv1.CaptureState_CAPTURE_STATE_READING, ""
	r.Version = in.captured.version()
	r.UnwatchedTables = in.currentSchema().unwatched
	r.FailingChecks = in.checks.failingChecks()
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
			r.CapturedUpTo, r.CatalogSequence = timestamppb.New(at), stream.LastSeq
		}
		// Capture reads the log. A failed comparison on which nothing depends is only named.
		r.Reason = failure
	}
	behind := now.Sub(r.GetCapturedUpTo().AsTime())
	return r, r.GetState() == meshv1.CaptureState_CAPTURE_STATE_READING && behind > 2*reportInterval
}
