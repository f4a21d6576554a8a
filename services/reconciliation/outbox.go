package reconciliation

import (
	"context"
	"errors"
	"fmt"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// outboxInterval is the time between two searches for messages that another process has left, or that could not be
// published.
const outboxInterval = time.Second

// publishOutbox publishes the messages that the ledger has stored, until ctx ends.
func (r *reconciler) publishOutbox(ctx context.Context) error {
	ticker := time.NewTicker(outboxInterval)
	defer ticker.Stop()
	undecodable := 0
	for outage := (&mesh.Outage{}); ; {
		err := r.ledger.PublishOutbox(ctx, r.publishMessage)
		// These messages stay until an operator deletes them. They must not hide an outage.
		if left := (*ledger.UndecodableError)(nil); errors.As(err, &left) {
			if n := len(left.Rows); n != undecodable {
				r.Logger.ErrorContext(ctx, "some messages of the ledger are not published", "messages", n, "error", left)
				undecodable = n
			}
			err = nil
		}
		if ctx.Err() == nil && outage.ShouldLog(err) {
			r.Logger.WarnContext(ctx, "could not publish what the ledger has stored; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-r.outgoing:
		}
	}
}

// publishMessage publishes a message of the ledger in the trace that it continues.
func (r *reconciler) publishMessage(ctx context.Context, m ledger.Message) error {
	ctx = telemetry.ContextWithTraceparent(ctx, m.Traceparent)
	ctx = telemetry.ContextAbout(ctx, telemetry.About{Account: r.Account, Product: m.Product})
	switch body := m.Body.(type) {
	case *meshv1.Outcome:
		fitOutcome(body, r.mesh.MaxBody())
		return r.mesh.Publish(ctx, topology.SyncSubject(r.Account, body.GetKind(), m.Product), body,
			mesh.WithID(body.GetId()), mesh.WithVersion(body.GetVersion()))
	case *meshv1.Command:
		return r.commands.Publish(ctx, body, m.Product)
	default:
		return fmt.Errorf("message of the ledger about product %s has the unknown type %T", m.Product, body)
	}
}
