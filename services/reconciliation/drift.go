package reconciliation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// longestLook is the longest time between looks for drift.
const longestLook = 15 * time.Second

// watchDrift looks for drift several times in a grace period, and when some was found, until ctx ends.
func (r *reconciler) watchDrift(ctx context.Context) error {
	ticker := time.NewTicker(min(max(r.GracePeriod/4, 50*time.Millisecond), longestLook))
	defer ticker.Stop()
	for outage := (&mesh.Outage{}); ; {
		if err := r.lookForDrift(ctx); ctx.Err() == nil && outage.ShouldLog(err) {
			r.Logger.WarnContext(ctx, "could not look for drift; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-r.wake:
		}
	}
}

func (r *reconciler) lookForDrift(ctx context.Context) error {
	pushed, err := r.progress.look(ctx, r.mesh)
	if err != nil {
		return err
	}
	for {
		n, err := r.ledger.Drift(ctx, r.GracePeriod, pushed, r.isDrift, r.act)
		if err != nil || n == 0 {
			return err
		}
	}
}

// isDrift says of a product that has differed for long whether that is drift. It is not while push is to come back to
// the product: its repair would be one more failing call.
func (r *reconciler) isDrift(ctx context.Context, p *ledger.Product) (bool, error) {
	retrying, err := r.mesh.Retrying(ctx, topology.Push, r.Account, p.ID)
	return err == nil && !retrying, err
}

// due wakes watchDrift.
func (r *reconciler) due() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// found publishes new drift.
func (r *reconciler) found(ctx context.Context, p *ledger.Product, drift []*ledger.Drift) (err error) {
	ctx, span := r.startDrift(ctx, "find drift", p)
	defer func() {
		telemetry.Fail(span, err)
		span.End()
	}()
	words := inWords(drift)
	metrics.DriftFound.Add(ctx, 1)
	r.Logger.WarnContext(ctx, "drift", "product", p.ID, "differences", words)
	for _, d := range drift {
		if d.State == ledger.Waiting {
			r.Logger.ErrorContext(ctx, "drift waits for a person: `driftless drift resolve`", "product", p.ID,
				"field", d.Field, "why", d.Detail)
		}
	}
	return r.tell(ctx, &meshv1.Outcome{
		Id:        fmt.Sprintf("drifted:%s:%s:%d:%d", r.Account, p.ID, drift[0].Since.UnixMicro(), drift[0].ID),
		ProductId: p.ID, Kind: meshv1.OutcomeKind_OUTCOME_KIND_DRIFTED, Version: p.Desired.GetVersion(),
		Detail: strings.Join(words, "; "), Differences: differences(drift),
	})
}

// settled publishes that drift is gone.
func (r *reconciler) settled(ctx context.Context, p *ledger.Product, drift []*ledger.Drift) error {
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
		if err := r.tell(ctx, &meshv1.Outcome{
			Id:        fmt.Sprintf("%s:%s:%s:%d:%d", name, r.Account, p.ID, of[0].Since.UnixMicro(), of[0].ID),
			ProductId: p.ID, Kind: how.kind, Version: p.Desired.GetVersion(), Differences: differences(of),
			Detail: fmt.Sprintf("equal again after %s: %s", r.Now().Sub(of[0].Since).Round(time.Millisecond),
				strings.Join(inWords(of), "; ")),
		}); err != nil {
			return err
		}
	}
	return nil
}

// act orders what a product's drift asks for, with a look at Stripe: what is known of it has been wrong once. It
// returns why what was to be written back cannot be, for a person to decide.
func (r *reconciler) act(ctx context.Context, p *ledger.Product, o ledger.Commands) (cannot string, err error) {
	ctx, span := r.startDrift(ctx, "mend drift", p)
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
		if err := r.send(ctx, sync, topology.Reconciliation, "drift", id("repair")); err != nil {
			return "", err
		}
	}
	if len(o.WriteBack) > 0 || o.Import {
		return r.writeBack(ctx, p, o, id("write-back"))
	}
	return "", nil
}

