package reconciliation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
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
		case <-r.due:
		}
	}
}

// findDrift opens drift that outlasted the grace period, and issues the commands that are due.
func (r *reconciler) findDrift(ctx context.Context) error {
	// A repair or a write-back of what an older copy says could undo what has happened since.
	if reread, err := r.ledger.Continuity(ctx); err != nil || reread != nil {
		return err
	}
	pushed, err := r.progress.Update(ctx, r.mesh)
	if err != nil {
		return err
	}
	if err := r.ledger.EndOverlaps(ctx); err != nil {
		return err
	}
	for {
		n, err := r.ledger.FindDrift(ctx, r.GracePeriod, pushed, r.isDrift)
		if err != nil || n == 0 {
			return err
		}
	}
}

// isDrift reports whether a product that has differed for longer than the grace period has drifted. A product that
// waits for a retry of push has not: a repair would be one more failing call.
func (r *reconciler) isDrift(ctx context.Context, product string) (bool, error) {
	retrying, err := r.mesh.Retrying(ctx, topology.Push, r.Account, product)
	return err == nil && !retrying, err
}

// wake wakes the goroutine that waits for a channel with room for one value.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// listener says what is published about drift.
type listener struct{ *reconciler }

var _ ledger.Listener = listener{}

// DriftFound returns the outcome that reports new drift.
func (r listener) DriftFound(ctx context.Context, p *ledger.Product, drift []*ledger.Drift) []ledger.Message {
	// The message that made the difference comes from the trace of Stripe's event.
	ctx, span := r.startDriftSpan(ctx, "find drift", p, drift, p.Traceparent())
	defer span.End()
	differences := describe.Drift(drift, p)
	return []ledger.Message{r.outcomeMessage(ctx, p, drift, &meshv1.Outcome{
		Kind:        meshv1.OutcomeKind_OUTCOME_KIND_DRIFTED,
		Differences: differences,
		Detail:      strings.Join(describe.Texts(differences), "; "),
	})}
}

// DriftSettled returns one outcome for each state in which drift ended. They continue the trace of the message that
// ended it, which a repair has sent.
func (r listener) DriftSettled(ctx context.Context, p *ledger.Product, drift []*ledger.Drift) (out []ledger.Message) {
	ctx = telemetry.ContextWithTraceparent(ctx, p.Traceparent())
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
		differences := describe.Drift(of, p)
		out = append(out, r.outcomeMessage(ctx, p, of, &meshv1.Outcome{
			Kind:        how.kind,
			Differences: differences,
			Detail: fmt.Sprintf("equal again after %s: %s", r.Now().Sub(of[0].Since).Round(time.Millisecond),
				strings.Join(describe.Texts(differences), "; ")),
		}))
	}
	return out
}

// outcomeMessage completes an outcome about drift of a product. It continues the trace of ctx.
func (r listener) outcomeMessage(ctx context.Context, p *ledger.Product, drift []*ledger.Drift,
	o *meshv1.Outcome,
) ledger.Message {
	o.Id = fmt.Sprintf("%s:%s:%s:%d:%d", topology.OutcomeName(o.GetKind()), r.Account, p.ID,
		drift[0].Since.UnixMicro(), drift[0].ID)
	o.Account, o.ProductId, o.Version = r.Account, p.ID, p.Desired.GetVersion()
	o.At = timestamppb.New(r.Now())
	return ledger.Message{Product: p.ID, Body: o, Traceparent: telemetry.Traceparent(ctx)}
}

// Stored logs and counts drift, and wakes those who wait for what was stored.
func (r listener) Stored(ctx context.Context, s ledger.Stored) {
	if s.IsDue {
		wake(r.due)
	}
	if s.HasMessages {
		wake(r.outgoing)
	}
	if s.HasEvents {
		wake(r.outgoingEvents)
	}
	for _, found := range s.Found {
		r.reportFound(ctx, found)
	}
	for _, settled := range s.Settled {
		metrics.DriftRepaired.Add(ctx, int64(len(settled.Messages)))
	}
	r.deleteLetters(ctx, s.Closed)
}

// reportFound logs and counts new drift.
func (r listener) reportFound(ctx context.Context, found ledger.ProductDrift) {
	metrics.DriftFound.Add(ctx, 1)
	for _, m := range found.Messages {
		if o, ok := m.Body.(*meshv1.Outcome); ok {
			r.Logger.WarnContext(telemetry.ContextWithTraceparent(ctx, m.Traceparent), "drift found",
				"product", m.Product,
				"differences", describe.Texts(o.GetDifferences()))
		}
	}
	for _, d := range found.Drift {
		if d.State == ledger.Waiting {
			r.Logger.ErrorContext(ctx, "drift needs a decision: `driftless drift resolve`", "product", d.Product,
				"field", d.Field, "why", d.Detail)
		}
	}
}

// deleteLetters removes closed letters from DEAD, because a ledger that is created again must not open them again. It
// does not retry. A letter that stays in DEAD is closed again by the state that closed it, unless an operator's command
// closed it.
func (r *reconciler) deleteLetters(ctx context.Context, letters []*meshv1.DeadLetter) {
	for _, l := range letters {
		if err := r.mesh.DeleteLetter(ctx, l); err != nil {
			r.Logger.WarnContext(ctx, "could not remove a closed dead letter from DEAD",
				"product", l.GetProductId(), "error", err)
		}
	}
}
