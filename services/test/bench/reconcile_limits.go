package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// limitedFor is how long a scan that keeps to Stripe's limits is measured.
const limitedFor = 20 * time.Second

// measureLimited measures the share of Stripe's limits that a scan uses while it lists.
func (b *reconcileBench) measureLimited(ctx context.Context) (err error) {
	if err := b.pull.stop(); err != nil {
		return err
	}
	limits := []string{
		fmt.Sprintf("STRIPE_RATE=%g", benchRate),
		fmt.Sprintf("STRIPE_ENDPOINT_RATE=%g", benchEndpointRate),
	}
	if b.pull, err = startProcess(ctx, topology.Pull, b.world.pullAddr,
		append(b.environment(), limits...)...); err != nil {
		return err
	}
	b.world.close = append(b.world.close, b.pull.stop)
	started, err := b.control.StartScan(ctx, connect.NewRequest(&controlv1.StartScanRequest{}))
	if err != nil {
		return fmt.Errorf("start a scan: %w", err)
	}
	first, last := &meshv1.ScanReport{}, &meshv1.ScanReport{}
	for {
		report := &meshv1.ScanReport{}
		if _, err := b.world.stores.Record(topology.KeyScan, benchAccount).Get(ctx, report); err != nil {
			return err
		}
		if report.GetId() == started.Msg.GetId() && report.GetListCalls() > 0 {
			if report.GetPhase() != meshv1.ScanPhase_SCAN_PHASE_LISTING {
				break
			}
			if last = report; first.GetId() == "" {
				first = report
			}
			if last.GetAt().AsTime().Sub(first.GetAt().AsTime()) > limitedFor {
				break
			}
		}
		if err := rest(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	r := b.result
	// Products and prices have one list endpoint each.
	r.ListLimit = 2 * benchEndpointRate
	took := last.GetAt().AsTime().Sub(first.GetAt().AsTime()).Seconds()
	if took < 1 {
		return errors.New("there are too few products to watch a scan list them")
	}
	r.LimitedListPerSecond = float64(last.GetListCalls()-first.GetListCalls()) / took
	r.ListLimitRatio = r.LimitedListPerSecond / r.ListLimit
	return nil
}
