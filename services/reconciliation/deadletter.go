package reconciliation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// lettersAtOnce is about how many letters one call replays or drops. A letter may be as large as a message.
const lettersAtOnce = 200

// forget removes closed letters from DEAD: a ledger made anew must not open them again. It is not tried again: a letter
// that stays there is closed anew by the state that closed it, except one that an operator's order settled.
func (r *reconciler) forget(ctx context.Context, letters []*meshv1.DeadLetter) {
	for _, l := range letters {
		if err := r.mesh.DeleteLetter(ctx, l); err != nil {
			r.Logger.WarnContext(ctx, "a dead letter is closed, and could not be removed from DEAD",
				"product", l.GetProductId(), "error", err)
		}
	}
}

// GetDeadLetters shows a product's open dead letters with what they were about.
func (c control) GetDeadLetters(ctx context.Context,
	req *connect.Request[controlv1.GetDeadLettersRequest]) (*connect.Response[controlv1.GetDeadLettersResponse],
	error,
) {
	id := req.Msg.GetProductId()
	letters, err := c.ledger.DeadLetters(ctx, ledger.Letters{Products: []string{id}}, maxNamed)
	if err != nil {
		return nil, unavailable(err)
	}
	product, err := c.ledger.Product(ctx, id)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.GetDeadLettersResponse{}
	for _, l := range letters {
		detail := &controlv1.DeadLetterDetail{DeadLetter: l, Wanted: wanted(l, product)}
		if retriedBy(l) == topology.Push && product != nil {
			detail.Steps = plan(product).GetSteps()
		}
		out.DeadLetters = append(out.DeadLetters, detail)
	}
	return connect.NewResponse(out), nil
}

// wanted is the state that a letter is about: the one that it carries, that of a write-back included, or else the one
// of its version that CATALOG held, as with a letter of a repair, which carries the order.
func wanted(l *meshv1.DeadLetter, product *ledger.Product) *catalogv1.ProductChange {
	if l.GetReason() == topology.ReasonWriteBackFailed {
		command := &meshv1.Command{}
		if err := proto.Unmarshal(l.GetPayload(), command); err == nil &&
			command.GetWriteBack().GetProductId() == l.GetProductId() {
			return &catalogv1.ProductChange{
				Account: l.GetAccount(), ProductId: l.GetProductId(), Version: l.GetVersion(),
				Operation: catalogv1.Operation_OPERATION_UPSERT, Product: command.GetWriteBack().GetProduct(),
			}
		}
	}
	if l.GetStream() == topology.StreamCatalog || l.GetStream() == "" && l.GetService() == topology.Ingestion {
		change := &catalogv1.ProductChange{}
		if err := proto.Unmarshal(l.GetPayload(), change); err == nil && change.GetProductId() == l.GetProductId() {
			return change
		}
	}
	if product != nil && l.GetVersion() > 0 && product.Desired.GetVersion() == l.GetVersion() {
		return product.Desired
	}
	return nil
}

// retriedBy is the service that is told to try again. A product that ingestion refused never came to CATALOG, so only
// ingestion can read its newest state. All else is push's, which looks at Stripe: what pull could not take is read by
// that. A message that nobody could read may name a product that the catalog never had; ingestion would call that one
// removed. So may a write-back that failed, and what it rested on may be past: once push has looked at Stripe, what
// then differs is decided anew.
func retriedBy(l *meshv1.DeadLetter) string {
	switch l.GetReason() {
	case topology.ReasonUndecodable, topology.ReasonWriteBackFailed:
		return topology.Push
	}
	if l.GetService() == topology.Ingestion {
		return topology.Ingestion
	}
	return topology.Push
}

// ReplayDeadLetters orders the newest states of dead products to be tried again. The letters stay open: what comes of
// the orders closes them, or brings others in their place.
func (c control) ReplayDeadLetters(ctx context.Context,
	req *connect.Request[controlv1.ReplayDeadLettersRequest]) (*connect.Response[controlv1.ReplayDeadLettersResponse],
	error,
) {
	letters, missing, more, err := c.selected(ctx, req.Msg.GetSelection())
	if err != nil {
		return nil, err
	}
	out := &controlv1.ReplayDeadLettersResponse{Results: results(letters), Truncated: more}
	failed := c.replayByIngestion(ctx, letters, out.GetResults())
	ordered := ""
	for i, l := range letters {
		result := out.GetResults()[i]
		switch {
		case retriedBy(l) != topology.Push:
			continue
		case failed != nil:
			result.Error = "not tried, since the one before failed"
			continue
		case ordered != l.GetProductId():
			ordered = l.GetProductId()
			command := nuid.Next()
			replayCtx, span := c.startReplay(ctx, l)
			if failed = c.order(replayCtx, l.GetProductId(), true, operator, "replay of a dead letter",
				command); failed == nil {
				failed = c.recordReplay(replayCtx, command, l)
			}
			telemetry.Fail(span, failed)
			span.End()
		}
		result.Ordered = topology.Push
		if failed != nil {
			result.Ordered, result.Error = "", failed.Error()
		}
	}
	out.Results = withMissing(out.GetResults(), missing)
	return connect.NewResponse(out), nil
}

