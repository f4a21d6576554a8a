package reconciliation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/describe"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// desired turns a message of CATALOG into a change of the ledger.
func (r *reconciler) desired(ctx context.Context, msg mesh.Message[*catalogv1.ProductChange]) (ledger.Change, error) {
	change := msg.Body
	at := msg.PublishedAt
	if c := change.GetCommittedAt(); c != nil {
		at = c.AsTime()
	}
	return ledger.DesiredChange(change, ledger.Position{Sequence: msg.Sequence, Stored: msg.PublishedAt}, ledger.Entry{
		// The id includes the time, because a stream that is created again counts from 1.
		EventID: fmt.Sprintf("CATALOG:%d:%d", msg.PublishedAt.UnixNano(), msg.Sequence),
		Product: change.GetProductId(),
		At:      at,
		Kind:    "catalog_change",
		Version: change.GetVersion(),
		Detail:  describeChange(change),
		TraceID: telemetry.TraceID(ctx),
	}), nil
}

// observed turns a message of OBSERVED into a change of the ledger.
func (r *reconciler) observed(_ context.Context, msg mesh.Message[*catalogv1.Observed]) (ledger.Change, error) {
	return ledger.ObservedChange(msg.Body, ledger.Position{Sequence: msg.Sequence, Stored: msg.PublishedAt}), nil
}

// forgetAdopted deletes what was observed under Stripe's id if the product was adopted while that message was in
// flight. Since the adoption it is no product of its own.
func (r *reconciler) forgetAdopted(ctx context.Context, o *catalogv1.Observed) error {
	if catalog.IsManaged(o) || o.GetProduct() == nil {
		return nil
	}
	linked, err := r.stores.Links().Product(ctx, r.Account, o.GetProductId())
	if err != nil || linked == "" || linked == o.GetProductId() {
		return err
	}
	return r.ledger.Forget(ctx, o.GetProductId())
}

// stripeEvent turns a message of STRIPE into an entry of the audit trail.
func (r *reconciler) stripeEvent(ctx context.Context, msg mesh.Message[*meshv1.StripeChange]) (ledger.Change, error) {
	c := msg.Body
	about := aboutEvent(c)
	detail := fmt.Sprintf("%s %s of %s", c.GetEventId(), c.GetType(), c.GetObjectId())
	if about.GetCausedBy() != causedByDriftless {
		detail += ", by others"
	}
	data, err := ledger.EncodeData(about)
	if err != nil {
		return ledger.Change{}, err
	}
	return ledger.EventEntry(ledger.Entry{
		EventID: ledger.StripeEntryID(c.GetAccount(), c.GetEventId()),
		Product: c.GetProductId(),
		At:      c.GetReceivedAt().AsTime(),
		Kind:    "stripe_event",
		Detail:  detail,
		TraceID: telemetry.TraceID(ctx),
		Data:    data,
	}, c.GetEventId()), nil
}

// outcome turns a message of SYNC into an entry of the audit trail.
func (r *reconciler) outcome(ctx context.Context, msg mesh.Message[*meshv1.Outcome]) (ledger.Change, error) {
	o := msg.Body
	detail, note := o.GetDetail(), ""
	if len(o.GetSteps()) > 0 {
		steps := make([]string, 0, len(o.GetSteps())+1)
		for _, s := range o.GetSteps() {
			steps = append(steps, fmt.Sprintf("%s [%s, %s]", s.GetStep(), s.GetObjectId(), s.GetStripeRequestId()))
		}
		if detail != "" {
			note, steps = detail, append(steps, detail)
		}
		detail = strings.Join(steps, "; ")
	}
	data, err := ledger.EncodeData(&controlv1.HistoryEntry{
		Differences:     o.GetDifferences(),
		Steps:           o.GetSteps(),
		StripeEventId:   o.GetEventId(),
		IdempotencyKey:  o.GetIdempotencyKey(),
		StripeRequestId: o.GetStripeRequestId(),
		Attempts:        o.GetAttempts(),
		NextAttemptAt:   o.GetNextAttemptAt(),
		Failure:         o.GetFailure(),
		Note:            note,
		Actor:           o.GetActor(),
		Reason:          o.GetReason(),
	})
	if err != nil {
		return ledger.Change{}, err
	}
	return ledger.AuditEntry(ledger.Entry{
		EventID: "SYNC:" + o.GetId(),
		Product: o.GetProductId(),
		At:      o.GetAt().AsTime(),
		Kind:    topology.OutcomeName(o.GetKind()),
		Version: o.GetVersion(),
		Detail:  detail,
		TraceID: telemetry.TraceID(ctx),
		Data:    data,
	}), nil
}

