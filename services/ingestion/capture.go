package ingestion

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/mesh"
)

const tracerName = "github.com/driftless-sync/driftless/services/ingestion"

// readAhead is the number of batches that are read ahead of the one being stored.
const readAhead = 2

// reconnectDelay is the time before the log is read again after an error.
const reconnectDelay = time.Second

// maxReadFailures is the number of failures in a row at the same position after which the log is given up. The slot is
// then created again, and the tables are compared.
const maxReadFailures = 3

var (
	// errSchema ends a turn whose schema changed. The next turn checks the schema again.
	errSchema = errors.New("the schema of the catalog changed")
	// errHistory ends a turn whose log is not the one that was captured before.
	errHistory = errors.New("the write-ahead log has another history than the one that was captured")
)

// capture reads the log while this replica is the leader, until ctx ends. After each error it continues from the
// confirmed position.
func (in *ingester) capture(ctx context.Context) error {
	defer in.turns.isStandby.Store(false)
	var unreadable failureCount
	for {
		err := in.captureOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case errors.Is(err, wal.ErrSlotInUse):
			in.standBy(ctx)
			continue
		case errors.Is(err, errSchema):
			in.logger.WarnContext(ctx, "the schema of the catalog changed; checking it again", "error", err)
			in.mustRequestSnapshot(ctx, err.Error())
			in.retryBind(ctx)
			continue
		}
		in.turns.isStandby.Store(false)
		switch {
		case errors.Is(err, mesh.ErrFenced):
			in.logger.WarnContext(
				ctx, "another ingestion took over while this one was paused or cut off; it reads unpublished changes again", "error", err)
		case errors.Is(err, errHistory):
			in.snapshot.historyChanged.Store(true)
			in.logger.WarnContext(
				ctx, "the catalog database went back to an earlier state; comparing all tables", "error", err)
		case errors.Is(err, wal.ErrUnreadable) &&
			unreadable.isPersistent(in.currentSchema().source.Position(ctx, in.pool)):
			in.dropLog(ctx, err)
		default:
			in.report.setProblem(err)
			in.logger.ErrorContext(ctx, "capture was interrupted; it continues from the confirmed position",
				"error", err)
		}
		in.sleep(ctx, reconnectDelay)
		// The slot may have been lost meanwhile, or the whole database.
		in.retryBind(ctx)
	}
}

// mustRequestSnapshot calls requestSnapshot until it succeeds or ctx ends. A schema that was changed and changed back
// has its old shape again, but rows that were written meanwhile may not be in the log.
func (in *ingester) mustRequestSnapshot(ctx context.Context, reason string) {
	for ctx.Err() == nil {
		err := in.requestSnapshot(ctx, reason)
		if err == nil {
			return
		}
		in.report.setProblem(err)
		in.sleep(ctx, reconnectDelay)
	}
}

// failureCount counts failures in a row at one position of the log.
type failureCount struct {
	at pglogrepl.LSN
	n  int
}

// isPersistent counts a failure at a position, and reports whether the log is to be given up.
func (f *failureCount) isPersistent(at pglogrepl.LSN) bool {
	if f.at != at {
		f.at, f.n = at, 0
	}
	f.n++
	return f.n >= maxReadFailures
}

// dropLog drops a slot whose log cannot be read, for example after its publication was dropped. A comparison of the
// tables replaces the lost log.
func (in *ingester) dropLog(ctx context.Context, why error) {
	in.logger.ErrorContext(
		ctx, "the write-ahead log cannot be read; creating the replication slot again and comparing all tables",
		"error", why)
	err := in.requestSnapshot(ctx, "the write-ahead log could not be read: "+why.Error())
	if pg, ok := errors.AsType[*pgconn.PgError](why); ok && err == nil && strings.HasPrefix(pg.Code, "22") {
		// Postgres evaluates a condition under `where`, and it fails for a row. Ingestion then evaluates it itself, row
		// by row.
		err = in.currentSchema().source.RemoveFilters(ctx, in.pool)
	}
	if err == nil {
		err = in.currentSchema().source.Drop(ctx, in.pool)
	}
	if err != nil && ctx.Err() == nil {
		in.logger.ErrorContext(ctx, "could not drop the replication slot", "error", err)
	}
}