// replayByIngestion has ingestion read the products of its letters again, all by one order.
func (c control) replayByIngestion(ctx context.Context, letters []*meshv1.DeadLetter,
	results []*controlv1.DeadLetterResult,
) (err error) {
	var ids []string
	var spans []trace.Span
	defer func() {
		for _, span := range spans {
			telemetry.Fail(span, err)
			span.End()
		}
	}()
	for _, l := range letters {
		if retriedBy(l) != topology.Ingestion || slices.Contains(ids, l.GetProductId()) {
			continue
		}
		ids = append(ids, l.GetProductId())
		// One order is in one trace: that of a single letter, or that of the request, to which the letters' are linked.
		_, span := c.startReplay(ctx, l)
		spans = append(spans, span)
	}
	if len(ids) == 0 {
		return nil
	}
	if len(letters) == 1 {
		ctx = trace.ContextWithSpan(ctx, spans[0])
	}
	command := nuid.Next()
	err = c.backfill(ctx, ids, operator, "replay of dead letters", command)
	for i, l := range letters {
		if retriedBy(l) != topology.Ingestion {
			continue
		}
		if err == nil {
			err = c.recordReplay(ctx, command, l)
		}
		if err != nil {
			results[i].Error = err.Error()
			continue
		}
		results[i].Ordered = topology.Ingestion
	}
	return err
}

func (c control) recordReplay(ctx context.Context, command string, l *meshv1.DeadLetter) error {
	return c.ledger.Apply(ctx, ledger.AuditEntry(ledger.Entry{
		EventID: "ORDER:" + command + ":" + l.GetProductId(), Product: l.GetProductId(), At: c.Now(), Kind: "ordered",
		Version: l.GetVersion(),
		Detail:  fmt.Sprintf("replay by %s of what was dead: %s", retriedBy(l), l.GetReason()), TraceID: traceID(ctx),
	}))
}

// backfill orders ingestion to read products from the catalog again.
func (r *reconciler) backfill(ctx context.Context, products []string, issuer, reason, id string) error {
	command := &meshv1.Command{
		Id: id, Account: r.Account, Issuer: issuer, Reason: reason, IssuedAt: timestamppb.New(r.Now()),
		Verb: &meshv1.Command_Backfill{Backfill: &meshv1.Backfill{ProductIds: products}},
	}
	return r.mesh.Publish(ctx, topology.CommandSubject(topology.Ingestion, r.Account, topology.VerbBackfill, ""),
		command, mesh.WithID(id))
}

// DropDeadLetters closes letters and removes them from DEAD, which comes first: the other way round, one that could not
// be removed would be closed all the same, and could not be named again.
func (c control) DropDeadLetters(ctx context.Context,
	req *connect.Request[controlv1.DropDeadLettersRequest]) (*connect.Response[controlv1.DropDeadLettersResponse],
	error,
) {
	letters, missing, more, err := c.selected(ctx, req.Msg.GetSelection())
	if err != nil {
		return nil, err
	}
	out := &controlv1.DropDeadLettersResponse{Results: results(letters), Truncated: more}
	var failed error
	for i, l := range letters {
		result := out.GetResults()[i]
		if failed != nil {
			result.Error = "not tried, since the one before failed"
			continue
		}
		if failed = c.drop(ctx, l, req.Msg.GetWhy()); failed != nil {
			result.Error = failed.Error()
		}
	}
	out.Results = withMissing(out.GetResults(), missing)
	return connect.NewResponse(out), nil
}

// drop closes a letter for good; one that was closed meanwhile is as good as dropped.
func (c control) drop(ctx context.Context, l *meshv1.DeadLetter, why string) error {
	if err := c.mesh.DeleteLetter(ctx, l); err != nil {
		return err
	}
	detail := fmt.Sprintf("by %s: %s", operator, l.GetReason())
	if why != "" {
		detail += " (" + why + ")"
	}
	_, err := c.ledger.Drop(ctx, l, ledger.Entry{
		EventID: "DROP:" + l.GetId(), Product: l.GetProductId(), At: c.Now(), Kind: "dropped", Version: l.GetVersion(),
		Detail: detail, TraceID: traceID(ctx),
	})
	return err
}

// selected returns the letters of a selection, as many as are taken at once, the products that were named and have
// none, and whether there are more.
func (c control) selected(ctx context.Context,
	s *controlv1.DeadLetterSelection,
) (letters []*meshv1.DeadLetter, missing []string, more bool, err error) {
	if len(s.GetProductIds()) == 0 && s.GetReason() == "" && s.GetService() == "" && !s.GetAll() {
		return nil, nil, false,
			invalid("selection: nothing is selected: name products, a reason or a service, or set all")
	}
	letters, more, err = c.ledger.DeadLettersByProduct(ctx, ledger.Letters{
		Products: s.GetProductIds(), Reason: s.GetReason(), Service: s.GetService(), After: s.GetAfter(),
	}, lettersAtOnce)
	if err != nil {
		return nil, nil, false, unavailable(err)
	}
	for _, id := range s.GetProductIds() {
		found := slices.ContainsFunc(letters, func(l *meshv1.DeadLetter) bool { return l.GetProductId() == id })
		later := more && id > letters[len(letters)-1].GetProductId()
		if !found && !later && id > s.GetAfter() && !slices.Contains(missing, id) {
			missing = append(missing, id)
		}
	}
	return letters, missing, more, nil
}

func results(letters []*meshv1.DeadLetter) []*controlv1.DeadLetterResult {
	out := make([]*controlv1.DeadLetterResult, len(letters))
	for i, l := range letters {
		out[i] = &controlv1.DeadLetterResult{
			ProductId: l.GetProductId(),
			LetterId:  l.GetId(),
			Service:   l.GetService(),
			Reason:    l.GetReason(),
		}
	}
	return out
}

func withMissing(results []*controlv1.DeadLetterResult, missing []string) []*controlv1.DeadLetterResult {
	for _, id := range missing {
		results = append(results, &controlv1.DeadLetterResult{ProductId: id, Error: "no such dead letter is open"})
	}
	slices.SortStableFunc(results,
		func(a, b *controlv1.DeadLetterResult) int { return strings.Compare(a.GetProductId(), b.GetProductId()) })
	return results
}
