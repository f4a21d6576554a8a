package control

import (
	"context"
	"strings"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// by says who asks for an operation, and why.
type by struct {
	actor, reason string
	// claimed is the name in the request of a caller whose token has another one. Nobody has checked it.
	claimed string
}

// requester is a request that says who asks for an operation, and why.
type requester interface {
	GetActor() string
	GetReason() string
}

// byCaller returns who makes a request, as far as the token lets the request say so.
func byCaller(ctx context.Context, r requester) (by, error) {
	return byActor(ctx, r.GetActor(), r.GetReason())
}

func byActor(ctx context.Context, actor, reason string) (b by, err error) {
	b.reason = strings.TrimSpace(reason)
	if b.actor, b.claimed, err = auth.From(ctx).As(actor); err != nil {
		return b, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return b, nil
}

// about identifies a command, and says what it is for.
func (b by) about(id, what string) command.About {
	if b.reason != "" {
		what += ": " + b.reason
	}
	return command.About{ID: id, Issuer: b.actor, Reason: what}
}

// String is the end of an entry in the audit trail: ", by ann: new price list".
func (b by) String() string {
	text := ", by " + b.actor
	if b.claimed != "" {
		text += " (as " + b.claimed + ")"
	}
	if b.reason != "" {
		text += ": " + b.reason
	}
	return text
}

// sign adds actor and reason to an entry of the audit trail, which may have other data.
func (b by) sign(e ledger.Entry, data *controlv1.HistoryEntry) (ledger.Entry, error) {
	if data == nil {
		data = &controlv1.HistoryEntry{}
	}
	data.Actor, data.Reason = b.actor, b.reason
	e.Detail += b.String()
	var err error
	e.Data, err = ledger.EncodeData(data)
	return e, err
}

// record adds an entry to the audit trail about what somebody did.
func (c control) record(ctx context.Context, b by, e ledger.Entry, data *controlv1.HistoryEntry) error {
	if e.At.IsZero() {
		e.At = c.Now()
	}
	e.TraceID = telemetry.TraceID(ctx)
	e, err := b.sign(e, data)
	if err != nil {
		return err
	}
	return c.Ledger.Apply(ctx, ledger.AuditEntry(e))
}

// recordForAll adds an entry about the whole account.
func (c control) recordForAll(ctx context.Context, b by, kind, detail string) error {
	return c.record(ctx, b, ledger.Entry{
		EventID: strings.ToUpper(kind) + ":" + nuid.Next(),
		Product: allProducts,
		Kind:    kind,
		Detail:  detail,
	}, nil)
}
