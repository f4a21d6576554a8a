package ingestion

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/nats-io/nuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/ingestion/internal/watch"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// maxLiveProducts is the maximum number of products that the looked-up rows of a chunk may concern to go live. More of
// them are read in the bulk lane, so that the rename of a category does not delay other changes.
const maxLiveProducts = 200

// rereadCommandSize is the maximum number of products that one reread command names.
const rereadCommandSize = 500

// batch is a group of chunks that are read and published together.
type batch struct {
	chunks []*wal.Chunk
	out    []mesh.Outgoing
	dead   []deadProduct
	// absent has touched products that the queries do not return. One that CATALOG never had was no product.
	absent []absentProduct
	// own has products that only ingestion's own transactions touched.
	own map[string]bool
	// bulkIDs has products that a change of shared rows concerns. They are read in the bulk lane.
	bulkIDs []string
	spans   []trace.Span
	// productSpans are those of products with a trace of their own.
	productSpans []trace.Span
	// end is the position to confirm once the batch is stored. It is 0 if the batch ends inside a transaction.
	end       pglogrepl.LSN
	last      position
	barriers  []barrier
	uncertain []string
}

// absentProduct is the change of a product that the catalog does not have.
type absentProduct struct {
	change *catalogv1.ProductChange
	ctx    context.Context //nolint:containedctx // the trace of the change
}

// touchedProduct is a product of a batch, with the changes of its rows.
type touchedProduct struct {
	chunk *wal.Chunk
	rows  []*catalogv1.RowImage
	ctx   context.Context //nolint:containedctx // the trace of the product's latest transaction
	// older has the spans of the transactions before it.
	older []trace.Span
	// isOwn reports whether all the transactions are ingestion's own.
	isOwn bool
}

// productSet collects the products that a batch touched, in order.
type productSet struct {
	ids      []string
	products map[string]*touchedProduct
}

func (g *productSet) add(id string, c *wal.Chunk, ctx context.Context, rows []*catalogv1.RowImage) { //nolint:revive // ctx is a value here
	p, ok := g.products[id]
	if !ok {
		p = &touchedProduct{isOwn: true}
		g.products[id] = p
		g.ids = append(g.ids, id)
	} else if p.chunk != c {
		p.older = append(p.older, trace.SpanFromContext(p.ctx))
	}
	p.chunk, p.ctx, p.isOwn = c, ctx, p.isOwn && c.IsOwn
	p.rows = append(p.rows, rows...)
}

// read reads the products that a batch touched, in a snapshot that sees all of its transactions.
func (in *ingester) read(ctx context.Context, t *turn, chunks []*wal.Chunk) (*batch, error) {
	s := t.schema
	b := &batch{chunks: chunks, own: map[string]bool{}}
	g := &productSet{products: map[string]*touchedProduct{}}
	var captures []context.Context
	for _, c := range chunks {
		b.last = position{version: t.history.version(c.CommitLSN), committed: c.CommittedAt}
		b.end = c.EndLSN
		for _, mark := range c.Barriers {
			b.barriers = append(b.barriers, barrier{mark, b.last})
		}
		b.uncertain = append(b.uncertain, c.Uncertain...)
		if c.Size() == 0 {
			continue
		}
		spanCtx, span := in.captureSpan(ctx, c, b.last.version)
		b.spans = append(b.spans, span)
		captures = append(captures, spanCtx)
		concerned, err := in.findLookups(ctx, s.watch, b, c)
		if err != nil {
			b.endSpans(err)
			return nil, err
		}
		touched := slices.Concat(c.Products, concerned)
		traces := in.productTraces(spanCtx, b, c, touched)
		for _, p := range touched {
			g.add(p.ID, c, traces(p.ID), p.Rows)
		}
	}
	begun := time.Now()
	reading, err := in.readVisible(ctx, s.mapping, g.ids, chunks)
	in.traceRead(captures, begun, err)
	if err != nil {
		b.endSpans(err)
		return nil, err
	}
	in.buildMessages(b, t, g, reading)
	return b, nil
}

// findLookups runs the operator's queries and returns the products that the looked-up rows of a chunk concern. If they
// are too many to go live, it leaves them to the bulk lane.
func (in *ingester) findLookups(ctx context.Context, w *watch.Set, b *batch, c *wal.Chunk) ([]wal.TouchedProduct,
	error,
) {
	if len(c.Lookups) == 0 {
		return nil, nil
	}
	if err := in.waitVisible(ctx, c); err != nil {
		return nil, err
	}
	concerned, err := w.Products(ctx, in.pool, c.Lookups)
	if err != nil {
		return nil, err
	}
	b.uncertain = append(b.uncertain, concerned.Uncertain...)
	if len(concerned.IDs) > maxLiveProducts {
		b.bulkIDs = append(b.bulkIDs, concerned.IDs...)
		return nil, nil
	}
	out := make([]wal.TouchedProduct, len(concerned.IDs))
	for i, id := range concerned.IDs {
		out[i] = wal.TouchedProduct{ID: id, Rows: concerned.Images[id]}
	}
	return out, nil
}

