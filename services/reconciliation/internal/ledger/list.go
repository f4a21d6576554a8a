package ledger

import (
	"context"
	"fmt"
)

// ListFilter selects products. The zero value selects all.
type ListFilter struct {
	// Products are the only products, and States the only states. All if empty.
	Products []string
	States   []State
	// Kinds are catalog (the catalog has it), left (it left the catalog, or never was in it, and is not active in
	// Stripe) and extra (only Stripe has it). All if empty.
	Kinds []string
	// Search is a text that the id or one of the names has, in any case. Empty matches all.
	Search string
	// After is the id after which the products begin.
	After string
}

// Kinds are the values of ListFilter.Kinds.
var Kinds = []string{"catalog", "left", "extra"}

// kindCatalog is the kind of products that the catalog has.
const kindCatalog = "catalog"

// kindOf is a product's kind in SQL. The parts of JSON are null for a side that has no product.
const kindOf = `CASE WHEN desired_json IS NOT NULL THEN 'catalog' WHEN gone THEN 'left' ELSE 'extra' END`

// List yields the products that a filter selects, in the order of their ids, at most limit. It returns the id to
// continue after, "" if there are no more.
func (l *Ledger) List(ctx context.Context, f ListFilter, limit int, yield func(*Product)) (next string, err error) {
	states := make([]string, len(f.States))
	for i, s := range f.States {
		states[i] = string(s)
	}
	rows, err := l.pool.Query(ctx,
		selectProducts+` WHERE account = $1 AND (cardinality($2::text[]) = 0 OR product_id = ANY($2))
		AND product_id > $3 AND (cardinality($5::text[]) = 0 OR state = ANY($5))
		AND (cardinality($6::text[]) = 0 OR `+kindOf+` = ANY($6))
		AND ($7 = '' OR strpos(lower(product_id), lower($7)) > 0
			OR strpos(lower(desired_json->'product'->>'name'), lower($7)) > 0
			OR strpos(lower(observed_json->'product'->>'name'), lower($7)) > 0)
		ORDER BY product_id LIMIT $4`,
		l.account, append([]string{}, f.Products...), f.After, limit, states, append([]string{}, f.Kinds...), f.Search)
	if err != nil {
		return "", fmt.Errorf("list products: %w", err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		p, err := scanProduct(rows)
		if err != nil {
			return "", fmt.Errorf("list products: %w", err)
		}
		next = p.ID
		yield(p)
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("list products: %w", err)
	}
	if n < limit {
		next = ""
	}
	return next, nil
}
