package reconciliation

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/metrics"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// watchDrift looks for drift several times in a grace period, until ctx ends.
func (r *reconciler) watchDrift(ctx context.Context) error {
	ticker := time.NewTicker(max(r.GracePeriod/4, 50*time.Millisecond))
	defer ticker.Stop()
	for {
		if err := r.lookForDrift(ctx); err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "could not look for drift; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (r *reconciler) lookForDrift(ctx context.Context) error {
	pushed, err := r.pushed(ctx)
	if err != nil {
		return err
	}
	for {
		n, err := r.ledger.Drift(ctx, r.GracePeriod, pushed, r.drifted, r.repair)
		if err != nil || n == 0 {
			return err
		}
	}
}

// pushed is the sequence of CATALOG up to which push is done with every message.
func (r *reconciler) pushed(ctx context.Context) (uint64, error) {
	consumers, err := r.mesh.Consumers(ctx)
	if err != nil {
		return 0, err
	}
	sequence := uint64(math.MaxUint64)
	for _, c := range consumers {
		if (c.Consumer == mesh.PushLive || c.Consumer == mesh.PushBulk) && c.Pending+c.InFlight > 0 {
			sequence = min(sequence, c.AckFloor)
		}
	}
	return sequence, nil
}

// drifted says of a product that has differed for long whether that is drift, and reports it. It is not while push is to
// come back to the product: its repair would be one more failing call.
func (r *reconciler) drifted(ctx context.Context, p *ledger.Product) (bool, error) {
	retrying, err := r.mesh.Retrying(ctx, mesh.Push, r.Account, p.ID)
	if err != nil || retrying {
		return false, err
	}
	steps := p.Steps()
	words := make([]string, len(steps))
	for i, s := range steps {
		words[i] = s.String()
	}
	metrics.DriftFound.Add(ctx, 1)
	r.Logger.WarnContext(ctx, "drift", "product", p.ID, "since", p.DiffersSince, "steps", words)
	return true, r.tell(ctx, &meshv1.Outcome{
		Id:        fmt.Sprintf("drifted:%s:%s:%d", r.Account, p.ID, p.DiffersSince.UnixMicro()),
		ProductId: p.ID, Kind: meshv1.OutcomeKind_OUTCOME_KIND_DRIFTED, Version: p.Desired.GetVersion(),
		Detail: "to do: " + strings.Join(words, "; "),
	})
}

// repair orders push to bring the product to its newest desired state, with a look at Stripe: what is known of it
// has been wrong once.
func (r *reconciler) repair(ctx context.Context, p *ledger.Product) error {
	if r.ReportOnly {
		return nil
	}
	return r.order(ctx, p.ID, true, mesh.Reconciliation, "drift",
		fmt.Sprintf("repair:%s:%s:%d:%d", r.Account, p.ID, p.DriftedAt.UnixMicro(), p.Repairs))
}

func (r *reconciler) order(ctx context.Context, product string, look bool, issuer, reason, id string) error {
	command := &meshv1.Command{
		Id: id, Account: r.Account, Issuer: issuer, Reason: reason, IssuedAt: timestamppb.New(r.Now()),
		Verb: &meshv1.Command_Sync{Sync: &meshv1.SyncProduct{ProductId: product, Look: look}},
	}
	return r.mesh.Publish(ctx, mesh.CommandSubject(mesh.Push, r.Account, mesh.VerbSync, product), command, mesh.WithID(id))
}

// scan orders a full scan of Stripe and returns its id.
func (r *reconciler) scan(ctx context.Context, issuer, reason string) (string, error) {
	command := &meshv1.Command{
		Id: nuid.Next(), Account: r.Account, Issuer: issuer, Reason: reason, IssuedAt: timestamppb.New(r.Now()),
		Verb: &meshv1.Command_Scan{Scan: &meshv1.Scan{}},
	}
	return command.GetId(), r.mesh.Publish(ctx, mesh.CommandSubject(mesh.Pull, r.Account, mesh.VerbScan, ""), command, mesh.WithID(command.GetId()))
}

// lastScan is the report of the newest scan, nil if there was none.
func (r *reconciler) lastScan(ctx context.Context) (*meshv1.ScanReport, error) {
	report := &meshv1.ScanReport{}
	ok, err := r.mesh.Cursor("scan."+r.Account).Get(ctx, report)
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
			if _, err := r.scan(ctx, mesh.Reconciliation, "scheduled"); err != nil && ctx.Err() == nil {
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
