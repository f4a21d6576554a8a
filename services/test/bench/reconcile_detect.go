package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

const extraKind = "extra product"

func (b *reconcileBench) scan(ctx context.Context) error {
	started, err := b.control.StartScan(ctx, connect.NewRequest(&controlv1.StartScanRequest{}))
	if err != nil {
		return fmt.Errorf("start a scan: %w", err)
	}
	begun := time.Now()
	took := map[meshv1.ScanPhase]time.Duration{}
	report := &meshv1.ScanReport{}
	for report.GetId() != started.Msg.GetId() || report.GetFinishedAt() == nil {
		if err := rest(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		// The control API is not used, since the report is what the scan itself writes.
		if _, err := b.world.stores.Record(topology.KeyScan, benchAccount).Get(ctx, report); err != nil {
			return err
		}
		took[report.GetPhase()] += time.Since(begun)
		begun = time.Now()
		if report.GetId() == started.Msg.GetId() && report.GetError() != "" {
			return errors.New(report.GetError())
		}
	}
	if report.GetFailed() > 0 || report.GetUnconfirmed() > 0 {
		return fmt.Errorf("%d objects failed, %d are not confirmed", report.GetFailed(), report.GetUnconfirmed())
	}
	r := b.result
	r.ScanSeconds = report.GetFinishedAt().AsTime().Sub(report.GetStartedAt().AsTime()).Seconds()
	r.ListSeconds, r.CompareSeconds = took[meshv1.ScanPhase_SCAN_PHASE_LISTING].Seconds(),
		took[meshv1.ScanPhase_SCAN_PHASE_COMPARING].Seconds()
	r.ConfirmSeconds = took[meshv1.ScanPhase_SCAN_PHASE_CONFIRMING].Seconds()
	r.ScanPerSecond = float64(report.GetProducts()+report.GetPrices()) / r.ScanSeconds
	r.BareListRatio = r.ScanPerSecond / r.BareListPerSecond
	r.ListCalls, r.Reads = report.GetListCalls(), report.GetReads()
	return nil
}

// patience is how long the ledger may stay unchanged before the search for drift ends.
const patience = 30 * time.Second

// waitFound reads the drift from reconciliation until it contains all planted differences.
func (b *reconcileBench) waitFound(ctx context.Context) error {
	begun, last := time.Now(), time.Now()
	for {
		byKind := map[string]int{}
		drifted, err := b.driftedProducts(ctx)
		if err != nil {
			return err
		}
		found := 0
		for id, kind := range b.planted {
			if drifted[id] {
				byKind[kind]++
				found++
			}
		}
		status, err := b.control.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		if err != nil {
			return fmt.Errorf("ask for the status: %w", err)
		}
		extras := min(int(status.Msg.GetOrphans()), b.extra)
		found += extras
		if extras > 0 {
			byKind[extraKind] = extras
		}
		if found > b.result.DriftFound {
			last = time.Now()
		}
		b.result.DriftFound, b.result.DriftFoundByKind = found, byKind
		if found >= b.result.DriftPlanted || time.Since(last) > patience {
			b.result.SettleSeconds = last.Sub(begun).Seconds()
			break
		}
		if err := rest(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
	var err error
	if b.result.PullPeakRSSMB, err = b.pull.peakMemory(); err != nil {
		return err
	}
	if b.result.ReconciliationPeakRSSMB, err = b.reconciliation.peakMemory(); err != nil {
		return err
	}
	b.result.PeakRSSMB = max(b.result.PullPeakRSSMB, b.result.ReconciliationPeakRSSMB)
	return nil
}

// driftedProducts returns the drifted products among the named ones, or among all.
func (b *reconcileBench) driftedProducts(ctx context.Context, ids ...string) (map[string]bool, error) {
	out := map[string]bool{}
	request := &controlv1.ListDriftRequest{ProductIds: ids, Limit: 10_000}
	for more := true; more; {
		list, err := b.control.ListDrift(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, fmt.Errorf("ask for the drift: %w", err)
		}
		for _, d := range list.Msg.GetDrift() {
			out[d.GetProductId()] = true
			request.After = d.GetProductId()
		}
		more = list.Msg.GetTruncated() && len(list.Msg.GetDrift()) > 0
	}
	return out, nil
}

// detect measures the time from a change in Stripe's dashboard until reconciliation shows it.
func (b *reconcileBench) detect(ctx context.Context) (err error) {
	if b.result.DetectWebhookMS, err = b.detectAll(ctx, 1, b.Samples); err != nil {
		return fmt.Errorf("with webhooks: %w", err)
	}
	if _, err := b.world.sim.AddFault(stripesim.Fault{Kind: stripesim.FaultWebhookLost}); err != nil {
		return err
	}
	b.result.DetectPollMS, err = b.detectAll(ctx, 1+b.Samples, max(b.Samples/4, 1))
	if err != nil {
		return fmt.Errorf("by polling: %w", err)
	}
	return nil
}

// detectAll changes some of the equal products, one after another, and returns the median time.
func (b *reconcileBench) detectAll(ctx context.Context, first, samples int) (float64, error) {
	var took []float64
	for i := first; len(took) < samples && i < b.Products; i++ {
		id := productID(i)
		if b.planted[id] != "" {
			continue
		}
		begun := time.Now()
		if err := b.world.loud.EditProduct(id, url.Values{"name": {"Changed at the dashboard"}}); err != nil {
			return 0, err
		}
		for {
			drifted, err := b.driftedProducts(ctx, id)
			if err != nil {
				return 0, err
			}
			if drifted[id] {
				break
			}
			if time.Since(begun) > time.Minute+2*b.Poll {
				return 0, fmt.Errorf("a change of product %s was not detected", id)
			}
			if err := rest(ctx, 2*time.Millisecond); err != nil {
				return 0, err
			}
		}
		took = append(took, float64(time.Since(begun).Microseconds())/1000)
	}
	if len(took) == 0 {
		return 0, errors.New("there are too few products to change one")
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
