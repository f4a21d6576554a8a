package reconciliation

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// undecodableInterval is how often messages that cannot be decoded are logged again.
const undecodableInterval = time.Hour

// publishOutbox publishes the messages that the ledger has stored, until ctx ends.
func (r *reconciler) publishOutbox(ctx context.Context) error {
	ticker := time.NewTicker(outboxInterval)
	defer ticker.Stop()
	var undecodable undecodableLog
	for outage := (&mesh.Outage{}); ; {
		err := r.ledger.PublishOutbox(ctx, r.publishMessage)
		// These messages stay until an operator deletes them. They must not hide an outage. Beside another error it is
		// not known whether there still are any.
		if left, _ := errors.AsType[*ledger.UndecodableError](err); (left != nil || err == nil) && ctx.Err() == nil {
			r.undecodable.Store(left)
			if undecodable.isDue(left, time.Now()) {
				r.Logger.ErrorContext(ctx, "some messages of the ledger are not published",
					"messages", len(left.Rows), "error", left)
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

// undecodableLog decides when messages that cannot be decoded are logged. The zero value is ready to use.
type undecodableLog struct {
	rows []int64
	at   time.Time
}

// isDue reports whether the messages that a search left are to be logged: when they are others than before, and every
// undecodableInterval. Nil means none.
func (u *undecodableLog) isDue(left *ledger.UndecodableError, now time.Time) bool {
	if left == nil {
		*u = undecodableLog{}
		return false
	}
	if slices.Equal(u.rows, left.Rows) && now.Sub(u.at) < undecodableInterval {
		return false
	}
	u.rows, u.at = left.Rows, now
	return true
}

// unpublished returns why some messages of the ledger are not published, "" if none is left.
func (r *reconciler) unpublished() string {
	if left := r.undecodable.Load(); left != nil {
		return left.Error()
	}
	return ""
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
