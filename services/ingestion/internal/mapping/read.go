package mapping

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/catalog"
)

// State is a product as the queries return it, or why it could not be read.
type State struct {
	// Product with its prices; nil if the products query does not return it.
	Product *catalogv1.Product
	// Faults of values that do not have the form of Stripe's fields; Product is what could be read.
	Faults []catalog.Violation
}

// States reads products by their ids, as of one snapshot, which is returned with them.
func (m *Mapping) States(ctx context.Context, ids []string) (map[string]State, Snapshot, error) {
	r := reading{states: make(map[string]State, len(ids))}
	// One round trip; the first statement after BEGIN takes the snapshot of all.
	batch := &pgx.Batch{}
	batch.Queue("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ")
	batch.Queue("SELECT pg_current_snapshot()::text").QueryRow(func(row pgx.Row) error {
		var text string
		if err := row.Scan(&text); err != nil {
			return err
		}
		var err error
		r.snapshot, err = parseSnapshot(text)
		return err
	})
	batch.Queue(m.products.read, ids).Query(func(rows pgx.Rows) error { return eachRow(rows, m.products.columns, r.product) })
	batch.Queue(m.prices.read, ids).Query(func(rows pgx.Rows) error { return eachRow(rows, m.prices.columns, r.price) })
	batch.Queue("COMMIT")
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return nil, Snapshot{}, fmt.Errorf("read products: %w", err)
	}
	// A connection with a transaction that failed is not used again: the pool closes it.
	defer conn.Release()
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, Snapshot{}, fmt.Errorf("read products: %w", err)
	}
	return r.states, r.snapshot, nil
}

// eachRow decodes rows and hands them on with the faults of their values.
func eachRow[R any](rows pgx.Rows, columns []named[R], take func(decode func(*R) []catalog.Violation)) error {
	for rows.Next() {
		take(func(row *R) (faults []catalog.Violation) { return decode(row, columns, rows.RawValues()) })
	}
	return rows.Err()
}

// decode sets a row's values and returns the faults of those that have another form.
func decode[R any](row *R, columns []named[R], values [][]byte) (faults []catalog.Violation) {
	for i, value := range values {
		if value == nil {
			continue
		}
		if err := columns[i].set(row, value); err != nil {
			faults = append(faults, catalog.Violation{
				Field: columns[i].name, Message: fmt.Sprintf("%s does not have the form of Stripe's field: %v", abridged(value), err),
			})
		}
	}
	return faults
}

// reading gathers what is read.
type reading struct {
	states   map[string]State
	snapshot Snapshot
}

func (r *reading) product(decode func(*catalogv1.Product) []catalog.Violation) {
	p := &catalogv1.Product{}
	s := State{Faults: decode(p), Product: p}
	r.states[p.GetId()] = s
}

// price adds a price to its product, which was read before; a price of no product is nobody's.
func (r *reading) price(decode func(*priceRow) []catalog.Violation) {
	row := priceRow{price: &catalogv1.Price{}}
	faults := decode(&row)
	s, ok := r.states[row.product]
	if !ok {
		return
	}
	// A numeric column may write whole amounts with decimals: 1400.00.
	p := row.price
	p.UnitAmount, p.UnitAmountDecimal = catalog.Amount(p.GetUnitAmount(), p.GetUnitAmountDecimal())
	s.Product.Prices = append(s.Product.Prices, p)
	if len(faults) > 0 {
		for _, f := range faults {
			f.Field = "prices[" + p.GetId() + "]." + f.Field
			s.Faults = append(s.Faults, f)
		}
		r.states[row.product] = s
	}
}

func abridged(value []byte) string {
	const most = 60
	if len(value) > most {
		return string(value[:most]) + "..."
	}
	return string(value)
}

// IDs lists up to limit product ids in their order, after the given one; from the first if it is empty.
func (m *Mapping) IDs(ctx context.Context, after string, limit int) ([]string, error) {
	var from *string
	if after != "" {
		from = &after
	}
	rows, err := m.pool.Query(ctx, m.ids, from, limit)
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id *string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list products: %w", err)
		}
		if id != nil {
			out = append(out, *id)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	return out, nil
}
