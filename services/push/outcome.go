package push

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// deadLetter returns a dead letter for a change. It has the desired state, so that a replay works whether a change, a
// command or a retry asked for it.
func (p *pusher) deadLetter(change *catalogv1.ProductChange, reason, message string) *meshv1.DeadLetter {
	letter := &meshv1.DeadLetter{
		Account: p.account, ProductId: change.GetProductId(), Version: change.GetVersion(), Reason: reason,
		Message: message,
	}
	if payload, err := proto.Marshal(change); err == nil && len(payload) <= p.mesh.MaxBody()/2 {
		letter.Payload = payload
	}
	return letter
}

func describeSteps(steps []catalog.Step) string {
	var b strings.Builder
	for i, s := range steps {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(s.String())
		b.WriteString(" (")
		for j, param := range s.Params {
			if j > 0 {
				b.WriteString(", ")
			}
			b.WriteString(param.Name)
		}
		b.WriteString(")")
	}
	return b.String()
}

// publishApplied publishes that a version is applied. The outcome's id is the same on every attempt, so the audit trail
// has it once. The plan is nil if an earlier pass has applied the version.
func (p *pusher) publishApplied(ctx context.Context, req plan.Request, pl *plan.Plan, generation uint64,
	done []plan.Done,
) error {
	change := req.Change
	if pl != nil && pl.Advances() {
		countApplied(ctx, change)
	}
	out := &meshv1.Outcome{
		Id:      fmt.Sprintf("applied:%s:%s:%d:%d", p.account, change.GetProductId(), change.GetVersion(), generation),
		Account: p.account, ProductId: change.GetProductId(), Kind: meshv1.OutcomeKind_OUTCOME_KIND_APPLIED,
		Version: change.GetVersion(), At: timestamppb.Now(), CommittedAt: change.GetCommittedAt(),
	}
	for _, d := range done {
		out.Steps = append(out.Steps, &meshv1.AppliedStep{
			Step: req.Keys.Describe(d.Step), ObjectId: d.ObjectID, IdempotencyKey: d.Key, StripeRequestId: d.RequestID,
			Took: durationpb.New(d.Took), SentAt: timestamppb.New(d.SentAt), Waited: durationpb.New(d.Waited),
		})
	}
	out.Detail = describeOverlaps(pl)
	setOutcome(ctx, telemetry.OutcomeApplied)
	return p.mesh.Publish(ctx, topology.SyncSubject(p.account, out.GetKind(), out.GetProductId()), out,
		mesh.WithID(out.GetId()), mesh.WithVersion(out.GetVersion()))
}
