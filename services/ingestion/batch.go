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

// wideChange is how many products the looked-up rows of a batch may concern and still go live: more of them are read in
// the bulk lane, so that the rename of a category does not delay the changes of others.
const wideChange = 200

// wideCommand is how many products one command to read them names.
const wideCommand = 500

// batch is some chunks that are read and published together.
type batch struct {
	chunks []*wal.Chunk
	out    []mesh.Outgoing
	dead   []deadProduct
	// absent are touched products that the queries do not return. What CATALOG never had was no product.
	absent []absentProduct
	// wide are products that a change of shared rows concerns: they are read in the bulk lane.
	wide  []string
	spans []trace.Span
	// end is the position to confirm once the batch is stored; 0 if it ends inside a transaction.
	end       pglogrepl.LSN
	last      position
	barriers  []barrier
	uncertain []string
}

// absentProduct is the change of a product that is not, or no longer, in the catalog.
type absentProduct struct {
	change *catalogv1.ProductChange
	ctx    context.Context //nolint:containedctx // the trace of the change
}

// touched is a product of a batch and what happened to it.
type touched struct {
	chunk *wal.Chunk
	rows  []*catalogv1.RowImage
	ctx   context.Context //nolint:containedctx // the trace of the product's latest transaction
	// older are the captures of the transactions before it.
	older []trace.Span
}

// gathering collects the products that a batch touched, in order.
type gathering struct {
	ids      []string
	products map[string]*touched
}

func (g *gathering) touch(id string, c *wal.Chunk, ctx context.Context, rows []*catalogv1.RowImage) { //nolint:revive // ctx is a value here
	p, ok := g.products[id]
	if !ok {
		p = &touched{}
		g.products[id] = p
		g.ids = append(g.ids, id)
	} else if p.chunk != c {
		p.older = append(p.older, trace.SpanFromContext(p.ctx))
	}
	p.chunk, p.ctx = c, ctx
	p.rows = append(p.rows, rows...)
}

// read reads the states of the products that a batch touched, in a snapshot that sees all of its transactions.
func (in *ingester) read(ctx context.Context, t *turn, chunks []*wal.Chunk) (*batch, error) {
	s := t.schema
	b := &batch{chunks: chunks}
	g := &gathering{products: map[string]*touched{}}
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
		for _, p := range c.Products {
			g.touch(p.ID, c, spanCtx, p.Rows)
		}
		if err := in.lookUp(ctx, s.watch, b, g, c, spanCtx); err != nil {
			b.endSpans(err)
			return nil, err
		}
	}
	begun := time.Now()
	reading, err := in.visibleStates(ctx, s.mapping, g.ids, chunks)
	traceRead(captures, begun, err)
	if err != nil {
		b.endSpans(err)
		return nil, err
	}
	in.assemble(b, t, g, reading)
	return b, nil
}

// lookUp finds the products that rows of a chunk concern by the operator's queries.
func (in *ingester) lookUp(ctx context.Context, w *watch.Set, b *batch, g *gathering, c *wal.Chunk, spanCtx context.Context) error { //nolint:revive // spanCtx is a value here
	if len(c.Lookups) == 0 {
		return nil
	}
	if err := in.visible(ctx, c); err != nil {
		return err
	}
	concerned, err := w.Products(ctx, in.pool, c.Lookups)
	if err != nil {
		return err
	}
	b.uncertain = append(b.uncertain, concerned.Uncertain...)
	if len(concerned.IDs) > wideChange {
		b.wide = append(b.wide, concerned.IDs...)
		return nil
	}
	for _, id := range concerned.IDs {
		g.touch(id, c, spanCtx, concerned.Images[id])
	}
	return nil
}

// assemble makes messages and dead letters of what was read.
func (in *ingester) assemble(b *batch, t *turn, g *gathering, reading mapping.Reading) {
	// Two spellings of an id are one product: what happened to both is what happened to it.
	order, products := []string{}, map[string]*touched{}
	for _, id := range g.ids {
		spelled := spelling(reading, id)
		if slices.Contains(reading.NotIDs, id) {
			continue
		}
		p := g.products[id]
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
	}
	for _, id := range order {
		p := products[id]
		p.coalesce()
		change := &catalogv1.ProductChange{
			Account:     in.account,
			ProductId:   id,
			Version:     t.history.version(p.chunk.CommitLSN),
			RowImages:   p.rows,
			Source:      catalogv1.Source_SOURCE_WAL,
			CommittedAt: timestamppb.New(p.chunk.CommittedAt),
			CapturedAt:  timestamppb.Now(),
		}
		state, known := reading.States[id]
		if !known {
			b.absent = append(b.absent, absentProduct{change, p.ctx})
			continue
		}
		out, dead := in.outgoing(change, state, topology.Live)
		if dead != nil {
			b.dead = append(b.dead, deadProduct{letter: dead, ctx: p.ctx})
			continue
		}
		out.Ctx = p.ctx
		b.out = append(b.out, out)
	}
}

func spelling(reading mapping.Reading, id string) string {
	if spelled, ok := reading.Spelled[id]; ok {
		return spelled
	}
	return id
}

