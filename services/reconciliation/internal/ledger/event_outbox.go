package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// StoredEvent is an event that was stored with a change of the ledger, and is published after the transaction.
type StoredEvent struct {
	ID, Kind, Product string
	// Body is the CloudEvent as JSON.
	Body []byte

	row int64
}

const (
	// eventPage is how many events are published at once.
	eventPage = 500
	// eventLease is how long a process publishes events before another one may do so. A page takes less.
	eventLease = 10 * time.Second
)

// PublishEvents publishes the events that transactions have stored, in their order, and deletes those that were
// published. publish returns how many of the events, from the first on, JetStream has. It does nothing while another
// holder publishes. holder identifies the process.
//
// A process that dies leaves its events to the next call, by any process. So an event may be published twice. Its id
// makes JetStream store it once, and a reader recognize it.
func (l *Ledger) PublishEvents(ctx context.Context, holder string,
	publish func(context.Context, []StoredEvent) (n int, err error),
) error {
	for ctx.Err() == nil {
		page, err := l.readEvents(ctx)
		if err != nil || len(page) == 0 {
			return err
		}
		isHolder, err := l.takeEventLease(ctx, holder)
		if err != nil || !isHolder {
			return err
		}
		// The lease may have been another's until now.
		if page, err = l.readEvents(ctx); err != nil || len(page) == 0 {
			return err
		}
		publishing, cancel := context.WithTimeout(ctx, eventLease)
		n, failed := publish(publishing, page)
		cancel()
		if err := errors.Join(failed, l.deleteEvents(ctx, page[:n])); err != nil {
			return err
		}
	}
	return nil
}

// readEvents reads the first events.
func (l *Ledger) readEvents(ctx context.Context) ([]StoredEvent, error) {
	rows, err := l.pool.Query(ctx, `SELECT id, event_id, kind, product_id, body FROM driftless_ledger.event_outbox
		WHERE account = $1 ORDER BY id LIMIT $2`, l.account, eventPage)
	if err != nil {
		return nil, fmt.Errorf("read the events to publish: %w", err)
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e StoredEvent, err error) {
		return e, row.Scan(&e.row, &e.ID, &e.Kind, &e.Product, &e.Body)
	})
	if err != nil {
		return nil, fmt.Errorf("read the events to publish: %w", err)
	}
	return page, nil
}

// takeEventLease reports whether the holder may publish events now. It uses the database's clock.
func (l *Ledger) takeEventLease(ctx context.Context, holder string) (taken bool, err error) {
	err = l.pool.QueryRow(ctx, `INSERT INTO driftless_ledger.event_lease AS lease (account, holder, until)
		VALUES ($1, $2, now() + $3) ON CONFLICT (account) DO UPDATE SET holder = $2, until = now() + $3
		WHERE lease.holder = $2 OR lease.until < now() RETURNING true`, l.account, holder, eventLease).Scan(&taken)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take the lease to publish events: %w", err)
	}
	return taken, nil
}

// ReleaseEvents lets another process publish events at once, also while the service stops.
func (l *Ledger) ReleaseEvents(ctx context.Context, holder string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	if _, err := l.pool.Exec(ctx, `DELETE FROM driftless_ledger.event_lease WHERE account = $1 AND holder = $2`,
		l.account, holder); err != nil {
		return fmt.Errorf("release the lease to publish events: %w", err)
	}
	return nil
}

// deleteEvents deletes events that were published, also while the service stops.
func (l *Ledger) deleteEvents(ctx context.Context, published []StoredEvent) error {
	if len(published) == 0 {
		return nil
	}
	rows := make([]int64, len(published))
	for i, e := range published {
		rows[i] = e.row
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	if _, err := l.pool.Exec(ctx, `DELETE FROM driftless_ledger.event_outbox WHERE id = ANY($1)`, rows); err != nil {
		return fmt.Errorf("delete %d published events: %w", len(rows), err)
	}
	return nil
}

// OldestEvent returns when the oldest event was stored that is not published yet, the zero time if all are published.
func (l *Ledger) OldestEvent(ctx context.Context) (stored time.Time, err error) {
	err = l.pool.QueryRow(ctx, `SELECT created_at FROM driftless_ledger.event_outbox WHERE account = $1
		ORDER BY id LIMIT 1`, l.account).Scan(&stored)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, fmt.Errorf("find the oldest event to publish: %w", err)
	}
	return stored, nil
}

// DropEvents deletes events that could not be published for so long, and returns how many. Otherwise a mesh without the
// stream of events would fill the ledger.
func (l *Ledger) DropEvents(ctx context.Context, age time.Duration) (dropped int64, err error) {
	tag, err := l.pool.Exec(ctx, `DELETE FROM driftless_ledger.event_outbox WHERE account = $1 AND created_at < $2`,
		l.account, l.now().Add(-age))
	if err != nil {
		return 0, fmt.Errorf("delete events that could not be published: %w", err)
	}
	return tag.RowsAffected(), nil
}
