package reconciliation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// maxDriftInterval is the longest time between two searches for drift.
const maxDriftInterval = 15 * time.Second

// watchDrift searches for drift four times in a grace period, and when some is due, until ctx ends.
func (r *reconciler) watchDrift(ctx context.Context) error {
	ticker := time.NewTicker(min(max(r.GracePeriod/4, 50*time.Millisecond), maxDriftInterval))
	defer ticker.Stop()
	for outage := (&mesh.Outage{}); ; {
		if err := r.findDrift(ctx); ctx.Err() == nil && outage.ShouldLog(err) {
			r.Logger.WarnContext(ctx, "could not search for drift; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-r.wake:
		}
	}
}

// findDrift opens drift that outlasted the grace period, and issues the commands that are due.
func (r *reconciler) findDrift(ctx context.Context) error {
	pushed, err := r.progress.update(ctx, r.mesh)
	if err != nil {
		return err
	}
	for {
		n, err := r.ledger.FindDrift(ctx, r.GracePeriod, pushed, r.isDrift, r.issueCommands)
		if err != nil || n == 0 {
			return err
		}
	}
}

// isDrift reports whether a product that has differed for longer than the grace period has drifted. A product that
// waits for a retry of push has not: a repair would be one more failing call.
func (r *reconciler) isDrift(ctx context.Context, p *ledger.Product) (bool, error) {
	retrying, err := r.mesh.Retrying(ctx, topology.Push, r.Account, p.ID)
	return err == nil && !retrying, err
}

// wakeDrift wakes watchDrift.
func (r *reconciler) wakeDrift() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// publishDrifted logs new drift and publishes it as an outcome.
func (r *reconciler) publishDrifted(ctx context.Context, p *ledger.Product, drift []*ledger.Drift) (err error) {
	ctx, span := r.startDriftSpan(ctx, "find drift", p)
	defer func() {
		telemetry.Fail(span, err)
		span.End()
	}()
	differences := describedDifferences(drift, p)
	words := describeDifferences(differences)
	metrics.DriftFound.Add(ctx, 1)
	r.Logger.WarnContext(ctx, "drift found", "product", p.ID, "differences", words)
	for _, d := range drift {
		if d.State == ledger.Waiting {
			r.Logger.ErrorContext(ctx, "drift needs a decision: `driftless drift resolve`", "product", p.ID,
				"field", d.Field, "why", d.Detail)
		}
	}
	return r.publishOutcome(ctx, &meshv1.Outcome{
		Id:          fmt.Sprintf("drifted:%s:%s:%d:%d", r.Account, p.ID, drift[0].Since.UnixMicro(), drift[0].ID),
		ProductId:   p.ID,
		Kind:        meshv1.OutcomeKind_OUTCOME_KIND_DRIFTED,
		Version:     p.Desired.GetVersion(),
		Detail:      strings.Join(words, "; "),
		Differences: differences,
	})
}

// publishSettled publishes that drift is gone, one outcome for each state in which it ended.
func (r *reconciler) publishSettled(ctx context.Context, p *ledger.Product, drift []*ledger.Drift) error {
	for _, how := range []struct {
		state ledger.DriftState
		kind  meshv1.OutcomeKind
	}{
		{ledger.Repaired, meshv1.OutcomeKind_OUTCOME_KIND_REPAIRED},
		{ledger.WrittenBack, meshv1.OutcomeKind_OUTCOME_KIND_WRITTEN_BACK},
	} {
		of := slices.DeleteFunc(slices.Clone(drift), func(d *ledger.Drift) bool { return d.State != how.state })
		if len(of) == 0 {
			continue
		}
		metrics.DriftRepaired.Add(ctx, 1)
		name := topology.OutcomeName(how.kind)
		differences := describedDifferences(of, p)
		if err := r.publishOutcome(ctx, &meshv1.Outcome{
			Id:          fmt.Sprintf("%s:%s:%s:%d:%d", name, r.Account, p.ID, of[0].Since.UnixMicro(), of[0].ID),
			ProductId:   p.ID,
			Kind:        how.kind,
			Version:     p.Desired.GetVersion(),
			Differences: differences,
			Detail: fmt.Sprintf("equal again after %s: %s", r.Now().Sub(of[0].Since).Round(time.Millisecond),
				strings.Join(describeDifferences(differences), "; ")),
		}); err != nil {
			return err
		}
	}
	return nil
}

// issueCommands issues the commands that a product's drift requires. A repair rereads the product from Stripe, because
// what was known of it has been wrong once. It returns why a write-back is impossible, so that an operator decides.
func (r *reconciler) issueCommands(ctx context.Context, p *ledger.Product,
	o ledger.Commands,
) (cannot string, err error) {
	ctx, span := r.startDriftSpan(ctx, "repair drift", p)
	defer func() {
		telemetry.Fail(span, err)
		span.End()
	}()
	id := func(what string) string {
		return fmt.Sprintf("%s:%s:%s:%d:%d", what, r.Account, p.ID, p.DriftedAt.UnixMicro(), p.Repairs)
	}
	if o.Repair || o.Archive {
		sync := &meshv1.SyncProduct{
			ProductId:    p.ID,
			Look:         true,
			Overwrite:    o.Overwrite,
			Leave:        o.Leave,
			ArchiveExtra: o.Archive,
		}
		if err := r.publishSync(ctx, sync, topology.Reconciliation, "drift", id("repair")); err != nil {
			return "", err
		}
	}
	if len(o.WriteBack) > 0 || o.Import {
		return r.commandWriteBack(ctx, p, o, id("write-back"))
	}
	return "", nil
}
