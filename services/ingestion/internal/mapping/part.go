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

// readPart reads some products in one snapshot and adds their states to the result. If a query fails, it adds none. It
// returns the snapshot, if one was taken, even with an error. It takes one round trip, one more if there are checks,
// and others only for prices whose product id is spelled in another way and for checks that fail.
func (s *session) readPart(ctx context.Context, ids []string) (*Snapshot, error) {
	r := newRowCollector()
	checks, err := s.prepareChecks(ctx)
	if err != nil {
		return nil, fmt.Errorf("read products: %w", err)
	}
	var snapshot *Snapshot
	// The first statement after BEGIN takes the snapshot for all of them.
	batch := &pgx.Batch{}
	batch.Queue(s.conn.begin())
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
	if len(checks) == 0 {
		batch.Queue(s.conn.end())
	} else {
		batch.Queue(fmt.Sprintf("SET LOCAL statement_timeout = %d", checkQueryTimeout.Milliseconds()))
		if s.conn.inTransaction {
			// Capture reads in a transaction that is read-only, and a check must do the same in a preview.
			batch.Queue("SET LOCAL transaction_read_only = on")
		}
		batch.Queue("SAVEPOINT " + checksSavepoint)
	}
	if err := s.conn.SendBatch(ctx, batch).Close(); err != nil {
		// The connection can read other parts after the rollback. If it was lost, those reads fail.
		s.conn.undo(ctx)
		return snapshot, fmt.Errorf("read products: %w", s.withQueryName(ctx, err))
	}
	if len(checks) > 0 {
		if err := s.runChecks(ctx, checks, slices.Sorted(maps.Keys(r.states))); err != nil {
			s.conn.undo(ctx)
			return snapshot, fmt.Errorf("run the checks: %w", err)
		}
	}
	if err := r.placeStrays(ctx, prices.id, s.conn); err != nil {
		return snapshot, err
	}
	states := r.finish()
	if err := s.addViolations(ctx, checks, states); err != nil {
		return snapshot, err
	}
	maps.Copy(s.out.States, states)
	s.out.snapshots = append(s.out.snapshots, *snapshot)
	return snapshot, nil
}

// withQueryName adds the name of the query that Postgres refuses to prepare. Such an error of a batch does not say to
// which query it belongs.
func (s *session) withQueryName(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*queryError](err); ok || code(err) == "" {
		return err
	}
	for name, sql := range map[string]string{s.m.products.name: s.m.products.read, s.m.prices.name: s.m.prices.read} {
		if _, refused := s.conn.prepare(ctx, sql); code(refused) == code(err) {
			return newQueryError(name, err)
		}
	}
	return err
}

// eachRow calls collect for each row, with a function that decodes it.
func eachRow[R any](rows pgx.Rows, columns []namedColumn[R],
	collect func(decode func(*R) []catalog.Violation),
) error {
	for rows.Next() {
		collect(func(row *R) []catalog.Violation { return decodeRow(row, columns, rows.RawValues()) })
	}
	return rows.Err()
}

// decodeRow sets a row's values, and returns the faults of values that Stripe's fields cannot have.
func decodeRow[R any](row *R, columns []namedColumn[R], values [][]byte) []catalog.Violation {
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
	// strays has the prices whose product id is not spelled as in the products query.
	strays []decodedPrice
}

type decodedPrice struct {
	priceRow
	faults []catalog.Violation
}

func newRowCollector() *rowCollector {
	return &rowCollector{states: map[string]State{}, rows: map[string]int{}}
}

func (r *rowCollector) product(decode func(*productRow) []catalog.Violation) {
	p := &catalogv1.Product{}
	row := productRow{product: p}
	s := State{Faults: decode(&row), Product: p}
	s.ArchiveAfter = row.archiveAfter
	r.states[p.GetId()] = s
	r.rows[p.GetId()]++
}

// price adds a price to its product. The products are read before the prices.
func (r *rowCollector) price(decode func(*priceRow) []catalog.Violation) {
	p := decodedPrice{priceRow: priceRow{price: &catalogv1.Price{}}}
	p.faults = decode(&p.priceRow)
	if _, ok := r.states[p.product]; !ok {
		r.strays = append(r.strays, p)
		return
	}
	r.add(p.product, p)
}

func (r *rowCollector) add(product string, p decodedPrice) {
	s := r.states[product]
	s.Product.Prices = append(s.Product.Prices, p.price)
	for _, f := range p.faults {
		if len(s.Faults) > catalog.MaxViolations {
			break
		}
		f.Field = priceField(p.price.GetId(), len(s.Product.GetPrices())-1, f.Field)
		s.Faults = append(s.Faults, f)
	}
	r.states[product] = s
}

// priceField returns the name of a price's field in a violation. The price is named by its id, or by its position if it
// has none.
func priceField(id string, position int, field string) string {
	if id == "" {
		return fmt.Sprintf("prices[%d].%s", position, field)
	}
	return fmt.Sprintf("prices[%q].%s", catalog.Abridged(id), field)
}

// placeStrays adds each stray to the product whose id is the same value. It drops a price without a product.
func (r *rowCollector) placeStrays(ctx context.Context, t idType, db querier) error {
	if len(r.strays) == 0 || len(r.states) == 0 {
		return nil
	}
	var named []string
	for _, p := range r.strays {
		named = append(named, p.product)
	}
	// A product whose id is not a value of the type has no prices.
	ids, _, err := t.partition(ctx, db, slices.Sorted(maps.Keys(r.states)))
	if err != nil {
		return err
	}
	pairs, err := t.matches(ctx, db, unique(named), ids)
	if err != nil {
		return err
	}
	for _, p := range r.strays {
		for _, same := range pairs {
			if same.a == p.product {
				r.add(same.b, p)
				break
			}
		}
	}
	return nil
}

// finish returns the states, with a fault for each product and price that was returned more than once.
func (r *rowCollector) finish() map[string]State {
	for id, s := range r.states {
		// The order of the rows depends on the plan and means nothing. Prices without an id stay in order at the end.
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

func repeatedMessage(query, object string, n int) string {
	return fmt.Sprintf(
		"the %s query returns this %s %d times, probably because it joins a table with several rows for "+
			"each %s: join on all columns of that table's key, as with AND t.language = 'en', "+
			"or choose one row with DISTINCT ON (id)", query, object, n, object)
}

// abridge returns a value for messages: at most 60 bytes of it, with "..." if it was cut. Characters are not split.
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
