package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Hold returns the change of the product that the guard holds, nil if it holds none. A hold of an earlier version than
// the latest does not count: push has yet to judge the latest. Neither does an approved one, which push is to make.
func (p *Product) Hold() *catalogv1.Hold {
	h := p.Observed.GetHold()
	if h == nil || h.GetApproved() || h.GetVersion() < p.desiredVersion {
		return nil
	}
	return h
}

// rulesOf returns the rules that hold a change, each once, in the order of its findings.
func rulesOf(h *catalogv1.Hold) []string {
	rules := []string{}
	for _, f := range h.GetFindings() {
		if !slices.Contains(rules, f.GetRule()) {
			rules = append(rules, f.GetRule())
		}
	}
	return rules
}

// holdColumns returns the values of the columns held_by and held_since.
func (p *Product) holdColumns() (by []string, since *time.Time) {
	h := p.Hold()
	if p.State != Held || h == nil {
		return []string{}, nil
	}
	if h.GetSince() == nil {
		return rulesOf(h), nil
	}
	return rulesOf(h), new(h.GetSince().AsTime())
}

// HeldCount is the number of products that a rule of the guard holds, and since when the oldest is held.
type HeldCount struct {
	Rule  string
	N     uint64
	Since time.Time
}

// HeldCounts returns the held products by rule, in the order of the rules' names. A product counts for each rule that
// holds it.
func (l *Ledger) HeldCounts(ctx context.Context) ([]HeldCount, error) {
	return l.heldCounts(ctx, "rule")
}

// HeldKinds is HeldCounts with the operator's checks as one rule, "check".
func (l *Ledger) HeldKinds(ctx context.Context) ([]HeldCount, error) {
	return l.heldCounts(ctx, "split_part(rule, ':', 1)")
}

// heldCounts counts by an expression over the name of a rule.
func (l *Ledger) heldCounts(ctx context.Context, by string) ([]HeldCount, error) {
	rows, err := l.pool.Query(ctx, `SELECT `+by+` COLLATE "C" AS name, count(DISTINCT product_id),
			coalesce(min(held_since), now())
		FROM driftless_ledger.product, unnest(held_by) rule
		WHERE account = $1 AND state = `+sqlList(Held)+` GROUP BY name ORDER BY name`, l.account)
	if err != nil {
		return nil, fmt.Errorf("count held products: %w", err)
	}
	counts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[HeldCount])
	if err != nil {
		return nil, fmt.Errorf("count held products: %w", err)
	}
	return counts, nil
}

// HeldFilter selects held products. An empty field selects all.
type HeldFilter struct {
	// Products are ids.
	Products []string
	// Rule is the name of a rule, or "check" for all checks of the operator. It selects the products that the rule
	// holds, others beside it or not.
	Rule string
	// After selects products with ids after this one.
	After string
}

// HeldProducts returns held products in the order of their ids, at most the limit, with their differences. It returns
// whether there are more.
func (l *Ledger) HeldProducts(ctx context.Context, of HeldFilter,
	limit int,
) (products []*Product, more bool, err error) {
	rows, err := l.pool.Query(ctx, selectProducts+` WHERE account = $1 AND state = `+sqlList(Held)+`
		AND (cardinality($2::text[]) = 0 OR product_id = ANY($2)) AND product_id COLLATE "C" > $3
		AND ($4 = '' OR EXISTS (SELECT FROM unnest(held_by) rule WHERE rule = $4 OR split_part(rule, ':', 1) = $4))
		ORDER BY product_id COLLATE "C" LIMIT $5`,
		l.account, append([]string{}, of.Products...), of.After, of.Rule, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("list held products: %w", err)
	}
	if products, err = pgx.CollectRows(rows, scanProduct); err != nil {
		return nil, false, fmt.Errorf("list held products: %w", err)
	}
	if more = len(products) > limit; more {
		products = products[:limit]
	}
	if err := l.loadOpen(ctx, l.pool, products...); err != nil {
		return nil, false, err
	}
	for _, p := range products {
		l.resolve(p)
	}
	return products, more, nil
}

// Rules returns the rules that hold the product, each once.
func (p *Product) Rules() []string { return rulesOf(p.Hold()) }