// buildMessages makes messages and dead letters from the states that were read.
func (in *ingester) buildMessages(b *batch, t *turn, g *productSet, reading mapping.Reading) {
	// Two spellings of an id are one product, so their changes are merged.
	order, products := []string{}, map[string]*touchedProduct{}
	for _, id := range g.ids {
		spelled := reading.Spelling(id)
		if slices.Contains(reading.NotIDs, id) {
			continue
		}
		p := g.products[id]
		if _, ok := reading.States[id]; !ok && spelled != id {
			// The id may have had this spelling before. CATALOG then has the product under it.
			b.absent = append(b.absent, absentProduct{in.newChange(t, id, p), p.ctx})
		}
		known, ok := products[spelled]
		if !ok {
			order = append(order, spelled)
			products[spelled] = p
			continue
		}
		if known.chunk.CommitLSN <= p.chunk.CommitLSN {
			known.chunk, known.ctx = p.chunk, p.ctx
		}
		known.rows, known.older = append(known.rows, p.rows...), append(known.older, p.older...)
		known.isOwn = known.isOwn && p.isOwn
	}
	for _, id := range order {
		p := products[id]
		p.linkCoalesced()
		change := in.newChange(t, id, p)
		state, known := reading.States[id]
		if !known {
			b.absent = append(b.absent, absentProduct{change, p.ctx})
			continue
		}
		out, dead := in.newMessage(change, state, topology.Live)
		if dead != nil {
			b.dead = append(b.dead, deadProduct{letter: dead, ctx: p.ctx})
			continue
		}
		out.Ctx = p.ctx
		b.out = append(b.out, out)
		b.own[id] = p.isOwn
	}
}

// newChange returns the change of a touched product, without a state.
func (in *ingester) newChange(t *turn, id string, p *touchedProduct) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{
		Account:     in.account,
		ProductId:   id,
		Version:     t.history.version(p.chunk.CommitLSN),
		RowImages:   p.rows,
		Source:      catalogv1.Source_SOURCE_WAL,
		CommittedAt: timestamppb.New(p.chunk.CommittedAt),
		CapturedAt:  timestamppb.Now(),
		Actor:       p.chunk.Actor,
	}
}

// readVisible reads until the snapshot sees every transaction of the batch. A commit is in the log slightly before
// other sessions see it: with a synchronous standby, one round trip before.
func (in *ingester) readVisible(ctx context.Context, m *mapping.Mapping, ids []string,
	chunks []*wal.Chunk,
) (mapping.Reading, error) {
	if len(ids) == 0 {
		// Later reads that are labelled with this position rely on it.
		for _, c := range chunks {
			if len(c.Uncertain) > 0 || len(c.Barriers) > 0 {
				if err := in.waitVisible(ctx, c); err != nil {
					return mapping.Reading{}, err
				}
			}
		}
		return mapping.Reading{}, nil
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		reading, err := m.Read(ctx, ids)
		if err != nil {
			return reading, err
		}
		if !slices.ContainsFunc(chunks, func(c *wal.Chunk) bool { return !reading.Saw(c.Xid) }) {
			return reading, in.applyChecks(ctx, reading)
		}
		if !in.sleep(ctx, wait) {
			return reading, context.Cause(ctx)
		}
	}
}

