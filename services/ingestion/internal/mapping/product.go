package mapping

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Row is a row of a query, by column. A value is text as PostgreSQL writes it, a list is JSON, and NULL is nil.
type Row map[string]*string

// Product is a product's state with the rows that it was made from.
type Product struct {
	State
	// Row is nil if the products query does not return the product.
	Row Row
	// Prices has the rows of the prices by their ids.
	Prices map[string]Row
}

// Product reads one product within a transaction, in the transaction's snapshot.
func (m *Mapping) Product(ctx context.Context, tx pgx.Tx, id string) (Product, error) {
	out := Product{Prices: map[string]Row{}}
	r := newRowCollector()
	if err := rowsOf(ctx, tx, m.products, id, func(row Row, values [][]byte) {
		out.Row = row
		r.product(func(p *productRow) []catalog.Violation { return decodeRow(p, m.products.columns, values) })
	}); err != nil {
		return out, fmt.Errorf("read product %s: %w", id, err)
	}
	if err := rowsOf(ctx, tx, m.prices, id, func(row Row, values [][]byte) {
		if price := row["id"]; price != nil {
			out.Prices[*price] = row
		}
		r.price(func(p *priceRow) []catalog.Violation { return decodeRow(p, m.prices.columns, values) })
	}); err != nil {
		return out, fmt.Errorf("read the prices of product %s: %w", id, err)
	}
	if err := r.placeStrays(ctx, m.prices.id, tx); err != nil {
		return out, err
	}
	states := r.finish()
	out.State = states[id]
	if _, ok := states[id]; !ok {
		for _, state := range states {
			out.State = state
		}
	}
	return out, nil
}

// rowsOf reads the rows of a product. The values that it passes to take are valid until take returns.
func rowsOf[R any](ctx context.Context, tx pgx.Tx, q query[R], id string, take func(row Row, values [][]byte)) error {
	rows, err := tx.Query(ctx, q.read, []string{id})
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		values, row := rows.RawValues(), Row{}
		for i, c := range q.columns {
			row[c.name] = nil
			if values[i] != nil {
				row[c.name] = new(string(values[i]))
			}
		}
		take(row, values)
	}
	return rows.Err()
}

// Columns returns the columns of the two queries.
func (m *Mapping) Columns() (products, prices []string) {
	for _, c := range m.products.columns {
		products = append(products, c.name)
	}
	for _, c := range m.prices.columns {
		prices = append(prices, c.name)
	}
	return products, prices
}

// KnownColumns returns the columns that the two queries may return.
func KnownColumns() (products, prices []string) {
	return slices.Sorted(maps.Keys(productColumns)), slices.Sorted(maps.Keys(priceColumns))
}
