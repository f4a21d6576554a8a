package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/nats-io/nuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// maxLettersPerCall is about how many letters one call replays or drops. A letter may be as large as a message.
const maxLettersPerCall = 200

// GetDeadLetters returns a product's open dead letters with the states that they are about.
func (c control) GetDeadLetters(ctx context.Context,
	req *connect.Request[controlv1.GetDeadLettersRequest]) (*connect.Response[controlv1.GetDeadLettersResponse],
	error,
) {
	id := req.Msg.GetProductId()
	letters, err := c.Ledger.DeadLetters(ctx, ledger.Letters{Products: []string{id}}, maxNamed)
	if err != nil {
		return nil, unavailable(err)
	}
	product, err := c.Ledger.Product(ctx, id)
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.GetDeadLettersResponse{}
	for _, l := range letters {
		detail := &controlv1.DeadLetterDetail{DeadLetter: l, Wanted: letterState(l, product)}
		if replayService(l) == topology.Push && product != nil {
			detail.Steps = plan(product).GetSteps()
		}
		out.DeadLetters = append(out.DeadLetters, detail)
	}
	return connect.NewResponse(out), nil
}

// letterState returns the desired state that a letter is about, nil if it is not known. A letter carries it in its
// payload or in the write-back there. A letter of a repair carries the command: then the state is that of CATALOG, if
// the version is the same.
func letterState(l *meshv1.DeadLetter, product *ledger.Product) *catalogv1.ProductChange {
	if l.GetReason() == topology.ReasonWriteBackFailed {
		command := &meshv1.Command{}
		if err := proto.Unmarshal(l.GetPayload(), command); err == nil &&
			command.GetWriteBack().GetProductId() == l.GetProductId() {
			return &catalogv1.ProductChange{
				Account:   l.GetAccount(),
				ProductId: l.GetProductId(),
				Version:   l.GetVersion(),
				Operation: catalogv1.Operation_OPERATION_UPSERT,
				Product:   command.GetWriteBack().GetProduct(),
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

// replayService returns the service that replays a letter. A product that ingestion refused never reached CATALOG, so
// only ingestion can read its latest state. Push replays all others: it reads the product from Stripe, which covers
// what pull could not process.
//
// Letters that could not be decoded go to push. They may name a product that the catalog never had, which ingestion
// would report as removed. Failed write-backs also go to push, because their version may be outdated. Push rereads the
// product, and the remaining differences are decided again.
func replayService(l *meshv1.DeadLetter) string {
	about := topology.ReasonAbout(l.GetReason())
	ofState := about != topology.AboutMessage && about != topology.AboutWriteBack
	if ofState && l.GetService() == topology.Ingestion {
		return topology.Ingestion
	}
	return topology.Push
}

// ReplayDeadLetters commands another attempt with the latest states of dead products. The letters stay open until the
// outcomes of the commands close or replace them.
func (c control) ReplayDeadLetters(ctx context.Context,
	req *connect.Request[controlv1.ReplayDeadLettersRequest]) (*connect.Response[controlv1.ReplayDeadLettersResponse],
	error,
) {
	asked, err := byCaller(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	selected, err := c.selectLetters(ctx, req.Msg.GetSelection())
	if err != nil {
		return nil, err
	}
	letters := selected.letters
	out := &controlv1.ReplayDeadLettersResponse{
		Results:   newResults(letters),
		Truncated: selected.more,
		Matched:   selected.matched,
	}
	failed := c.replayByIngestion(ctx, asked, letters, out.GetResults())
	commanded := ""
	for i, l := range letters {
		result := out.GetResults()[i]
		switch {
		case replayService(l) != topology.Push:
			continue
		case failed != nil:
			result.Error = "not attempted: the letter before it failed"
			continue
		case commanded != l.GetProductId():
			commanded = l.GetProductId()
			id := nuid.Next()
			replayCtx, span := c.startReplaySpan(ctx, l)
			about := asked.about(id, "replay of a dead letter")
			if failed = c.syncProduct(replayCtx, l.GetProductId(), true, about); failed == nil {
				failed = c.recordReplay(replayCtx, asked, id, l)
			}
			telemetry.Fail(span, failed)
			span.End()
		}
		result.Ordered = topology.Push
		if failed != nil {
			result.Ordered, result.Error = "", failed.Error()
		}
	}
	out.Results = withMissing(out.GetResults(), selected.missing)
	return connect.NewResponse(out), nil
}

// replayByIngestion commands ingestion to read the products of its letters again, all by one command.
func (c control) replayByIngestion(ctx context.Context, asked by, letters []*meshv1.DeadLetter,
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
		if replayService(l) != topology.Ingestion || slices.Contains(ids, l.GetProductId()) {
			continue
		}
		ids = append(ids, l.GetProductId())
		// One command is in one trace: that of a single letter, or that of the request, which links to the letters'
		// traces.
		_, span := c.startReplaySpan(ctx, l)
		spans = append(spans, span)
	}
	if len(ids) == 0 {
		return nil
	}
	if len(letters) == 1 {
		ctx = trace.ContextWithSpan(ctx, spans[0])
	}
	id := nuid.Next()
	err = c.Commands.Backfill(ctx, asked.about(id, "replay of dead letters"), ids)
	for i, l := range letters {
		if replayService(l) != topology.Ingestion {
			continue
		}
		if err == nil {
			err = c.recordReplay(ctx, asked, id, l)
		}
		if err != nil {
			results[i].Error = err.Error()
			continue
		}
		results[i].Ordered = topology.Ingestion
	}
	return err
}

// recordReplay adds the replay of a letter to the audit trail.
func (c control) recordReplay(ctx context.Context, asked by, id string, l *meshv1.DeadLetter) error {
	return c.record(ctx, asked, ledger.Entry{
		EventID: "ORDER:" + id + ":" + l.GetProductId(),
		Product: l.GetProductId(),
		Kind:    "ordered",
		Version: l.GetVersion(),
		Detail:  fmt.Sprintf("replay of a dead letter by %s: %s", replayService(l), l.GetReason()),
	}, nil)
}

// DropDeadLetters removes letters from DEAD and then closes them. In the other order, a letter that could not be
// removed would already be closed, and could not be selected again.
func (c control) DropDeadLetters(ctx context.Context,
	req *connect.Request[controlv1.DropDeadLettersRequest]) (*connect.Response[controlv1.DropDeadLettersResponse],
	error,
) {
	asked, err := byActor(ctx, req.Msg.GetActor(), req.Msg.GetWhy())
	if err != nil {
		return nil, err
	}
	selected, err := c.selectLetters(ctx, req.Msg.GetSelection())
	if err != nil {
		return nil, err
	}
	letters := selected.letters
	out := &controlv1.DropDeadLettersResponse{
		Results:   newResults(letters),
		Truncated: selected.more,
		Matched:   selected.matched,
	}
	var failed error
	for i, l := range letters {
		result := out.GetResults()[i]
		if failed != nil {
			result.Error = "not attempted: the letter before it failed"
			continue
		}
		if failed = c.dropLetter(ctx, asked, l); failed != nil {
			result.Error = failed.Error()
		}
	}
	out.Results = withMissing(out.GetResults(), selected.missing)
	return connect.NewResponse(out), nil
}

// dropLetter closes a letter for good. A letter that was closed in the meantime counts as dropped.
func (c control) dropLetter(ctx context.Context, asked by, l *meshv1.DeadLetter) error {
	if err := c.Mesh.DeleteLetter(ctx, l); err != nil {
		return err
	}
	entry, err := asked.sign(ledger.Entry{
		EventID: "DROP:" + l.GetId(),
		Product: l.GetProductId(),
		At:      c.Now(),
		Kind:    "dropped",
		Version: l.GetVersion(),
		Detail:  l.GetReason(),
		TraceID: telemetry.TraceID(ctx),
	}, nil)
	if err != nil {
		return err
	}
	_, err = c.Ledger.Drop(ctx, l, entry)
	return err
}

// newResults returns one result without an error for each letter.
func newResults(letters []*meshv1.DeadLetter) []*controlv1.DeadLetterResult {
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

// withMissing adds a result with an error for each product that has no such letter, and sorts by product.
func withMissing(results []*controlv1.DeadLetterResult, missing []string) []*controlv1.DeadLetterResult {
	for _, id := range missing {
		results = append(results, &controlv1.DeadLetterResult{ProductId: id, Error: "no such dead letter is open"})
	}
	slices.SortStableFunc(results,
		func(a, b *controlv1.DeadLetterResult) int { return strings.Compare(a.GetProductId(), b.GetProductId()) })
	return results
}

// ListDeadLetters returns open dead letters, latest first.
func (c control) ListDeadLetters(ctx context.Context,
	req *connect.Request[controlv1.ListDeadLettersRequest]) (*connect.Response[controlv1.ListDeadLettersResponse],
	error,
) {
	limit := int(cmp.Or(req.Msg.GetLimit(), defaultLimit))
	of := ledger.Letters{
		Products: req.Msg.GetProductIds(),
		Reason:   req.Msg.GetReason(),
		Service:  req.Msg.GetService(),
		Field:    req.Msg.Field,
	}
	letters, err := c.Ledger.DeadLetters(ctx, of, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	total := uint64(len(letters))
	if len(letters) == limit {
		if total, err = c.Ledger.CountDeadLetters(ctx, of); err != nil {
			return nil, unavailable(err)
		}
	}
	return connect.NewResponse(&controlv1.ListDeadLettersResponse{DeadLetters: letters, Total: total}), nil
}