// waitVisible waits until other sessions see the transaction of a chunk.
func (in *ingester) waitVisible(ctx context.Context, c *wal.Chunk) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		snapshot, err := mapping.CurrentSnapshot(ctx, in.pool)
		if err != nil || snapshot.Saw(c.Xid) {
			return err
		}
		if !in.sleep(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// store publishes a batch and returns once JetStream has all of it.
func (in *ingester) store(ctx context.Context, t *turn, b *batch) error {
	// Requests for rereads come first. Once a live message of the batch is stored, nothing before it is read from the
	// log again.
	err := in.requestRereads(ctx, b)
	if err == nil {
		err = in.publishBatch(ctx, t, b)
	}
	b.endSpans(err)
	if err != nil {
		return err
	}
	for _, o := range b.out {
		in.evictions.add(o.Subject, o.Ctx)
		if change, ok := o.Body.(*catalogv1.ProductChange); ok {
			in.recent.add(change.GetProductId())
		}
	}
	if b.end > 0 {
		in.captured.advance(b.last)
	}
	in.barriers.notify(b.barriers)
	recordMetrics(ctx, b)
	return nil
}

// publishBatch adds the removals, which depend on everything that was stored before, and publishes the batch.
func (in *ingester) publishBatch(ctx context.Context, t *turn, b *batch) error {
	if err := in.addRemovals(ctx, b); err != nil {
		return err
	}
	if err := in.dropUnchanged(ctx, b); err != nil {
		return err
	}
	b.sortByVersion()
	if err := in.publish(ctx, t, topology.Live, b.out, b.dead); err != nil {
		return err
	}
	return nil
}

// requestRereads requests the reads that the batch does not do itself. These are products that a change of shared rows
// concerns, and the whole catalog if the log does not say which products changed.
func (in *ingester) requestRereads(ctx context.Context, b *batch) error {
	if len(b.uncertain) > 0 {
		slices.Sort(b.uncertain)
		for _, reason := range slices.Compact(b.uncertain) {
			in.logger.WarnContext(ctx, "the log does not say which products changed; comparing all tables",
				"reason", reason)
		}
		if err := in.requestSnapshot(ctx, b.uncertain[0]); err != nil {
			return err
		}
	}
	slices.Sort(b.bulkIDs)
	for ids := range slices.Chunk(slices.Compact(b.bulkIDs), rereadCommandSize) {
		// The id is not derived from the version. A large transaction is several batches, and JetStream drops a command
		// with a known id.
		id := "concerned-" + nuid.Next()
		if err := in.report.addOutstanding(ctx, id); err != nil {
			return err
		}
		if err := in.mesh.RequestReread(ctx, in.account, id, "a row that they share changed", ids, true); err != nil {
			return err
		}
	}
	return nil
}

// sortByVersion sorts the messages by version. A crash may come between two atomic batches, and transactions below the
// last stored version are not read again.
func (b *batch) sortByVersion() {
	slices.SortStableFunc(b.out, func(x, y mesh.Outgoing) int { return cmp.Compare(x.Version, y.Version) })
}

// addRemovals adds the removals of absent products that CATALOG has. It runs when everything before is stored: a batch
// that was read at the same time may have brought the product.
func (in *ingester) addRemovals(ctx context.Context, b *batch) error {
	if len(b.absent) == 0 {
		return nil
	}
	ids := make([]string, len(b.absent))
	for i, a := range b.absent {
		ids[i] = a.change.GetProductId()
	}
	known, err := in.existDownstream(ctx, ids)
	if err != nil {
		return err
	}
	for i, a := range b.absent {
		if !known[i] {
			continue
		}
		out, dead := in.newMessage(a.change, mapping.State{}, topology.Live)
		if dead != nil {
			b.dead = append(b.dead, deadProduct{letter: dead, ctx: a.ctx})
			continue
		}
		out.Ctx = a.ctx
		b.out = append(b.out, out)
	}
	return nil
}

// existDownstream reports which products are in CATALOG or on their way there. These are products that CATALOG wants,
// products with a dead letter about their state, and products that were stored in the last seconds or are about to be.
// The last kind matters because a replica of CATALOG may lag.
func (in *ingester) existDownstream(ctx context.Context, ids []string) ([]bool, error) {
	out := make([]bool, len(ids))
	latest, err := in.stores.Desired().LatestMany(ctx, in.account, ids)
	if err != nil {
		return nil, err
	}
	letters, err := in.mesh.OpenLetters(ctx, topology.Ingestion, in.account, ids)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		out[i] = in.recent.has(id) || isStateLetter(letters[i]) ||
			latest[i] != nil && latest[i].GetOperation() != catalogv1.Operation_OPERATION_DELETE
	}
	return out, nil
}

// isStateLetter reports whether a dead letter is about a product's state: it could not be read, or Stripe or a check
// would refuse it. A later state closes such a letter. A letter about a write-back is not about the state.
func isStateLetter(letter *meshv1.DeadLetter) bool {
	return topology.ReasonAbout(letter.GetReason()) == topology.AboutState
}

// publish stores dead letters on DEAD first, and then the messages on CATALOG in batches. Once the messages are stored,
// the changes before them are not read again after a crash.
func (in *ingester) publish(ctx context.Context, t *turn, lane topology.Lane, out []mesh.Outgoing,
	dead []deadProduct,
) error {
	if len(dead) > 0 {
		if err := t.fence.IsHeld(ctx, lane); err != nil {
			return t.check(err)
		}
	}
	for _, d := range dead {
		if err := in.refuse(d); err != nil {
			return fmt.Errorf("product %s: %w", d.letter.GetProductId(), err)
		}
	}
	if err := t.fence.Publish(ctx, lane, out); err != nil {
		return t.check(err)
	}
	in.published.Add(uint64(len(out)))
	return nil
}
