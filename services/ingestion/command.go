package ingestion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/telemetry"
)

// commandConcurrency is how many orders are carried out at once: a backfill takes long, and write-backs must not wait for it.
const commandConcurrency = 4

// standbyDelay is how long an order waits for the replica that reads the log, or for the backfill before it.
const standbyDelay = time.Second

// command carries out an order.
func (in *ingester) command(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	switch verb := msg.Body.GetVerb().(type) {
	case *meshv1.Command_Backfill:
		return in.backfill(ctx, verb.Backfill)
	case *meshv1.Command_WriteBack:
		return in.writeBack(ctx, msg.Body, verb.WriteBack)
	default:
		return mesh.Dead(&meshv1.DeadLetter{
			Account: msg.Body.GetAccount(), ProductId: "unknown", Reason: mesh.ReasonUndecodable,
			Message: fmt.Sprintf("ingestion does not know the command on %s", msg.Subject),
		})
	}
}

// backfill reads products again.
func (in *ingester) backfill(ctx context.Context, order *meshv1.Backfill) mesh.Verdict {
	t := in.turns.mine()
	if t == nil {
		// A replica that waits for the slot would label what it reads with where the log was when it began to wait.
		return mesh.Busy(standbyDelay)
	}
	// One at a time: of two that read the same product, the one that read it first might be stored last.
	if !in.backfilling.TryLock() {
		return mesh.Busy(standbyDelay)
	}
	defer in.backfilling.Unlock()
	var err error
	if ids := order.GetProductIds(); len(ids) > 0 {
		if len(ids) == 1 {
			about := telemetry.About{Account: in.account, Product: ids[0]}
			telemetry.SetAbout(trace.SpanFromContext(ctx), about)
			ctx = telemetry.ContextAbout(ctx, about)
		}
		err = in.states(ctx, t, ids, in.progress.label(), catalogv1.Source_SOURCE_BACKFILL)
	} else {
		err = in.whole(ctx, t, catalogv1.Source_SOURCE_BACKFILL, "", func(string) error { return nil })
	}
	switch {
	case errors.Is(err, mesh.ErrOvertaken):
		return mesh.Busy(standbyDelay)
	case err != nil:
		return mesh.Retry(err)
	}
	return mesh.Ack()
}
