package control

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// flows are the places at which messages wait, in the order of the way of a change.
var flows = []struct {
	name      string
	consumers []topology.Consumer
}{
	{"live", []topology.Consumer{topology.PushLive}},
	{"bulk", []topology.Consumer{topology.PushBulk}},
	{"commands", []topology.Consumer{topology.IngestionCommand, topology.PushCommand, topology.PullCommand}},
	{"retries", []topology.Consumer{topology.PushRetry}},
	{"events", []topology.Consumer{topology.PullStripe}},
	{"ledger", []topology.Consumer{
		topology.ReconciliationCatalog, topology.ReconciliationStripe, topology.ReconciliationSync,
		topology.ReconciliationDead, topology.ReconciliationObserved,
	}},
}

// statusOfFlow adds what waits, and how fast it is done. retries are the first retries, and more
// reports that there are others.
func (c control) statusOfFlow(ctx context.Context, v *view.View, retries []*meshv1.Retry, more bool,
	out *controlv1.GetStatusResponse,
) error {
	out.Flow = append(out.Flow, captureFlow(out))
	for _, f := range flows {
		flow := &controlv1.FlowStatus{Name: f.name}
		waiting, oldest := uint64(0), time.Time{}
		for _, s := range v.Consumers {
			if !slices.Contains(f.consumers, s.Consumer) {
				continue
			}
			waiting += s.Pending + s.InFlight
			at, err := c.Mesh.Oldest(ctx, s)
			if err != nil {
				return err
			}
			if !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
				oldest = at
			}
		}
		if !oldest.IsZero() {
			flow.OldestAt = timestamppb.New(oldest)
		}
		if rate, ok := c.View.PerSecond(f.consumers...); ok {
			flow.PerSecond = proto.Float64(rate)
			flow.Left = timeLeft(waiting, rate)
		}
		if f.name == "retries" {
			// Those that are due are among the messages, and the others are schedules.
			waiting += out.GetRetrying()
			flow.Left, flow.NextAt = nil, nextRetry(retries, more)
		}
		flow.Waiting = proto.Uint64(waiting)
		out.Flow = append(out.Flow, flow)
	}
	return nil
}

// captureFlow returns how far capture is behind. Ingestion reports that once a second, so a few seconds are no delay.
func captureFlow(s *controlv1.GetStatusResponse) *controlv1.FlowStatus {
	flow := &controlv1.FlowStatus{Name: "capture"}
	up := s.GetEquality().GetCapture().GetCapturedUpTo()
	if up != nil && s.GetEquality().GetAt().AsTime().Sub(up.AsTime()) > view.MaxReportAge {
		flow.OldestAt = up
	}
	rate := 0.0
	for _, service := range s.GetServices() {
		if service.GetService() != topology.Ingestion || service.GetRunning() == 0 {
			continue
		}
		for _, p := range service.GetProcesses() {
			if p.GetState() == "running" {
				rate += p.GetProcess().GetRates()["products"]
			}
		}
		flow.PerSecond = proto.Float64(rate)
	}
	return flow
}

// timeLeft returns how long the waiting messages take at a rate, nil if nothing waits or nothing moves.
func timeLeft(waiting uint64, rate float64) *durationpb.Duration {
	if waiting == 0 || rate <= 0 {
		return nil
	}
	return durationpb.New(time.Duration(float64(waiting) / rate * float64(time.Second)).Round(time.Second))
}

// nextRetry returns when the first of the retries is due, nil if others may be due before.
func nextRetry(retries []*meshv1.Retry, more bool) (next *timestamppb.Timestamp) {
	if more {
		return nil
	}
	for _, r := range retries {
		if next == nil || r.GetDueAt().AsTime().Before(next.AsTime()) {
			next = r.GetDueAt()
		}
	}
	return next
}
