package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// DriftFilter selects drift. An empty field selects all.
type DriftFilter struct {
	Products, Kinds, States []string
	// After selects products with ids after this one.
	After string
	// Settled includes settled drift.
	Settled bool
}

// andNotHeld excludes the drift of held products. Their differences wait for an approval, and nothing repairs them.
var andNotHeld = ` AND product_id NOT IN (SELECT product_id FROM driftless_ledger.product
	WHERE account = $1 AND state = ` + sqlList(Held) + `)`

// Drifts returns drift by product, about as much as the limit, and reports whether there is more. It never cuts a
// product's open drift, also if that exceeds the limit. It cuts settled drift: the latest of a product stays. Without
// named products, it leaves out drift of products whose change the guard holds.
func (l *Ledger) Drifts(ctx context.Context, of DriftFilter, limit int) (drifts []*Drift, more bool, err error) {
	bound := limit + 1
	if drifts, err = l.readDrifts(ctx, of, bound); err != nil || len(drifts) < bound {
		return drifts, false, err
	}
	last := drifts[limit].Product
	if whole := slices.DeleteFunc(slices.Clone(drifts),
		func(d *Drift) bool { return d.Product == last }); len(whole) > 0 {
		return whole, true, nil
	}
	following := of
	following.After = last
	of.Products = []string{last}
	// Open drift comes first, so it is whole once settled drift follows. One read sees both as they were at one time.
	for len(drifts) == bound {
		if cut := drifts[:bound-1]; !cut[len(cut)-1].SettledAt.IsZero() {
			return cut, true, nil
		}
		bound *= 2
		if drifts, err = l.readDrifts(ctx, of, bound); err != nil {
			return nil, false, err
		}
	}
	others, err := l.readDrifts(ctx, following, 1)
	if err != nil {
		return nil, false, err
	}
	return drifts, len(others) > 0, nil
}

// readDrifts reads drift by product, at most the limit: a product's open drift first, then its latest settled drift.
func (l *Ledger) readDrifts(ctx context.Context, of DriftFilter, limit int) ([]*Drift, error) {
	list := func(s []string) []string { return append([]string{}, s...) }
	held := ""
	if len(of.Products) == 0 {
		held = andNotHeld
	}
	rows, err := l.pool.Query(ctx,
		selectDrift+
			` WHERE account = $1 AND (settled_at IS NULL OR $2) AND (cardinality($3::text[]) = 0 OR product_id = ANY($3))
		AND (cardinality($4::text[]) = 0 OR kind = ANY($4)) AND (cardinality($5::text[]) = 0 OR state = ANY($5)) AND product_id > $6`+held+`
		ORDER BY product_id, settled_at DESC NULLS FIRST, id LIMIT $7`,
		l.account, of.Settled, list(of.Products), list(of.Kinds), list(of.States), of.After, limit)
	if err != nil {
		return nil, fmt.Errorf("list drift: %w", err)
	}
	drifts, err := pgx.CollectRows(rows, scanDrift)
	if err != nil {
		return nil, fmt.Errorf("list drift: %w", err)
	}
	return drifts, nil
}

// DriftCount is the number of open differences of a kind in a state.
type DriftCount struct {
	Kind, State string
	N           uint64
}

// DriftCounts returns the number of open differences by kind and state, without those of held products.
func (l *Ledger) DriftCounts(ctx context.Context) ([]DriftCount, error) {
	rows, err := l.pool.Query(ctx,
		`SELECT kind, state, count(*) FROM driftless_ledger.drift WHERE account = $1 AND settled_at IS NULL`+
			andNotHeld+`
		GROUP BY kind, state ORDER BY kind, state`, l.account)
	if err != nil {
		return nil, fmt.Errorf("count drift: %w", err)
	}
	counts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DriftCount])
	if err != nil {
		return nil, fmt.Errorf("count drift: %w", err)
	}
	return counts, nil
}

// Decision is what an operator wants about open drift. The zero value ignores it until one of its values changes.
type Decision struct {
	// Keep is the side whose values are kept, whatever the policy says.
	Keep Side
}

// Decide applies an operator's decision to a product's open drift, of the given fields or of all, and adds its entry to
// the audit trail. check is called for each difference; if it returns an error, nothing is changed. A nil check allows
// all. Earlier rounds no longer count towards the limit. It returns the drift that was decided, nothing if there is no
// such drift.
func (l *Ledger) Decide(ctx context.Context, product string, fields []string, entry Entry, decision Decision,
	check func(*Product, *Drift) error,
) (decided []*Drift, err error) {
	err = l.Apply(ctx,
		Change{Product: product, edit: func(ctx context.Context, l *Ledger, tx pgx.Tx, p *Product) (_ bool, err error) {
			if decided, err = l.decideOpen(ctx, tx, p, fields, decision, check); err != nil || len(decided) == 0 {
				return false, err
			}
			if slices.ContainsFunc(decided, (*Drift).isActive) {
				if err := p.on(productDecided, l.now(), time.Time{}); err != nil {
					return false, err
				}
			}
			return true, l.record(ctx, tx, entry)
		}})
	return decided, err
}

// decideOpen applies a decision to the open drift of fields, or of all if there are none.
func (l *Ledger) decideOpen(ctx context.Context, tx pgx.Tx, p *Product, fields []string, decision Decision,
	check func(*Product, *Drift) error,
) (decided []*Drift, err error) {
	if err := l.loadOpen(ctx, tx, p); err != nil {
		return nil, err
	}
	for _, d := range p.open {
		if len(fields) > 0 && !slices.Contains(fields, d.Field) {
			continue
		}
		if check != nil {
			if err := check(p, d); err != nil {
				return nil, err
			}
		}
		if err := l.decideOne(ctx, tx, d, decision); err != nil {
			return nil, err
		}
		decided = append(decided, d)
	}
	return decided, nil
}

func (l *Ledger) decideOne(ctx context.Context, tx pgx.Tx, d *Drift, decision Decision) error {
	event := driftDecided
	if decision.Keep == "" {
		event = driftDismissed
	}
	do, err := d.on(event, driftInput{side: decision.Keep})
	if err != nil {
		return err
	}
	if err := l.storeDrift(ctx, tx, d); err != nil {
		return err
	}
	if do&forgetRounds == 0 {
		return nil
	}
	return l.forgetRounds(ctx, tx, d)
}