// retryBind calls bind until it succeeds or ctx ends. It logs the same error at most once a minute.
func (in *ingester) retryBind(ctx context.Context) {
	var logged string
	var at time.Time
	for ctx.Err() == nil {
		// A connection keeps the settings with which it was opened. Old and new ones would find different schemas, and
		// read different values.
		in.pool.Reset()
		err := in.bind(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		in.turns.isStandby.Store(false)
		in.report.setProblem(err)
		if text := err.Error(); text != logged || time.Since(at) > time.Minute {
			logged, at = text, time.Now()
			in.logger.ErrorContext(ctx, "capture is stopped", "error", err)
		}
		in.sleep(ctx, reconnectDelay)
	}
}

// captureOnce reads the log once, until an error. It creates the slot if there is none.
func (in *ingester) captureOnce(ctx context.Context) error {
	slot, err := in.currentSchema().source.Find(ctx, in.pool)
	if err != nil {
		return err
	}
	if slot.IsMissing {
		if slot, err = in.makeSlot(ctx, slot); err != nil {
			return err
		}
	}
	return in.runTurn(ctx, slot)
}

// runTurn reads the log until it ends or fails. Reading, mapping and publishing run concurrently. The confirmed
// position moves only up to what JetStream has stored.
func (in *ingester) runTurn(ctx context.Context, slot wal.SlotState) error {
	// The fence is read before the slot is won. A replica that wins the slot later, and raises the fence first, is then
	// not shut out by this one.
	fence, err := in.mesh.Fence(ctx, in.account)
	if err != nil {
		return err
	}
	s := in.currentSchema()
	reader, err := s.source.Open(ctx, slot.Confirmed)
	if err != nil {
		return err
	}
	t := &turn{fence: fence, reader: reader, schema: s}
	if err := in.beginTurn(ctx, t, slot); err != nil {
		return errors.Join(err, reader.Close(context.WithoutCancel(ctx)))
	}
	ctx, t.end = context.WithCancelCause(ctx)
	defer t.end(nil)
	t.done = ctx.Done()
	in.turns.turn.Store(t)
	defer in.turns.turn.Store(nil)
	in.turns.isStandby.Store(false)
	in.report.clearProblem()
	in.logger.InfoContext(ctx, "reading the log", "slot", in.Slot, "from", slot.Confirmed)
	in.snapshot.signal()
	err = in.stream(ctx, t)
	if cause := context.Cause(ctx); errors.Is(cause, mesh.ErrFenced) || errors.Is(cause, errSchema) ||
		errors.Is(cause, errHistory) {
		return cause
	}
	return err
}

// stream reads, maps and publishes until ctx ends or one of them fails.
func (in *ingester) stream(ctx context.Context, t *turn) error {
	chunks := make(chan *wal.Chunk, 64)
	// Batches are read concurrently and stored in order: while Postgres works on one, the next is decoded. A state that
	// is read after the next batch's may be later than its label, which is safe.
	batches := make(chan chan *batch, readAhead)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		defer close(chunks)
		defer func() {
			closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			err = errors.Join(err, t.reader.Close(closeCtx))
		}()
		return in.readChunks(ctx, t, chunks)
	})
	g.Go(func() error { return in.giveUpSlotWithoutNATS(ctx) })
	g.Go(func() error {
		defer close(batches)
		for chunk := range chunks {
			collected, done := collectChunks(chunk, chunks), make(chan *batch, 1)
			select {
			case batches <- done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			g.Go(func() error {
				b, err := in.read(ctx, t, collected)
				done <- b
				return err
			})
		}
		return nil
	})
	g.Go(func() error { return in.storeBatches(ctx, t, batches) })
	return g.Wait()
}

// storeBatches stores batches in order, and confirms the position of each stored one.
func (in *ingester) storeBatches(ctx context.Context, t *turn, batches <-chan chan *batch) error {
	for done := range batches {
		b := <-done
		if b == nil {
			return nil
		}
		if err := in.store(ctx, t, b); err != nil {
			return err
		}
		if b.end > 0 {
			t.reader.Confirm(b.end)
		}
	}
	return nil
}

