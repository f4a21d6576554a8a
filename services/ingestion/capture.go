package ingestion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/mesh"
)

const scope = "github.com/driftless-sync/driftless/services/ingestion"

// readAhead is how many batches are read before the one being stored.
const readAhead = 2

// reconnectDelay is the pause before the log is read again after an error.
const reconnectDelay = time.Second

// capture reads the log, whenever it is this replica's turn, until ctx ends. After every error it starts over from the
// confirmed position.
func (in *ingester) capture(ctx context.Context, prepared wal.Prepared) error {
	defer in.turns.standing.Store(false)
	for {
		err := in.session(ctx, prepared)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, wal.ErrSlotInUse):
			in.standBy(ctx)
		case errors.Is(err, mesh.ErrOvertaken):
			in.turns.standing.Store(false)
			in.logger.WarnContext(ctx, "another ingestion took over while this one was paused or cut off; what it had read and not yet published is read again by the one whose turn it is", "error", err)
			in.pause(ctx, reconnectDelay)
		default:
			in.turns.standing.Store(false)
			in.logger.ErrorContext(ctx, "capture was interrupted; it goes on from the confirmed position", "error", err)
			in.pause(ctx, reconnectDelay)
		}
		// The slot may have been lost meanwhile, or the whole database.
		for ctx.Err() == nil {
			if prepared, err = in.bind(ctx); err == nil {
				break
			}
			in.turns.standing.Store(false)
			if ctx.Err() == nil {
				in.logger.ErrorContext(ctx, "capture cannot go on yet", "error", err)
			}
			in.pause(ctx, reconnectDelay)
		}
	}
}

// batch is some chunks that are read and published together.
type batch struct {
	chunks []*wal.Chunk
	out    []mesh.Outgoing
	dead   []deadProduct
	spans  []trace.Span
	// end is the position to confirm once the batch is stored; 0 if it ends inside a transaction.
	end       pglogrepl.LSN
	version   pglogrepl.LSN
	barriers  []string
	truncated bool
}

