package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// The rows of a batch are one JSON array each. They are locked in the order of their ids, so that overlapping batches
// wait for each other and do not deadlock. Rows that do not change are not written.
var (
	upsertProducts = upsertSQL("driftless.products", builtin.ProductColumns, "") + " RETURNING id, xmax = 0"
	// A price of another product is not changed: see foreignPrices.
	upsertPrices = upsertSQL("driftless.prices", builtin.PriceColumns, "p.product = excluded.product AND ", "product")
)

// upsertSQL returns the statement that writes the rows of a JSON array, $1, into a table. It changes existing rows only
// on a condition, and never the fixed columns.
func upsertSQL(table string, c builtin.Columns, condition string, fixed ...string) string {
	but := append([]string{"id"}, fixed...)
	return "INSERT INTO " + table + " AS p (" + c.List("") + ") SELECT " + c.List("r.") +
		" FROM jsonb_to_recordset($1) AS r(" +
		c.Definitions() + ") ORDER BY id ON CONFLICT (id) DO UPDATE SET (" + c.List("", but...) + ") = (" + c.List(
		"excluded.", but...) +
		") WHERE " + condition + "(" + c.List("p.", but...) + ") IS DISTINCT FROM (" + c.List("excluded.", but...) + ")"
}

const (
	deletePrices = `DELETE FROM driftless.prices p
WHERE p.product = ANY($1) AND NOT EXISTS (SELECT FROM unnest($2::text[]) AS r(id) WHERE r.id = p.id)`

	// A price of another product has one of the call's ids. The statement above did not change it.
	foreignPrices = `SELECT r.id, p.product FROM jsonb_to_recordset($1) AS r(id text, product text)
JOIN driftless.prices p ON p.id = r.id WHERE p.product <> r.product ORDER BY r.id`

	// The lookup key of a price defaults to its id.
	takenKeys = `SELECT r.id, r.key, p.id, p.product
FROM (SELECT id, coalesce(lookup_key, id) AS key FROM jsonb_to_recordset($1) AS r(id text, lookup_key text)) r
JOIN driftless.prices p ON p.lookup_key = r.key WHERE p.id <> r.id
UNION ALL
SELECT r.id, r.lookup_key, p.id, p.product FROM jsonb_to_recordset($1) AS r(id text, lookup_key text)
JOIN driftless.prices p ON p.id = r.lookup_key AND p.lookup_key IS NULL WHERE p.id <> r.id
ORDER BY 1, 3`
)

// upsert writes a batch in one transaction, or returns why it cannot and writes nothing.
func (s *server) upsert(ctx context.Context, actor string,
	products []*catalogv1.Product,
) ([]*ingestv1.UpsertedProduct, []*ingestv1.FieldViolation, error) {
	b, err := newBatch(products)
	if err != nil {
		return nil, nil, err
	}
	var created map[string]bool
	var faults []*ingestv1.FieldViolation
	err = s.transaction(ctx, actor, func(tx pgx.Tx) (err error) {
		if created, err = writeProducts(ctx, tx, b); err != nil {
			return fmt.Errorf("write products: %w", err)
		}
		if _, err := tx.Exec(ctx, deletePrices, b.productIDs, b.priceIDs); err != nil {
			return fmt.Errorf("remove prices: %w", err)
		}
		if _, err := tx.Exec(ctx, upsertPrices, b.prices); err != nil {
			return fmt.Errorf("write prices: %w", err)
		}
		if faults, err = findClashes(ctx, tx, b); err != nil {
			return fmt.Errorf("find prices of other products: %w", err)
		}
		if len(faults) > 0 {
			return errRollback
		}
		return nil
	})
	if err != nil || len(faults) > 0 {
		return nil, faults, err
	}
	out := make([]*ingestv1.UpsertedProduct, len(products))
	for i, p := range products {
		out[i] = &ingestv1.UpsertedProduct{Id: p.GetId(), Created: created[p.GetId()]}
	}
	return out, nil, nil
}