// forgetStripeID deletes what was known under Stripe's id of a product that was adopted.
func (r *reconciler) forgetStripeID(ctx context.Context, o *meshv1.Outcome) error {
	if o.GetKind() != meshv1.OutcomeKind_OUTCOME_KIND_ADOPTED || o.GetStripeId() == o.GetProductId() {
		return nil
	}
	return r.ledger.Forget(ctx, o.GetStripeId())
}

// deadLetter turns a message of DEAD into a change of the ledger.
func (r *reconciler) deadLetter(ctx context.Context, msg mesh.Message[*meshv1.DeadLetter]) (ledger.Change, error) {
	l := msg.Body
	// An earlier version, or another program, may have stored text that Postgres refuses.
	mesh.FitLetter(l, r.mesh.MaxBody())
	var data []byte
	if l.GetStripeRequestId() != "" {
		var err error
		if data, err = ledger.EncodeData(&controlv1.HistoryEntry{StripeRequestId: l.GetStripeRequestId()}); err != nil {
			return ledger.Change{}, err
		}
	}
	return ledger.DeadLetterChange(l, ledger.Entry{
		EventID: "DEAD:" + l.GetId(),
		Product: l.GetProductId(),
		At:      l.GetLastAt().AsTime(),
		Kind:    "dead",
		Version: l.GetVersion(),
		Detail:  l.GetReason() + ": " + l.GetMessage(),
		TraceID: telemetry.TraceID(ctx),
		Data:    data,
	}), nil
}

// describeChange describes a change in one line: its source, its operation, and the columns of each row image.
func describeChange(c *catalogv1.ProductChange) string {
	words := []string{
		strings.ToLower(strings.TrimPrefix(c.GetSource().String(), "SOURCE_")),
		strings.ToLower(strings.TrimPrefix(c.GetOperation().String(), "OPERATION_")),
	}
	for _, row := range c.GetRowImages() {
		op := strings.ToLower(strings.TrimPrefix(row.GetOperation().String(), "ROW_OPERATION_"))
		words = append(words, op+" "+row.GetTable()+changedColumns(row))
	}
	return strings.Join(words, "; ")
}

// bookkeeping lists columns that say nothing about a product.
var bookkeeping = []string{"created_at", "updated_at"}

// changedColumns lists the columns of an update with their old and new values. It returns "" for another operation, or
// if the old values are not known.
func changedColumns(row *catalogv1.RowImage) string {
	if row.GetOperation() != catalogv1.RowOperation_ROW_OPERATION_UPDATE || len(row.GetOldValues()) == 0 {
		return ""
	}
	var changed []string
	columns := slices.Collect(maps.Keys(row.GetNewValues()))
	for _, column := range row.GetNullColumns() {
		if _, had := row.GetOldValues()[column]; had {
			columns = append(columns, column)
		}
	}
	slices.Sort(columns)
	for _, column := range columns {
		if before, now := row.GetOldValues()[column],
			row.GetNewValues()[column]; before != now && !slices.Contains(bookkeeping, column) {
			changed = append(changed,
				fmt.Sprintf("%s: %q -> %q", column, describe.Truncate(before), describe.Truncate(now)))
		}
	}
	if len(changed) == 0 {
		return ""
	}
	return " (" + strings.Join(changed, ", ") + ")"
}