// session is one reading of the log: reading, mapping and publishing run beside each other, and the position moves
// only behind what JetStream has stored.
func (in *ingester) session(ctx context.Context, prepared wal.Prepared) error {
	// Before the slot is won: whoever wins it later, and raises the fence first, is not shut out by this one.
	fence, err := in.mesh.Fence(ctx, in.account)
	if err != nil {
		return err
	}
	reader, err := in.source.Open(ctx, in.pool, prepared.Confirmed)
	if err != nil {
		return err
	}
	published, err := in.begin(ctx, fence)
	if err != nil {
		return errors.Join(err, reader.Close(context.WithoutCancel(ctx)))
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	t := &turn{fence: fence, end: end}
	in.turns.turn.Store(t)
	defer in.turns.turn.Store(nil)
	in.turns.standing.Store(false)
	in.logger.InfoContext(ctx, "reading the log", "slot", in.source.Slot, "from", prepared.Confirmed)
	in.requestReread()
	err = in.stream(ctx, reader, t, published)
	if cause := context.Cause(ctx); errors.Is(cause, mesh.ErrOvertaken) {
		return cause
	}
	return err
}

// begin begins a turn, once the slot is won. It returns the version up to which the log is in CATALOG: what was published
// beyond the confirmed position need not be again.
func (in *ingester) begin(ctx context.Context, fence *mesh.Fence) (published uint64, err error) {
	if err := fence.Raise(ctx); err != nil {
		return 0, err
	}
	if err := in.wantWholeIfMapped(ctx); err != nil {
		return 0, err
	}
	published, err = in.mesh.Desired().LastLive(ctx, in.account)
	if err != nil {
		return 0, err
	}
	// Readings saw everything up to there before it was published. Labelled with the confirmed position, what this turn reads
	// of products changed since would count as older than that; and labelled with the last transaction itself, what it reads
	// of that one's products would count as known. No other commits one byte further.
	in.progress.reach(pglogrepl.LSN(published + 1))
	return published, nil
}

// stream reads, maps and publishes until ctx ends or one of that fails.
func (in *ingester) stream(ctx context.Context, reader *wal.Reader, t *turn, published uint64) error {
	chunks := make(chan *wal.Chunk, 64)
	// Batches are read beside each other and stored in order: while Postgres works on one, another is decoded. A
	// state read later than the next batch's is newer than its label says, which does no harm.
	batches := make(chan chan *batch, readAhead)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		defer close(chunks)
		defer func() {
			closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			err = errors.Join(err, reader.Close(closeCtx))
		}()
		for ctx.Err() == nil {
			chunk, err := reader.Read(ctx)
			if err != nil {
				return err
			}
			if chunk == nil {
				continue
			}
			if uint64(chunk.CommitLSN) < published {
				chunk.Products = nil
			}
			if err := hand(ctx, chunk, chunks, reader); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error { return in.reachNATS(ctx) })
	g.Go(func() error {
		defer close(batches)
		for chunk := range chunks {
			gathered, done := gather(chunk, chunks), make(chan *batch, 1)
			select {
			case batches <- done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			g.Go(func() error {
				b, err := in.read(ctx, gathered)
				done <- b
				return err
			})
		}
		return nil
	})
	g.Go(func() error {
		for done := range batches {
			b := <-done
			if b == nil {
				return nil
			}
			if err := in.store(ctx, t, b); err != nil {
				return err
			}
			if b.end > 0 {
				reader.Confirm(b.end)
			}
		}
		return nil
	})
	return g.Wait()
}

// hand gives a chunk to those who read states. While they are behind, the server hears that this replica lives.
func hand(ctx context.Context, chunk *wal.Chunk, chunks chan<- *wal.Chunk, reader *wal.Reader) error {
	select {
	case chunks <- chunk:
		return nil
	default:
	}
	for {
		select {
		case chunks <- chunk:
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(wal.StatusEvery):
			if err := reader.Tell(ctx); err != nil {
				return err
			}
		}
	}
}

// gather takes what else has arrived: the more the capture is behind, the more changes of a product become one.
func gather(first *wal.Chunk, more <-chan *wal.Chunk) []*wal.Chunk {
	out := []*wal.Chunk{first}
	for n := len(first.Products); n < mesh.BatchLimit; {
		select {
		case c, ok := <-more:
			if !ok {
				return out
			}
			out = append(out, c)
			n += len(c.Products)
		default:
			return out
		}
	}
	return out
}

// touched is a product of a batch and what happened to it.
type touched struct {
	chunk *wal.Chunk
	rows  []*catalogv1.RowImage
	ctx   context.Context //nolint:containedctx // the trace of the product's newest transaction
	// older are the captures of the transactions before it.
	older []trace.Span
}

// read reads the states of the products that a batch touched, in a snapshot that sees all of its transactions.
func (in *ingester) read(ctx context.Context, chunks []*wal.Chunk) (*batch, error) {
	b := &batch{chunks: chunks}
	products := map[string]*touched{}
	var ids []string
	var captures []context.Context
	for _, c := range chunks {
		b.version = c.CommitLSN
		b.end = c.EndLSN
		b.barriers = append(b.barriers, c.Barriers...)
		b.truncated = b.truncated || c.Truncated
		if len(c.Products) == 0 {
			continue
		}
		spanCtx, span := in.captureSpan(ctx, c)
		b.spans = append(b.spans, span)
		captures = append(captures, spanCtx)
		for _, t := range c.Products {
			p, ok := products[t.ID]
			if !ok {
				p = &touched{}
				products[t.ID] = p
				ids = append(ids, t.ID)
			}
			if ok {
				p.older = append(p.older, trace.SpanFromContext(p.ctx))
			}
			p.chunk, p.ctx = c, spanCtx
			p.rows = append(p.rows, t.Rows...)
		}
	}
	begun := time.Now()
	states, err := in.visibleStates(ctx, ids, chunks, b.truncated)
	traceRead(captures, begun, err)
	if err != nil {
		b.endSpans(err)
		return nil, err
	}
	for _, id := range ids {
		t := products[id]
		t.coalesce()
		change := &catalogv1.ProductChange{
			Account: in.account, ProductId: id, Version: uint64(t.chunk.CommitLSN), RowImages: t.rows,
			Source: catalogv1.Source_SOURCE_WAL, CommittedAt: timestamppb.New(t.chunk.CommittedAt), CapturedAt: timestamppb.Now(),
		}
		out, dead := in.outgoing(change, states.Of(id), mesh.Live)
		if dead != nil {
			b.dead = append(b.dead, deadProduct{letter: dead, ctx: t.ctx})
			continue
		}
		out.Ctx = t.ctx
		b.out = append(b.out, out)
	}
	// A crash may come between two atomic batches, and what lies below the last stored version is not read again.
	slices.SortStableFunc(b.out, func(x, y mesh.Outgoing) int { return cmp.Compare(x.Version, y.Version) })
	return b, nil
}

// visibleStates reads until the snapshot sees every transaction of the batch: a commit reaches the log, and so us, a
// moment before other sessions see it; with a synchronous standby that moment is its round trip.
func (in *ingester) visibleStates(ctx context.Context, ids []string, chunks []*wal.Chunk, always bool) (mapping.Reading, error) {
	if len(ids) == 0 && !always {
		return mapping.Reading{}, nil
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		states, err := in.mapping.Read(ctx, ids)
		if err != nil {
			return mapping.Reading{}, err
		}
		unseen := false
		for _, c := range chunks {
			unseen = unseen || !states.Saw(c.Xid)
		}
		if !unseen {
			return states, nil
		}
		select {
		case <-ctx.Done():
			return mapping.Reading{}, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// store publishes a batch and returns once JetStream has all of it.
func (in *ingester) store(ctx context.Context, t *turn, b *batch) error {
	err := in.publish(ctx, t, mesh.Live, b.out, b.dead)
	b.endSpans(err)
	if err != nil {
		return err
	}
	for _, o := range b.out {
		in.crowd.stored(o.Subject, o.Ctx)
	}
	if b.truncated {
		if err := in.wholeCursor().PutString(ctx, wholeWanted); err != nil {
			return err
		}
	}
	if b.end > 0 {
		in.progress.reach(b.version)
	}
	if b.truncated {
		in.logger.WarnContext(ctx, "a watched table was truncated; reading the whole catalog again")
		in.requestReread()
	}
	in.barriers.reached(b.barriers, uint64(b.version))
	counted(ctx, b)
	return nil
}

// publish stores products that Stripe would refuse on DEAD, and then the others on CATALOG in batches: once those are
// stored, the changes before them are not read again after a crash.
func (in *ingester) publish(ctx context.Context, t *turn, lane mesh.Lane, out []mesh.Outgoing, dead []deadProduct) error {
	if len(dead) > 0 {
		if err := t.fence.Held(ctx, lane); err != nil {
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
