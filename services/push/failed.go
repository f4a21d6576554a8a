package push

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// isReported reports whether a failed attempt is published: attempts 1, 2, 4, 8 and so on. A product that fails for a
// week at 15 minutes then has ten entries in the audit trail and not seven hundred.
func isReported(attempts uint64) bool { return bits.OnesCount64(attempts) == 1 }

// publishFailed publishes that an attempt to apply a change failed, if it is one that is reported. The audit trail can
// do without the entry, so that an error is only logged.
func (p *pusher) publishFailed(ctx context.Context, change *catalogv1.ProductChange, cause error, attempts uint64,
	delay time.Duration,
) {
	if !isReported(attempts) {
		return
	}
	out := failedOutcome(change, cause, attempts, time.Now(), delay)
	out.Account = p.account
	out.Id = fmt.Sprintf("failed:%s:%s:%d:%d:%d", p.account, change.GetProductId(), change.GetVersion(), attempts,
		out.GetAt().AsTime().UnixNano())
	if err := p.mesh.Publish(ctx, topology.SyncSubject(p.account, out.GetKind(), out.GetProductId()), out,
		mesh.WithID(out.GetId()), mesh.WithVersion(out.GetVersion())); err != nil {
		p.logger.WarnContext(ctx, "could not record a failed attempt", "product", change.GetProductId(), "error", err)
	}
}

// maxFailureText is how much of an error the audit trail gets, in characters.
const maxFailureText = 2000

func failedOutcome(change *catalogv1.ProductChange, cause error, attempts uint64, at time.Time,
	delay time.Duration,
) *meshv1.Outcome {
	out := &meshv1.Outcome{
		ProductId:     change.GetProductId(),
		Kind:          meshv1.OutcomeKind_OUTCOME_KIND_FAILED,
		Version:       change.GetVersion(),
		Detail:        catalog.AbridgedTo(strings.ToValidUTF8(cause.Error(), "?"), maxFailureText),
		At:            timestamppb.New(at),
		CommittedAt:   change.GetCommittedAt(),
		Attempts:      attempts,
		NextAttemptAt: timestamppb.New(at.Add(delay)),
		Failure:       failureClass(cause),
	}
	if failure, ok := errors.AsType[*stripeapi.Failure](cause); ok {
		out.StripeRequestId = failure.RequestID
	}
	return out
}
