package mapping

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// readPart reads some products in one snapshot and one round trip. It keeps their states unless a query fails. It
// returns the snapshot in any case if there was one.
func (s *session) readPart(ctx context.Context, ids []string) (*Snapshot, error) {
	r := newRowCollector()
	var snapshot *Snapshot
	// The first statement after BEGIN takes the snapshot of all.
	batch := &pgx.Batch{}
	batch.Queue("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ")
	batch.Queue("SELECT pg_current_snapshot()::text").QueryRow(func(row pgx.Row) error {
		var text string
		if err := row.Scan(&text); err != nil {
			return err
		}
		taken, err := parseSnapshot(text)
		snapshot = &taken
		return err
	})
	products, prices := s.m.products, s.m.prices
	batch.Queue(products.read, ids).Query(func(rows pgx.Rows) error {
		return newQueryError(products.name, eachRow(rows, products.columns, r.product))
	})
	priced := ids
	if len(s.unpriced) > 0 {
		priced = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return s.unpriced[id] })
	}
	batch.Queue(prices.read, priced).Query(func(rows pgx.Rows) error {
		return newQueryError(prices.name, eachRow(rows, prices.columns, r.price))
	})
	batch.Queue("COMMIT")
	if err := s.conn.SendBatch(ctx, batch).Close(); err != nil {
		// The rollback lets the connection read other parts. A lost connection fails again there.
		_, _ = s.conn.Exec(ctx, "ROLLBACK")
		return snapshot, fmt.Errorf("read products: %w", s.withQueryName(ctx, err))
	}
	if err := r.placeStrays(ctx, prices.id, s.conn); err != nil {
		return snapshot, err
	}
	maps.Copy(s.out.States, r.finish())
	s.out.snapshots = append(s.out.snapshots, *snapshot)
	return snapshot, nil
}

// withQueryName adds the name of the query to an error that came before any query was run, because Postgres refused one
// of them.
func (s *session) withQueryName(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*queryError](err); ok || code(err) == "" {
		return err
	}
	for name, sql := range map[string]string{s.m.products.name: s.m.products.read, s.m.prices.name: s.m.prices.read} {
		if _, refused := s.conn.Conn().PgConn().Prepare(ctx, "", sql, nil); code(refused) == code(err) {
			return newQueryError(name, err)
		}
	}
	return err
}

// eachRow decodes rows and passes them on with the faults of their values.
func eachRow[R any](rows pgx.Rows, columns []namedColumn[R], take func(decode func(*R) []catalog.Violation)) error {
	for rows.Next() {
		take(func(row *R) (faults []catalog.Violation) { return decode(row, columns, rows.RawValues()) })
	}
	return rows.Err()
}

// decode sets a row's values, and returns the faults of values that Stripe's fields cannot have.
func decode[R any](row *R, columns []namedColumn[R], values [][]byte) []catalog.Violation {
	var faults []catalog.Violation
	for i, raw := range values {
		v := value{path: columns[i].name, raw: raw, faults: &faults}
		switch {
		case raw != nil:
			columns[i].set(row, v)
		case columns[i].null != "":
			v.faultf("%s", columns[i].null)
		}
	}
	if price, ok := any(row).(*priceRow); ok {
		price.amount()
	}
	return faults
}

// rowCollector collects the rows of some products.
type rowCollector struct {
	states map[string]State
	// rows counts the rows of the products query by id.
	rows map[string]int
	// strays has prices whose product is spelled differently than by the products query.
	strays []stray
}

type stray struct {
	priceRow
	faults []catalog.Violation
}

func newRowCollector() *rowCollector {
	return &rowCollector{states: map[string]State{}, rows: map[string]int{}}
}

func (r *rowCollector) product(decode func(*catalogv1.Product) []catalog.Violation) {
	p := &catalogv1.Product{}
	s := State{Faults: decode(p), Product: p}
	r.states[p.GetId()] = s
	r.rows[p.GetId()]++
}