// readChunks reads the log and sends it on, chunk by chunk.
func (in *ingester) readChunks(ctx context.Context, t *turn, chunks chan<- *wal.Chunk) error {
	for ctx.Err() == nil {
		chunk, err := t.reader.Read(ctx)
		if err != nil {
			return err
		}
		if chunk == nil {
			if err := t.history.checkEnd(t.reader.EndOfLog()); err != nil {
				return err
			}
			continue
		}
		if err := t.history.checkTransaction(chunk); err != nil {
			return err
		}
		t.reader.Expect(t.history.expected)
		if chunk.CommitLSN < t.history.publishedUpTo {
			chunk.Products, chunk.Lookups = nil, nil
		}
		in.warnUnwatched(ctx, t, chunk)
		if err := sendChunk(ctx, chunk, chunks, t.reader); err != nil {
			return err
		}
	}
	return nil
}

// warnUnwatched logs once for each table that the publication has a table that is not watched.
func (in *ingester) warnUnwatched(ctx context.Context, t *turn, chunk *wal.Chunk) {
	if chunk.Unwatched == "" || t.unwatched[chunk.Unwatched] {
		return
	}
	if t.unwatched == nil {
		t.unwatched = map[string]bool{}
	}
	t.unwatched[chunk.Unwatched] = true
	in.logger.WarnContext(
		ctx, "the publication has changes of a table that catalog.watch does not name; they are ignored",
		"table", chunk.Unwatched)
	// The table may have had the name of a watched one until now, which a check of the schema detects.
	in.report.checkSchemaNow()
}

// sendChunk sends a chunk to the goroutine that reads states. While that goroutine is behind, sendChunk sends the
// server signs of life.
func sendChunk(ctx context.Context, chunk *wal.Chunk, chunks chan<- *wal.Chunk, reader *wal.Reader) error {
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
		case <-time.After(wal.StatusInterval):
			if err := reader.SendStatus(ctx); err != nil {
				return err
			}
		}
	}
}

// collectChunks collects the chunks that have arrived, up to a batch. The more capture is behind, the more changes of a
// product are merged.
func collectChunks(first *wal.Chunk, more <-chan *wal.Chunk) []*wal.Chunk {
	out := []*wal.Chunk{first}
	for n := first.Size(); n < mesh.MaxBatch; {
		select {
		case c, ok := <-more:
			if !ok {
				return out
			}
			out = append(out, c)
			n += c.Size()
		default:
			return out
		}
	}
	return out
}

// makeSlot creates the replication slot. Postgres first waits for open transactions to end, which is logged every 10 s.
func (in *ingester) makeSlot(ctx context.Context, slot wal.SlotState) (wal.SlotState, error) {
	// The request comes before the slot, so that a crash leaves no slot without a read of what was before it. It is
	// repeated after the slot is made, so that a running comparison starts over: rows that it read before may have
	// changed unseen.
	const reason = "the replication slot was created"
	if err := in.requestSnapshot(ctx, reason); err != nil {
		return slot, err
	}
	source := in.currentSchema().source
	made := make(chan error, 1)
	if slot.IsBeingCreated {
		// This is a session that outlived its ingestion, or another replica. The next attempt finds the slot.
		in.reportBlocker(ctx, source, time.Now())
		return slot,
			errors.New("another session is creating the replication slot, and waits for open transactions to end")
	}
	go func() {
		var err error
		slot, err = source.Create(ctx, in.pool)
		made <- err
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	since, loggedAt := time.Now(), time.Time{}
	for {
		select {
		case err := <-made:
			in.report.setWaiting("")
			if err != nil {
				return slot, err
			}
			return slot, in.requestSnapshot(ctx, reason)
		case <-tick.C:
			why := in.reportBlocker(ctx, source, since)
			if time.Since(loggedAt) > 10*time.Second && time.Since(since) > 2*time.Second {
				loggedAt = time.Now()
				in.logger.WarnContext(ctx, "the start is waiting for an open transaction", "why", why)
			}
		}
	}
}

// reportBlocker reports and returns what the creation of the slot waits for.
func (in *ingester) reportBlocker(ctx context.Context, source *wal.Source, since time.Time) string {
	blocker, err := source.Blocker(ctx, in.pool)
	if err != nil || blocker == "" {
		blocker = "an open transaction"
	}
	why := fmt.Sprintf("the replication slot is being created, and Postgres waits for %s to end first (%s so far)",
		blocker, time.Since(since).Round(time.Second))
	in.report.setWaiting(why)
	return why
}