// writeBack orders ingestion to take Stripe's values into the catalog.
func (r *reconciler) writeBack(ctx context.Context, p *ledger.Product, o ledger.Commands,
	id string,
) (cannot string, err error) {
	order := &meshv1.WriteBack{ProductId: p.ID, Version: p.Desired.GetVersion(), Import: o.Import}
	if o.Import {
		if r.inGrace(p) {
			return "", nil
		}
		if wait, cannot, err := r.unready(ctx, p, id); wait || err != nil {
			return cannot, err
		}
		order.Product = catalog.Import(p.Observed)
	} else {
		fields, cannot, err := r.withoutUnread(ctx, p, o.WriteBack, id)
		if len(fields) == 0 || err != nil {
			return cannot, err
		}
		if order.Product, order.Fields = catalog.TakeWithPrices(p.Desired, p.Observed, fields); len(order.Fields) == 0 {
			return "the catalog cannot have Stripe's value", nil
		}
	}
	if violations := catalog.Validate(order.Product); len(violations) > 0 {
		return fmt.Sprintf("with Stripe's values the product could not be in the catalog: %s", violations[0]), nil
	}
	command := &meshv1.Command{
		Id: id, Account: r.Account, Issuer: topology.Reconciliation, Reason: "drift",
		IssuedAt: timestamppb.New(r.Now()),
		Verb:     &meshv1.Command_WriteBack{WriteBack: order},
	}
	return "", r.mesh.Publish(ctx, topology.CommandSubject(topology.Ingestion, r.Account, topology.VerbWriteBack, p.ID),
		command, mesh.WithID(id), mesh.WithVersion(order.Version))
}

func (r *reconciler) order(ctx context.Context, product string, look bool, issuer, reason, id string) error {
	return r.send(ctx, &meshv1.SyncProduct{ProductId: product, Look: look}, issuer, reason, id)
}

func (r *reconciler) send(ctx context.Context, sync *meshv1.SyncProduct, issuer, reason, id string) error {
	command := &meshv1.Command{
		Id: id, Account: r.Account, Issuer: issuer, Reason: reason, IssuedAt: timestamppb.New(r.Now()),
		Verb: &meshv1.Command_Sync{Sync: sync},
	}
	return r.mesh.Publish(ctx,
		topology.CommandSubject(topology.Push, r.Account, topology.VerbSync, sync.GetProductId()), command,
		mesh.WithID(id))
}

// inWords says what differs: `description: "A" in the catalog, "B" in Stripe`.
func inWords(drift []*ledger.Drift) []string {
	words := make([]string, len(drift))
	for i, d := range drift {
		words[i] = strings.ReplaceAll(string(d.Kind), "_", " ")
		if d.Field != "" {
			words[i] += " " + d.Field
		}
		if d.Catalog != "" || d.Stripe != "" {
			words[i] += fmt.Sprintf(": %q in the catalog, %q in Stripe", abridged(d.Catalog), abridged(d.Stripe))
		}
	}
	return words
}

func differences(drift []*ledger.Drift) []*meshv1.Difference {
	out := make([]*meshv1.Difference, len(drift))
	for i, d := range drift {
		out[i] = difference(d)
	}
	return out
}

func difference(d *ledger.Drift) *meshv1.Difference {
	return &meshv1.Difference{
		Kind:    string(d.Kind),
		Field:   d.Field,
		Catalog: d.Catalog,
		Stripe:  d.Stripe,
		Action:  string(d.Action),
	}
}

// scan orders a full scan of Stripe.
func (r *reconciler) scan(ctx context.Context, id, issuer, reason string) error {
	command := &meshv1.Command{
		Id: id, Account: r.Account, Issuer: issuer, Reason: reason, IssuedAt: timestamppb.New(r.Now()),
		Verb: &meshv1.Command_Scan{Scan: &meshv1.Scan{}},
	}
	return r.mesh.Publish(ctx, topology.CommandSubject(topology.Pull, r.Account, topology.VerbScan, ""), command,
		mesh.WithID(id))
}

// lastScan is the report of the newest scan, nil if there was none.
func (r *reconciler) lastScan(ctx context.Context) (*meshv1.ScanReport, error) {
	report := &meshv1.ScanReport{}
	ok, err := r.mesh.Record(topology.KeyScan, r.Account).Get(ctx, report)
	if err != nil || !ok {
		return nil, err
	}
	return report, nil
}

// scheduleScans orders a scan whenever the last one began longer than the interval ago.
func (r *reconciler) scheduleScans(ctx context.Context) error {
	if r.ScanInterval <= 0 {
		return nil
	}
	ticker := time.NewTicker(min(r.ScanInterval, time.Minute))
	defer ticker.Stop()
	ordered := time.Time{}
	for {
		report, err := r.lastScan(ctx)
		if err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "could not read when Stripe was last scanned", "error", err)
		}
		last := ordered
		if t := report.GetStartedAt(); t != nil && t.AsTime().After(last) {
			last = t.AsTime()
		}
		if err == nil && r.Now().Sub(last) > r.ScanInterval {
			// Every replica orders it, and so does one that restarts: the scan after the last is the same for all.
			id := fmt.Sprintf("scheduled:%s:%d", r.Account, report.GetStartedAt().AsTime().UnixMicro())
			if err := r.scan(ctx, id, topology.Reconciliation, "scheduled"); err != nil && ctx.Err() == nil {
				r.Logger.WarnContext(ctx, "could not order a scan", "error", err)
			} else {
				ordered = r.Now()
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
