package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// database is the ledger's pool. It cleans the parameters of every statement, so that no statement can omit it.
type database struct{ pool *pgxpool.Pool }

func (d database) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := d.pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return transaction{tx}, nil
}

func (d database) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return d.pool.Exec(ctx, sql, cleanArgs(args)...)
}

func (d database) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return d.pool.Query(ctx, sql, cleanArgs(args)...)
}

func (d database) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return d.pool.QueryRow(ctx, sql, cleanArgs(args)...)
}

func (d database) Ping(ctx context.Context) error { return d.pool.Ping(ctx) }

func (d database) Close() { d.pool.Close() }

// transaction is a transaction of the pool that cleans parameters in the same way.
type transaction struct{ pgx.Tx }

func (t transaction) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := t.Tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return transaction{tx}, nil
}

func (t transaction) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return t.Tx.Exec(ctx, sql, cleanArgs(args)...)
}

func (t transaction) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return t.Tx.Query(ctx, sql, cleanArgs(args)...)
}

func (t transaction) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return t.Tx.QueryRow(ctx, sql, cleanArgs(args)...)
}

func (t transaction) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	for _, query := range batch.QueuedQueries {
		query.Arguments = cleanArgs(query.Arguments)
	}
	return t.Tx.SendBatch(ctx, batch)
}

// CopyFrom is not supported, because it would bypass the cleaning.
func (t transaction) CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error) {
	return 0, errors.ErrUnsupported
}

// unstorable turns an error that Postgres will return for every attempt into an UnstorableError.
func unstorable(err error, changes []Change) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !refusesData(pg.Code) {
		return err
	}
	product := ""
	if len(changes) > 0 {
		product = changes[0].Product
	}
	return &UnstorableError{Product: product, Why: err.Error(), err: err}
}

// refusesData reports whether an SQLSTATE is about the values themselves: data exceptions, program limits, and violated
// column constraints.
func refusesData(code string) bool {
	return len(code) == 5 && (code[:2] == "22" || code[:2] == "54" || slices.Contains([]string{"23502", "23514"}, code))
}

// Refused reports whether an error is about the values that were to be stored or searched for. A retry cannot succeed.
func Refused(err error) bool {
	if _, ok := errors.AsType[*UnstorableError](err); ok {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refusesData(pg.Code)
}

// checkIDs refuses changes of products whose ids the ledger cannot store unchanged. Under another id the product could
// not be distinguished from others, and an operator could not name it.
func checkIDs(changes []Change) error {
	for _, c := range changes {
		switch {
		case !isStorable(c.Product):
			return &UnstorableError{Product: c.Product, Why: "its id contains U+0000, or bytes that are not UTF-8"}
		case len(c.Product) > maxKey:
			why := fmt.Sprintf("its id has %d bytes, and must have at most %d", len(c.Product), maxKey)
			return &UnstorableError{Product: cleanKey(c.Product), Why: why}
		}
	}
	return nil
}
