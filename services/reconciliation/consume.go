package reconciliation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/catalog"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// desired follows CATALOG.
func (r *reconciler) desired(ctx context.Context, msg mesh.Message[*catalogv1.ProductChange]) error {
	change := msg.Body
	at := msg.PublishedAt
	if c := change.GetCommittedAt(); c != nil {
		at = c.AsTime()
	}
	return r.ledger.Desire(ctx, change, ledger.Position{Sequence: msg.Sequence, Stored: msg.PublishedAt}, ledger.Entry{
		// With the time: a stream that is made anew counts from 1 again.
		EventID: fmt.Sprintf("CATALOG:%d:%d", msg.PublishedAt.UnixNano(), msg.Sequence), Product: change.GetProductId(), At: at, Kind: "catalog_change",
		Version: change.GetVersion(), Detail: describe(change), TraceID: traceID(ctx),
	})
}

// observed follows OBSERVED.
func (r *reconciler) observed(ctx context.Context, msg mesh.Message[*catalogv1.Observed]) error {
	if err := r.ledger.Observe(ctx, msg.Body, ledger.Position{Sequence: msg.Sequence, Stored: msg.PublishedAt}); err != nil {
		return err
	}
	if catalog.Ours(msg.Body) || msg.Body.GetProduct() == nil {
		return nil
	}
	// A product that was adopted while this was on its way is none by itself any more.
	linked, err := r.mesh.Links().Product(ctx, r.Account, msg.Body.GetProductId())
	if err != nil || linked == "" || linked == msg.Body.GetProductId() {
		return err
	}
	return r.ledger.Forget(ctx, msg.Body.GetProductId())
}

// stripeEvent follows STRIPE, for the audit trail.
func (r *reconciler) stripeEvent(ctx context.Context, msg mesh.Message[*meshv1.StripeChange]) error {
	c := msg.Body
	about := aboutEvent(c)
	detail := fmt.Sprintf("%s %s of %s", c.GetEventId(), c.GetType(), c.GetObjectId())
	if about.GetCausedBy() != causedByDriftless {
		detail += ", by others"
	}
	data, err := ledger.EncodeData(about)
	if err != nil {
		return err
	}
	if err := r.ledger.Record(ctx, ledger.Entry{
		EventID: "STRIPE:" + c.GetAccount() + ":" + c.GetEventId(), Product: c.GetProductId(), At: c.GetReceivedAt().AsTime(),
		Kind: "stripe_event", Detail: detail, TraceID: traceID(ctx), Data: data,
	}); err != nil {
		return err
	}
	return r.ledger.BlameEvent(ctx, c.GetProductId(), c.GetEventId())
}

// outcome follows SYNC, for the audit trail.
func (r *reconciler) outcome(ctx context.Context, msg mesh.Message[*meshv1.Outcome]) error {
	o := msg.Body
	detail := o.GetDetail()
	if len(o.GetSteps()) > 0 {
		steps := make([]string, len(o.GetSteps()))
		for i, s := range o.GetSteps() {
			steps[i] = fmt.Sprintf("%s [%s, %s]", s.GetStep(), s.GetObjectId(), s.GetStripeRequestId())
		}
		detail = strings.Join(steps, "; ")
	}
	if o.GetKind() == meshv1.OutcomeKind_OUTCOME_KIND_ADOPTED && o.GetStripeId() != o.GetProductId() {
		if err := r.ledger.Forget(ctx, o.GetStripeId()); err != nil {
			return err
		}
	}
	data, err := ledger.EncodeData(&controlv1.HistoryEntry{
		Differences: o.GetDifferences(), Steps: o.GetSteps(), StripeEventId: o.GetEventId(), IdempotencyKey: o.GetIdempotencyKey(),
	})
	if err != nil {
		return err
	}
	return r.ledger.Record(ctx, ledger.Entry{
		EventID: "SYNC:" + o.GetId(), Product: o.GetProductId(), At: o.GetAt().AsTime(), Kind: mesh.OutcomeName(o.GetKind()),
		Version: o.GetVersion(), Detail: detail, TraceID: traceID(ctx), Data: data,
	})
}

// deadLetter follows DEAD.
func (r *reconciler) deadLetter(ctx context.Context, msg mesh.Message[*meshv1.DeadLetter]) error {
	l := msg.Body
	return r.ledger.Bury(ctx, l, ledger.Entry{
		EventID: "DEAD:" + l.GetId(), Product: l.GetProductId(), At: l.GetLastAt().AsTime(), Kind: "dead", Version: l.GetVersion(),
		Detail: l.GetReason() + ": " + l.GetMessage(), TraceID: traceID(ctx),
	})
}

func (r *reconciler) tell(ctx context.Context, o *meshv1.Outcome) error {
	o.Account, o.At = r.Account, timestamppb.New(r.Now())
	return r.mesh.Publish(ctx, mesh.SyncSubject(r.Account, o.GetKind(), o.GetProductId()), o, mesh.WithID(o.GetId()), mesh.WithVersion(o.GetVersion()))
}

func traceID(ctx context.Context) string {
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		return s.TraceID().String()
	}
	return ""
}

// describe says in words what a change is: where it comes from and which columns it touched.
func describe(c *catalogv1.ProductChange) string {
	words := []string{strings.ToLower(strings.TrimPrefix(c.GetSource().String(), "SOURCE_")), strings.ToLower(strings.TrimPrefix(c.GetOperation().String(), "OPERATION_"))}
	for _, row := range c.GetRowImages() {
		op := strings.ToLower(strings.TrimPrefix(row.GetOperation().String(), "ROW_OPERATION_"))
		words = append(words, op+" "+row.GetTable()+changedColumns(row))
	}
	return strings.Join(words, "; ")
}

// bookkeeping columns say nothing about a product.
var bookkeeping = []string{"created_at", "updated_at"}

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
		if before, now := row.GetOldValues()[column], row.GetNewValues()[column]; before != now && !slices.Contains(bookkeeping, column) {
			changed = append(changed, fmt.Sprintf("%s: %s -> %s", column, abridged(before), abridged(now)))
		}
	}
	if len(changed) == 0 {
		return ""
	}
	return " (" + strings.Join(changed, ", ") + ")"
}

func abridged(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}