// price adds a price to its product, which was read before.
func (r *rowCollector) price(decode func(*priceRow) []catalog.Violation) {
	row := priceRow{price: &catalogv1.Price{}}
	faults := decode(&row)
	if _, ok := r.states[row.product]; !ok {
		r.strays = append(r.strays, stray{row, faults})
		return
	}
	r.add(row.product, stray{row, faults})
}

func (r *rowCollector) add(product string, x stray) {
	s := r.states[product]
	s.Product.Prices = append(s.Product.Prices, x.price)
	for _, f := range x.faults {
		if len(s.Faults) > catalog.MaxViolations {
			break
		}
		f.Field = priceField(x.price.GetId(), len(s.Product.GetPrices())-1, f.Field)
		s.Faults = append(s.Faults, f)
	}
	r.states[product] = s
}

// priceField returns the name of a field of a price as violations have it: by the price's id, or by its position if it
// has none.
func priceField(id string, position int, field string) string {
	if id == "" {
		return fmt.Sprintf("prices[%d].%s", position, field)
	}
	return fmt.Sprintf("prices[%q].%s", catalog.Abridged(id), field)
}

// placeStrays adds the strays to the products that they name by value. It drops a price without a product.
func (r *rowCollector) placeStrays(ctx context.Context, t idType, db querier) error {
	if len(r.strays) == 0 || len(r.states) == 0 {
		return nil
	}
	var named []string
	for _, x := range r.strays {
		named = append(named, x.product)
	}
	// A value that the type cannot hold has no price.
	ids, _, err := t.partition(ctx, db, slices.Sorted(maps.Keys(r.states)))
	if err != nil {
		return err
	}
	pairs, err := t.matches(ctx, db, unique(named), ids)
	if err != nil {
		return err
	}
	for _, x := range r.strays {
		for _, p := range pairs {
			if p.a == x.product {
				r.add(p.b, x)
				break
			}
		}
	}
	return nil
}

// finish returns the states, with a fault for each product and price that was returned more than once.
func (r *rowCollector) finish() map[string]State {
	for id, s := range r.states {
		// The order of rows depends on the plan and means nothing. Prices without an id stay at the end in their order.
		slices.SortStableFunc(s.Product.GetPrices(), func(a, b *catalogv1.Price) int {
			if (a.GetId() == "") != (b.GetId() == "") {
				return strings.Compare(b.GetId(), a.GetId())
			}
			return strings.Compare(a.GetId(), b.GetId())
		})
		if n := r.rows[id]; n > 1 {
			s.Faults = append(s.Faults, catalog.Violation{
				Field:   "id",
				Message: repeatedMessage("products", "product", n),
			})
		}
		times := map[string]int{}
		for _, p := range s.Product.GetPrices() {
			times[p.GetId()]++
		}
		for _, price := range slices.Sorted(maps.Keys(times)) {
			if n := times[price]; n > 1 && price != "" && len(s.Faults) <= catalog.MaxViolations {
				s.Faults = append(s.Faults, catalog.Violation{
					Field: priceField(price, 0, "id"), Message: repeatedMessage("prices", "price", n),
				})
			}
		}
		r.states[id] = s
	}
	return r.states
}

func repeatedMessage(query, of string, n int) string {
	return fmt.Sprintf(
		"the %s query returns this %s %d times, probably because it joins a table with several rows for "+
			"each %s: join on all columns of that table's key, as with AND t.language = 'en', "+
			"or choose one row with DISTINCT ON (id)", query, of, n, of)
}

// abridge returns a value for messages: at most 60 bytes, cut before a character that does not fit.
func abridge(value []byte) string {
	const limit = 60
	// Only the part that can be shown is checked.
	text := strings.ToValidUTF8(string(value[:min(len(value), 2*limit)]), "�")
	if len(text) <= limit {
		return text
	}
	end := limit
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}
