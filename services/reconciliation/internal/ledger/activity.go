package ledger

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// ActivityFilter selects entries of the history of all products.
type ActivityFilter struct {
	// After is the id after which the entries begin.
	After uint64
	// Latest selects the latest entries instead, this many. Before selects those with ids before it, 0 all.
	Latest int
	Before uint64
	// Products are the only products. All if empty.
	Products []string
	// Kinds are the only kinds. All if empty.
	Kinds []string
	// Text is a text that the detail or the product's id has, in any case. Empty matches all.
	Text string
	// Actor is who asked for what the entry is about. Empty matches all.
	Actor string
	// Limit is the maximum number of entries.
	Limit int
}

// ActivityEntry is an entry of the history with its id.
type ActivityEntry struct {
	Entry
	ID uint64
}

const selectActivity = `SELECT id, product_id, event_id, at, kind, version::text, detail, trace_id, data
	FROM driftless_ledger.history WHERE account = $1
	AND (cardinality($2::text[]) = 0 OR product_id = ANY($2)) AND (cardinality($3::text[]) = 0 OR kind = ANY($3))
	AND ($6 = '' OR strpos(lower(detail), lower($6)) > 0 OR strpos(lower(product_id), lower($6)) > 0)
	AND ($7 = '' OR data ->> 'actor' = $7)`

// selectLatest looks at half a million entries: those of one kind may be rare.
const selectLatest = `SELECT id, product_id, event_id, at, kind, version, detail, trace_id, data FROM (` +
	selectActivity + ` AND id > $4 AND id < $8
	AND id > (SELECT least($8, coalesce(max(id), 0)) - 500000 FROM driftless_ledger.history) ORDER BY id DESC LIMIT $5) e
	ORDER BY id`

// Activity returns entries in the order of their ids. An id says when its transaction wrote, not when it committed: a
// later call may return a lower id.
func (l *Ledger) Activity(ctx context.Context, f ActivityFilter) ([]ActivityEntry, error) {
	// Null and an empty array differ.
	products, kinds := append([]string{}, f.Products...), append([]string{}, f.Kinds...)
	args := []any{l.account, products, kinds, int64(min(f.After, math.MaxInt64)), f.Limit, f.Text, f.Actor}
	statement := selectActivity + ` AND id > $4 ORDER BY id LIMIT $5`
	if f.Latest > 0 {
		before := int64(math.MaxInt64)
		if f.Before > 0 {
			before = int64(min(f.Before, math.MaxInt64))
		}
		statement, args[4] = selectLatest, f.Latest
		args = append(args, before)
	}
	rows, err := l.pool.Query(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("list the activity: %w", err)
	}
	entries, err := pgx.CollectRows(rows, scanActivity)
	if err != nil {
		return nil, fmt.Errorf("list the activity: %w", err)
	}
	return entries, nil
}

// LastActivity returns the id of the latest entry of the history.
func (l *Ledger) LastActivity(ctx context.Context) (uint64, error) {
	var id int64
	if err := l.pool.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM driftless_ledger.history`).Scan(&id); err != nil {
		return 0, fmt.Errorf("read the latest activity: %w", err)
	}
	return uint64(id), nil
}

func scanActivity(row pgx.CollectableRow) (ActivityEntry, error) {
	var e ActivityEntry
	var id int64
	var version string
	if err := row.Scan(&id, &e.Product, &e.EventID, &e.At, &e.Kind, &version, &e.Detail, &e.TraceID,
		&e.Data); err != nil {
		return e, err
	}
	e.ID = uint64(id)
	var err error
	e.Version, err = strconv.ParseUint(version, 10, 64)
	return e, err
}
