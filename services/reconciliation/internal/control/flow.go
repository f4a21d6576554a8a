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

// flows are the places at which messages wait, in the order in which a change passes them.
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

// statusOfFlow adds to out how much waits at each place, for how long, and how fast it gets less. retries are the first
// retries, and more reports whether there are others.
func (c control) statusOfFlow(ctx context.Context, v *view.View, retries []*meshv1.Retry, more bool,
	out *controlv1.GetStatusResponse,
) error {
	out.Flow = append(out.Flow, captureFlow(out))
	for _, f := range flows {
		flow := &controlv1.FlowStatus{Name: f.name}
		waiting, oldest, err := c.backlog(ctx, v, f.consumers)
		if err != nil {
			return err
		}
		if !oldest.IsZero() {
			flow.OldestAt = timestamppb.New(oldest)
		}
		if rate, ok := c.View.PerSecond(f.consumers...); ok {
			flow.PerSecond = proto.Float64(rate)
			flow.Left = timeLeft(waiting, rate)
		}
		if f.name == "retries" {
			// Retries that are due are messages of the consumer. The others are schedules.
			waiting += out.GetRetrying()
			flow.Left, flow.NextAt = nil, nextRetry(retries, more)
		}
		flow.Waiting = proto.Uint64(waiting)
		out.Flow = append(out.Flow, flow)
	}
	return nil
}

// backlog returns the number of messages that wait for consumers or are being handled, and the time of the oldest one.
// The time is zero if there is none.
func (c control) backlog(
	ctx context.Context, v *view.View, consumers []topology.Consumer,
) (waiting uint64, oldest time.Time, err error) {
	for _, s := range v.Consumers {
		if !slices.Contains(consumers, s.Consumer) {
			continue
		}
		waiting += s.Pending + s.InFlight
		at, err := c.Mesh.Oldest(ctx, s)
		if err != nil {
			return 0, time.Time{}, err
		}
		if !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	return waiting, oldest, nil
}

// captureFlow returns how far capture is behind. Ingestion reports that once a second, so a few seconds are no delay.
func captureFlow(s *controlv1.GetStatusResponse) *controlv1.FlowStatus {
	flow := &controlv1.FlowStatus{Name: "capture"}
	upTo := s.GetEquality().GetCapture().GetCapturedUpTo()
	if upTo != nil && s.GetEquality().GetAt().AsTime().Sub(upTo.AsTime()) > view.MaxReportAge {
		flow.OldestAt = upTo
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

// nextRetry returns when the first of the retries is due. It returns nil if there are more retries, since one of those
// may be due before.
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
