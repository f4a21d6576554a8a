package reconciliation

import (
	"context"
	"fmt"
	"time"

	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
)

// scheduleScans commands a scan when the last one began longer than the interval ago, until ctx ends.
func (r *reconciler) scheduleScans(ctx context.Context) error {
	if r.ScanInterval <= 0 {
		return nil
	}
	ticker := time.NewTicker(min(r.ScanInterval, time.Minute))
	defer ticker.Stop()
	commanded := time.Time{}
	for {
		report, err := r.view.LastScan(ctx)
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
