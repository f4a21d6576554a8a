package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
)

// Concerned has the products that rows concern, with the images of those rows by id.
type Concerned struct {
	// IDs in the order in which they were found.
	IDs    []string
	Images map[string][]*catalogv1.RowImage
	// Uncertain has the rows for which the query failed. They may concern any product.
	Uncertain []string
}

// maxImagesPerProduct is the maximum number of row images that are kept for a product.
const maxImagesPerProduct = 32

// Products finds the products that rows concern now. A query that fails for one row makes the row uncertain. A query
// that fails for every row, for example after a column was renamed, is an error.
func (s *Set) Products(ctx context.Context, pool *pgxpool.Pool, rows []wal.Lookup) (Concerned, error) {
	out := Concerned{Images: map[string][]*catalogv1.RowImage{}}
	type key struct{ table, entry int }
	groups := map[key][]wal.Lookup{}
	var order []key
	for _, r := range rows {
		k := key{r.Table, r.Entry}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], r)
	}
	for _, k := range order {
		if err := s.find(ctx, pool, s.lookups[k.table][k.entry], groups[k], &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (s *Set) find(ctx context.Context, pool *pgxpool.Pool, l lookup, rows []wal.Lookup, out *Concerned) error {
	found, err := l.run(ctx, pool, rows)
	switch {
	case err == nil:
		for _, f := range found {
			images, known := out.Images[f.id]
			if !known {
				out.IDs = append(out.IDs, f.id)
			}
			if image := rows[f.row-1].Image; image != nil && len(images) < maxImagesPerProduct {
				images = append(images, image)
			}
			out.Images[f.id] = images
		}
		return nil
	case !isRowError(err) || l.failsForAll(ctx, pool, err):
		return fmt.Errorf("%s: find the products that changed rows concern: %w", l.location, err)
	case len(rows) > 1:
		if err := s.find(ctx, pool, l, rows[:len(rows)/2], out); err != nil {
			return err
		}
		return s.find(ctx, pool, l, rows[len(rows)/2:], out)
	default:
		out.Uncertain = append(out.Uncertain, fmt.Sprintf("%s fails for a row: %s", l.location, errorText(err)))
		return nil
	}
}

type pair struct {
	row int
	id  string
}

func (l lookup) run(ctx context.Context, pool *pgxpool.Pool, rows []wal.Lookup) ([]pair, error) {
	args := make([]any, len(rows[0].Values))
	for i := range args {
		column := make([]*string, len(rows))
		for j, r := range rows {
			column[j] = r.Values[i]
		}
		args[i] = column
	}
	result, err := pool.Query(ctx, l.sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(result,
		func(row pgx.CollectableRow) (p pair, err error) { return p, row.Scan(&p.row, &p.id) })
}

// isRowError reports whether an error of Postgres can come from the values of rows. Excluded are errors of the
// connection (class 08), of resources (53), of objects in use (55), of an operator (57P), of the system (58), and of
// Postgres itself (XX).
func isRowError(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || strings.HasPrefix(pg.Code, "57P") {
		return false
	}
	for _, class := range []string{"08", "53", "55", "58", "XX"} {
		if strings.HasPrefix(pg.Code, class) {
			return false
		}
	}
	return true
}

// failsForAll reports whether the query fails for every row, for example after a column was renamed or a right was
// revoked.
func (l lookup) failsForAll(ctx context.Context, pool *pgxpool.Pool, of error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](of)
	if !ok || !strings.HasPrefix(pg.Code, "42") {
		return false
	}
	_, err := l.run(ctx, pool, []wal.Lookup{{Values: make([]*string, l.columns)}})
	return err != nil
}

func errorText(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fmt.Sprintf("%s (SQLSTATE %s)", pg.Message, pg.Code)
	}
	return err.Error()
}
