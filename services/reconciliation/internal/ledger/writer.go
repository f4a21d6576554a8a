package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nuid"
)

// ErrReplaced means that the ledger lacks transactions that this process has committed: an older copy was restored in
// its place, or a standby that was behind took over.
var ErrReplaced = errors.New(
	"the ledger lacks what this process has stored in it: an older copy of it was restored while reconciliation ran")

// slotCount is how many transactions of a process may mark the ledger at the same time. Each has a row of its own, so
// none waits for another. It is the number of connections.
const slotCount = maxConnections

// forgetWriters is how long the rows of a process that ended are kept.
const forgetWriters = "7 days"

// writer counts the transactions of this process in the ledger. NATS forgets a message once it is acknowledged, which
// happens after the transaction. So a ledger in which a count went back lacks something that nobody delivers again.
type writer struct {
	id   string
	free chan *slot

	mu    sync.Mutex
	slots [slotCount]slot
}

// slot is one row of the counts.
type slot struct {
	number int
	// committed is the count that is known to be stored. A transaction of unknown outcome may have stored tried.
	committed, tried int64
}

func newWriter() *writer {
	w := &writer{id: nuid.Next(), free: make(chan *slot, slotCount)}
	for i := range w.slots {
		w.slots[i].number = i
		w.free <- &w.slots[i]
	}
	return w
}

// counts returns the counts that must be stored, in the order of the slots.
func (w *writer) counts() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]int64, slotCount)
	for i := range w.slots {
		out[i] = w.slots[i].committed
	}
	return out
}

// mark is the count of one transaction. A nil mark counts nothing.
type mark struct {
	ledger *Ledger
	writer *writer
	slot   *slot
	count  int64
}

// newMark returns the mark of a transaction. It waits while all slots are in use. It is nil if the process has not
// joined.
func (l *Ledger) newMark(ctx context.Context) (*mark, error) {
	w := l.writer.Load()
	if w == nil {
		return nil, nil
	}
	select {
	case s := <-w.free:
		return &mark{ledger: l, writer: w, slot: s}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// queue adds the statement that counts the transaction. It changes no row if the stored count is not the one that this
// process has stored last.
func (m *mark) queue(batch *pgx.Batch) {
	m.writer.mu.Lock()
	defer m.writer.mu.Unlock()
	committed, tried := m.slot.committed, m.slot.tried
	m.slot.tried++
	m.count = m.slot.tried
	batch.Queue(`UPDATE driftless_ledger.writer SET writes = $4, at = now()
		WHERE account = $1 AND writer = $2 AND slot = $3 AND writes BETWEEN $5 AND $6`,
		m.ledger.account, m.writer.id, m.slot.number, m.count, committed, tried)
}

// check reads the result of the statement.
func (m *mark) check(results pgx.BatchResults) error {
	tag, err := results.Exec()
	if err != nil {
		return fmt.Errorf("mark the ledger: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return ErrReplaced
	}
	return nil
}

// release ends the mark's transaction. committed reports whether it is known to be stored.
func (m *mark) release(committed bool) {
	if m == nil {
		return
	}
	m.writer.mu.Lock()
	if committed && m.count > 0 {
		m.slot.committed = m.count
	}
	m.writer.mu.Unlock()
	m.writer.free <- m.slot
}

// Join makes this process a writer of the ledger. From then on Continuity detects if the ledger is replaced.
func (l *Ledger) Join(ctx context.Context) error {
	w := newWriter()
	if err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error { return l.join(ctx, tx, w) }); err != nil {
		return err
	}
	l.writer.Store(w)
	return nil
}

// join stores the counts of a new writer, and deletes those of processes that ended long ago.
func (l *Ledger) join(ctx context.Context, tx pgx.Tx, w *writer) error {
	if _, err := tx.Exec(ctx, `INSERT INTO driftless_ledger.writer (account, writer, slot, writes, at)
		SELECT $1, $2, n, 0, now() FROM generate_series(0, $3::int - 1) n`, l.account, w.id, slotCount); err != nil {
		return fmt.Errorf("join the writers of the ledger: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM driftless_ledger.writer WHERE account = $1 AND writer IN (
		SELECT writer FROM driftless_ledger.writer WHERE account = $1 GROUP BY writer
		HAVING max(at) < now() - interval '`+forgetWriters+`')`, l.account); err != nil {
		return fmt.Errorf("delete earlier writers of the ledger: %w", err)
	}
	return nil
}

// StayWriter keeps the counts of this process from being taken for those of one that ended.
func (l *Ledger) StayWriter(ctx context.Context) error {
	w := l.writer.Load()
	if w == nil {
		return nil
	}
	if _, err := l.pool.Exec(ctx, `UPDATE driftless_ledger.writer SET at = now()
		WHERE account = $1 AND writer = $2 AND slot = 0 AND at < now() - interval '1 hour'`,
		l.account, w.id); err != nil {
		return fmt.Errorf("mark the ledger: %w", err)
	}
	return nil
}

// ownCounts is a condition that the ledger has what the writer $2 of the account $1 has committed: the counts $3.
const ownCounts = `(SELECT count(*) FROM driftless_ledger.writer w
	JOIN unnest($3::bigint[]) WITH ORDINALITY AS x (writes, number) ON w.slot = x.number - 1 AND w.writes >= x.writes
	WHERE w.account = $1 AND w.writer = $2) = cardinality($3::bigint[])`