// writeProducts writes the products, and returns which of them are new.
func writeProducts(ctx context.Context, tx pgx.Tx, b *batch) (map[string]bool, error) {
	rows, err := tx.Query(ctx, upsertProducts, b.products)
	if err != nil {
		return nil, err
	}
	created := map[string]bool{}
	var id string
	var isNew bool
	_, err = pgx.ForEachRow(rows, []any{&id, &isNew}, func() error { created[id] = isNew; return nil })
	return created, err
}

// findClashes returns the ids and lookup keys that prices of other products have.
func findClashes(ctx context.Context, tx pgx.Tx, b *batch) ([]*ingestv1.FieldViolation, error) {
	var faults []*ingestv1.FieldViolation
	var id, key, other, owner string
	add := func(field, format string, args ...any) {
		if len(faults) > maxDetails {
			return
		}
		at := b.positions[id]
		faults = append(faults, &ingestv1.FieldViolation{
			Field:     at.path + field,
			ProductId: at.product,
			Message:   fmt.Sprintf(format, args...),
		})
	}
	rows, err := tx.Query(ctx, foreignPrices, b.prices)
	if err != nil {
		return nil, err
	}
	if _, err = pgx.ForEachRow(rows, []any{&id, &owner}, func() error {
		add(".id", "price %s belongs to product %s: a price cannot move to product %s", id, owner,
			b.positions[id].product)
		return nil
	}); err != nil {
		return nil, err
	}
	if rows, err = tx.Query(ctx, takenKeys, b.prices); err != nil {
		return nil, err
	}
	_, err = pgx.ForEachRow(rows, []any{&id, &key, &other, &owner}, func() error {
		add(".lookup_key", "%q is the lookup key of price %s of product %s", key, other, owner)
		return nil
	})
	return faults, err
}

// archive sets active to false. If products are missing, it writes nothing and returns their ids.
func (s *server) archive(ctx context.Context, actor string, ids []string) (missing []string, err error) {
	err = s.transaction(ctx, actor, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT id FROM driftless.products WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
			ids)
		if err != nil {
			return fmt.Errorf("find products: %w", err)
		}
		found := map[string]bool{}
		var id string
		if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { found[id] = true; return nil }); err != nil {
			return fmt.Errorf("find products: %w", err)
		}
		missing = nil
		for _, id := range ids {
			if !found[id] {
				missing = append(missing, id)
			}
		}
		if len(missing) > 0 {
			return errRollback
		}
		if _, err := tx.Exec(ctx, "UPDATE driftless.products SET active = false WHERE id = ANY($1) AND active",
			ids); err != nil {
			return fmt.Errorf("archive products: %w", err)
		}
		return nil
	})
	return missing, err
}

// errRollback rolls back a transaction that has not failed.
var errRollback = errors.New("nothing is written")

// maxAttempts is the maximum number of attempts of a transaction that conflicts with another.
const maxAttempts = 5

// setLockTimeout bounds the time for which a locked row keeps a connection of the pool. A caller may set no deadline.
const setLockTimeout = "SET LOCAL lock_timeout = '5s'"

// transaction runs change in a transaction, and writes the caller's trace and name into the log. change may run several
// times.
func (s *server) transaction(ctx context.Context, actor string, change func(pgx.Tx) error) error {
	var err error
	for range maxAttempts {
		// Other isolation levels would not see commits of other sessions while this one waits for the rows.
		err = pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, setLockTimeout); err != nil {
				return fmt.Errorf("prepare the transaction: %w", err)
			}
			if trace := telemetry.Traceparent(ctx); trace != "" {
				if _, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, 'traceparent', $1)",
					trace); err != nil {
					return fmt.Errorf("write the trace into the log: %w", err)
				}
			}
			if actor != "" {
				if _, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, $1, $2)", wal.ActorPrefix,
					actor); err != nil {
					return fmt.Errorf("write the actor into the log: %w", err)
				}
			}
			return change(tx)
		})
		if errors.Is(err, errRollback) {
			return nil
		}
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || !retryableCodes[pg.Code] {
			break
		}
	}
	return err
}

// retryableCodes has the SQLSTATEs that mean that another transaction was faster, and that a retry may succeed.
var retryableCodes = map[string]bool{
	"40001": true, // serialization failure
	"40P01": true, // deadlock, as with statements of another session in another order
	"23505": true, // a lookup key used in the meantime: the next attempt sees which price uses it
}
