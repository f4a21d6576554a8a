package push

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// Outcomes about a hold have an id that is the same on every attempt, so the audit trail has each of them once. A
// product that is held again later has another time in its hold.

func (p *pusher) publishHeld(ctx context.Context, change *catalogv1.ProductChange, hold *catalogv1.Hold) error {
	return p.publishHoldOutcome(ctx, change.GetProductId(), hold, &meshv1.Outcome{
		Id:          strings.Join(plan.HeldBy(hold), ","),
		Kind:        meshv1.OutcomeKind_OUTCOME_KIND_HELD,
		Version:     hold.GetVersion(),
		Detail:      plan.DescribeHold(hold),
		CommittedAt: change.GetCommittedAt(),
	})
}

func (p *pusher) publishReleased(ctx context.Context, product string, r *catalogv1.Release) error {
	detail := "the guard lets the change pass"
	if r.GetVersion() > r.GetHeldVersion() {
		detail = fmt.Sprintf("version %d was held, and this one is not dangerous", r.GetHeldVersion())
	}
	return p.publishHoldOutcome(ctx, product, &catalogv1.Hold{Since: r.GetHeldSince()}, &meshv1.Outcome{
		Kind:        meshv1.OutcomeKind_OUTCOME_KIND_RELEASED,
		Version:     r.GetVersion(),
		Detail:      detail,
		CommittedAt: r.GetCommittedAt(),
	})
}

// publishApproval publishes a recorded approval, the number-th of those that are needed.
func (p *pusher) publishApproval(ctx context.Context, product string, hold *catalogv1.Hold, number, needed int) error {
	approval := hold.GetApprovals()[number-1]
	return p.publishHoldOutcome(ctx, product, hold, &meshv1.Outcome{
		Id:      strconv.Itoa(number),
		Kind:    meshv1.OutcomeKind_OUTCOME_KIND_APPROVED,
		Version: hold.GetVersion(),
		Detail:  fmt.Sprintf("%d of %d: %s: %s", number, needed, approval.GetActor(), approval.GetReason()),
		Actor:   approval.GetActor(),
		Reason:  approval.GetReason(),
	})
}

// publishIgnoredApproval publishes that an approval came for a version that is not held.
func (p *pusher) publishIgnoredApproval(ctx context.Context, command *meshv1.Command, held uint64) error {
	why := "it is not held"
	if held > 0 {
		why = fmt.Sprintf("version %d is held", held)
	}
	return p.publishHoldOutcome(ctx, command.GetApprove().GetProductId(), nil, &meshv1.Outcome{
		Id:      "ignored:" + command.GetId(),
		Kind:    meshv1.OutcomeKind_OUTCOME_KIND_APPROVED,
		Version: command.GetApprove().GetVersion(),
		Detail: fmt.Sprintf("ignored, because %s: the approval of %s: %s", why, command.GetIssuer(),
			command.GetReason()),
		Actor:  command.GetIssuer(),
		Reason: command.GetReason(),
	})
}

// publishHoldOutcome publishes an outcome about a product. out.Id is what tells it from others of its kind about the
// same hold and version.
func (p *pusher) publishHoldOutcome(ctx context.Context, product string, hold *catalogv1.Hold,
	out *meshv1.Outcome,
) error {
	out.Id = fmt.Sprintf("%s:%s:%s:%d:%d:%s", topology.OutcomeName(out.GetKind()), p.account, product,
		out.GetVersion(), hold.GetSince().AsTime().UnixNano(), out.GetId())
	out.Account, out.ProductId, out.At = p.account, product, timestamppb.Now()
	return p.mesh.Publish(ctx, topology.SyncSubject(p.account, out.GetKind(), product), out, mesh.WithID(out.GetId()),
		mesh.WithVersion(out.GetVersion()))
}
