package reconciliation

import (
	"context"
	"fmt"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
)

// lastScan returns the report of the latest scan, nil if there was none.
func (r *reconciler) lastScan(ctx context.Context) (*meshv1.ScanReport, error) {
	report := &meshv1.ScanReport{}
	ok, err := r.mesh.Record(topology.KeyScan, r.Account).Get(ctx, report)
	if err != nil || !ok {
		return nil, err
	}
	return report, nil
}

// scheduleScans commands a scan when the last one began longer than the interval ago, until ctx ends.
func (r *reconciler) scheduleScans(ctx context.Context) error {
	if r.ScanInterval <= 0 {
		return nil
	}
	ticker := time.NewTicker(min(r.ScanInterval, time.Minute))
	defer ticker.Stop()
	commanded := time.Time{}
	for {
		report, err := r.lastScan(ctx)
		if err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "could not read the report of the last scan", "error", err)
		}
		last := commanded
		if t := report.GetStartedAt(); t != nil && t.AsTime().After(last) {
			last = t.AsTime()
		}
		if err == nil && r.Now().Sub(last) > r.ScanInterval {
			// Every replica issues this command, and so does one that restarts. The id depends on the last scan only,
			// so JetStream drops the duplicates.
			id := fmt.Sprintf("scheduled:%s:%d", r.Account, report.GetStartedAt().AsTime().UnixMicro())
			about := command.About{ID: id, Issuer: topology.Reconciliation, Reason: "scheduled"}
			if err := r.commands.Scan(ctx, about); err != nil && ctx.Err() == nil {
				r.Logger.WarnContext(ctx, "could not command a scan", "error", err)
			} else {
				commanded = r.Now()
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
