package mapping

import (
	"context"
	"fmt"

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
	rows, err := m.pool.Query(ctx, m.states, ids)
	if err != nil {
		return nil, Snapshot{}, fmt.Errorf("read products: %w", err)
	}
	defer rows.Close()
	states := make(map[string]State, len(ids))
	type orphan struct {
		product string
		price   *catalogv1.Price
		fault   *catalog.Violation
	}
	var prices []orphan
	var snapshot Snapshot
	for rows.Next() {
		var kind int
		var doc []byte
		if err := rows.Scan(&kind, &doc); err != nil {
			return nil, Snapshot{}, fmt.Errorf("read products: %w", err)
		}
		switch kind {
		case 0:
			if snapshot, err = parseSnapshot(string(doc)); err != nil {
				return nil, Snapshot{}, err
			}
		case 1:
			p, err := decodeProduct(doc)
			if err != nil {
				id, _ := rowIDs(doc)
				p = &catalogv1.Product{Id: id}
				s := states[id]
				s.Product, s.Faults = p, append(s.Faults, fault[productRow]("", doc, err))
				states[id] = s
				continue
			}
			s := states[p.GetId()]
			s.Product = p
			states[p.GetId()] = s
		default:
			product, price, err := decodePrice(doc)
			if err != nil {
				var id string
				id, product = rowIDs(doc)
				v := fault[priceRow]("prices["+id+"].", doc, err)
				prices = append(prices, orphan{product: product, fault: &v})
				continue
			}
			prices = append(prices, orphan{product: product, price: price})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, Snapshot{}, fmt.Errorf("read products: %w", err)
	}
	for _, o := range prices {
		s, ok := states[o.product]
		if !ok || s.Product == nil {
			continue
		}
		if o.fault != nil {
			s.Faults = append(s.Faults, *o.fault)
			states[o.product] = s
			continue
		}
		s.Product.Prices = append(s.Product.Prices, o.price)
	}
	return states, snapshot, nil
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