// visibleStates reads until the snapshot sees every transaction of the batch: a commit reaches the log, and so us, a
// moment before other sessions see it; with a synchronous standby that moment is its round trip.
func (in *ingester) visibleStates(ctx context.Context, m *mapping.Mapping, ids []string,
	chunks []*wal.Chunk,
) (mapping.Reading, error) {
	if len(ids) == 0 {
		// Readings that are labelled with this position later rely on it.
		for _, c := range chunks {
			if len(c.Uncertain) > 0 || len(c.Barriers) > 0 {
				if err := in.visible(ctx, c); err != nil {
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
			return reading, nil
		}
		if !in.pause(ctx, wait) {
			return reading, context.Cause(ctx)
		}
	}
}

// visible waits until other sessions see a transaction.
func (in *ingester) visible(ctx context.Context, c *wal.Chunk) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		snapshot, err := mapping.CurrentSnapshot(ctx, in.pool)
		if err != nil || snapshot.Saw(c.Xid) {
			return err
		}
		if !in.pause(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// store publishes a batch and returns once JetStream has all of it.
func (in *ingester) store(ctx context.Context, t *turn, b *batch) error {
	// What is read later is noted first: once a live message of the batch is stored, what was before it is not read
	// again.
	err := in.readLater(ctx, b)
	if err == nil {
		err = in.publishBatch(ctx, t, b)
	}
	b.endSpans(err)
	if err != nil {
		return err
	}
	for _, o := range b.out {
		in.crowd.stored(o.Subject, o.Ctx)
		if change, ok := o.Body.(*catalogv1.ProductChange); ok {
			in.lately.add(change.GetProductId())
		}
	}
	if b.end > 0 {
		in.progress.reach(b.last)
	}
	in.barriers.reached(b.barriers)
	counted(ctx, b)
	return nil
}

// publishBatch completes the batch with what only the order of storing tells, and publishes it.
func (in *ingester) publishBatch(ctx context.Context, t *turn, b *batch) error {
	if err := in.removed(ctx, b); err != nil {
		return err
	}
	b.order()
	if err := in.publish(ctx, t, topology.Live, b.out, b.dead); err != nil {
		return err
	}
	return nil
}

// readLater asks for the reading of what the batch does not read itself: products that a change of shared rows
// concerns, and the whole catalog if the log does not tell which products changed.
func (in *ingester) readLater(ctx context.Context, b *batch) error {
	if len(b.uncertain) > 0 {
		slices.Sort(b.uncertain)
		for _, reason := range slices.Compact(b.uncertain) {
			in.logger.WarnContext(ctx, "the log does not tell which products changed; reading the tables as a whole",
				"reason", reason)
		}
		if err := in.want(ctx, b.uncertain[0]); err != nil {
			return err
		}
	}
	slices.Sort(b.wide)
	for ids := range slices.Chunk(slices.Compact(b.wide), wideCommand) {
		// Not made of the version: a large transaction is several batches, and JetStream drops a command whose id it
		// knows.
		id := "concerned-" + nuid.Next()
		if err := in.report.owe(ctx, id); err != nil {
			return err
		}
		if err := in.mesh.RequestReread(ctx, in.account, id, "a row that they share changed", ids, true); err != nil {
			return err
		}
	}
	return nil
}

// order puts messages in the order of their versions. A crash may come between two atomic batches, and what lies below
// the last stored version is not read again.
func (b *batch) order() {
	slices.SortStableFunc(b.out, func(x, y mesh.Outgoing) int { return cmp.Compare(x.Version, y.Version) })
}

// removed publishes the removal of those absent products that CATALOG has. It is asked when everything before is
// stored: a batch that is read beside this one may have brought the product.
func (in *ingester) removed(ctx context.Context, b *batch) error {
	if len(b.absent) == 0 {
		return nil
	}
	ids := make([]string, len(b.absent))
	for i, a := range b.absent {
		ids[i] = a.change.GetProductId()
	}
	known, err := in.stands(ctx, ids)
	if err != nil {
		return err
	}
	for i, a := range b.absent {
		if !known[i] {
			continue
		}
		out, dead := in.outgoing(a.change, mapping.State{}, topology.Live)
		if dead != nil {
			b.dead = append(b.dead, deadProduct{letter: dead, ctx: a.ctx})
			continue
		}
		out.Ctx = a.ctx
		b.out = append(b.out, out)
	}
	return nil
}

// stands reports which products somebody has heard of: CATALOG wants them, a dead letter is about them, or a
// comparison, or a batch before this one, is about to store them or has just done so, which a replica of CATALOG may
// not know yet.
func (in *ingester) stands(ctx context.Context, ids []string) ([]bool, error) {
	out := make([]bool, len(ids))
	latest, err := in.mesh.Desired().LatestMany(ctx, in.account, ids)
	if err != nil {
		return nil, err
	}
	letters, err := in.mesh.OpenLetters(ctx, topology.Ingestion, in.account, ids)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		out[i] = in.lately.has(id) || ofState(letters[i]) ||
			latest[i] != nil && latest[i].GetOperation() != catalogv1.Operation_OPERATION_DELETE
	}
	return out, nil
}

// ofState reports whether a dead letter says that the state of a product could not be read, or would be refused: a
// later state closes it. One about a write-back is not about the state.
func ofState(letter *meshv1.DeadLetter) bool {
	return letter.GetReason() == topology.ReasonInvalidProduct || letter.GetReason() == topology.ReasonQueryFailed
}

// publish stores products that Stripe would refuse on DEAD, and then the others on CATALOG in batches: once those are
// stored, the changes before them are not read again after a crash.
func (in *ingester) publish(ctx context.Context, t *turn, lane topology.Lane, out []mesh.Outgoing,
	dead []deadProduct,
) error {
	if len(dead) > 0 {
		if err := t.fence.IsHeld(ctx, lane); err != nil {
			return t.check(err)
		}
	}
	for _, d := range dead {
		if err := in.mesh.DeadLetter(d.ctx, d.letter); err != nil {
			return fmt.Errorf("product %s: %w", d.letter.GetProductId(), err)
		}
	}
	return t.check(t.fence.Publish(ctx, lane, out))
}
