package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Change is what a message changes in the ledger.
type Change struct {
	Product string
	// Entry of the audit trail; none without an EventID.
	Entry Entry
	// edit changes the product's row under its lock, and says whether it did. Nil for an entry alone.
	edit func(context.Context, *Ledger, pgx.Tx, *Product) (bool, error)
	// event is the Stripe event that the entry is about.
	event string
}

// settles says whether the change may settle dead letters about no version, or brings one that may be settled already.
func (c Change) settles() bool {
	return slices.Contains(settling, c.Entry.Kind) || c.Entry.Kind == "dead" && c.Entry.Version == 0
}

// AuditEntry adds an entry to the audit trail.
func AuditEntry(e Entry) Change { return Change{Product: e.Product, Entry: e} }

// EventEntry adds an entry about a Stripe event, which may be the cause of drift that is known already.
func EventEntry(e Entry, event string) Change {
	return Change{Product: e.Product, Entry: e, event: event}
}

// Apply makes changes, in their order and in one transaction: all of them or none. Changes that have been made before
// change nothing. What the ledger can never store is an UnstorableError.
func (l *Ledger) Apply(ctx context.Context, changes ...Change) error {
	if err := checkIDs(changes); err != nil {
		return err
	}
	var products map[string]*Product
	if err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
		if products, err = l.lock(ctx, tx, changes); err != nil {
			return err
		}
		var stored []*Product
		var entries []Entry
		for _, c := range changes {
			entry := c.Entry
			if p := products[c.Product]; c.edit != nil {
				p.data, p.news, p.byOthers, p.readied = nil, nil, nil, false
				changed, err := c.edit(ctx, l, tx, p)
				if err != nil {
					return err
				}
				if p.data != nil {
					entry.Data = p.data
				}
				if changed {
					if err := l.changed(ctx, tx, p); err != nil {
						return err
					}
					if !slices.Contains(stored, p) {
						stored = append(stored, p)
					}
				}
			}
			if entry.EventID != "" {
				entries = append(entries, entry)
			}
		}
		if err := l.record(ctx, tx, entries...); err != nil {
			return err
		}
		return l.store(ctx, tx, stored...)
	}); err != nil {
		return unstorable(err, changes)
	}
	// First: what fails after it is done again with the changes, and this is not.
	due := false
	for _, p := range products {
		due = due || p.State == Drifted && !p.repairAt.IsZero() && !p.repairAt.After(l.now())
		if len(p.closed) > 0 && l.Closed != nil {
			l.Closed(ctx, p.closed)
		}
	}
	if due && l.Due != nil {
		l.Due()
	}
	return errors.Join(l.blameLate(ctx, products), l.blameEvents(ctx, changes), l.settleUnversioned(ctx, changes))
}

// lock returns the rows of the products that changes edit, locked in the order of their ids: two transactions about the
// same ones do not wait for each other.
func (l *Ledger) lock(ctx context.Context, tx pgx.Tx, changes []Change) (map[string]*Product, error) {
	var ids []string
	for _, c := range changes {
		if c.edit != nil {
			ids = append(ids, c.Product)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if _, err := tx.Exec(ctx, `INSERT INTO driftless_ledger.product (account, product_id)
		SELECT $1, id FROM unnest($2::text[]) WITH ORDINALITY AS x(id, n)
		WHERE NOT EXISTS (SELECT FROM driftless_ledger.product p WHERE p.account = $1 AND p.product_id = x.id) ORDER BY n
		ON CONFLICT DO NOTHING`, l.account, ids); err != nil {
		return nil, fmt.Errorf("ledger rows of products %s: %w", named(ids), err)
	}
	rows, err := tx.Query(ctx,
		selectProducts+` WHERE account = $1 AND product_id = ANY($2) ORDER BY product_id COLLATE "C" FOR UPDATE`,
		l.account, ids)
	if err != nil {
		return nil, fmt.Errorf("ledger rows of products %s: %w", named(ids), err)
	}
	products, err := pgx.CollectRows(rows, scanProduct)
	if err != nil {
		return nil, fmt.Errorf("ledger rows of products %s: %w", named(ids), err)
	}
	if len(products) < len(ids) {
		return nil, fmt.Errorf("ledger rows of products %s: some were removed meanwhile", named(ids))
	}
	of := make(map[string]*Product, len(products))
	for _, p := range products {
		of[p.ID] = p
	}
	return of, nil
}

// named names products in an error: the first of many.
func named(ids []string) string {
	if len(ids) == 1 {
		return ids[0]
	}
	return fmt.Sprintf("%s and %d more", ids[0], len(ids)-1)
}

// changed works out what the change of a product's row means for its state, its drift and its dead letters.
func (l *Ledger) changed(ctx context.Context, tx pgx.Tx, p *Product) error {
	if err := l.loadOpen(ctx, tx, p); err != nil {
		return err
	}
	closes := l.settle(p)
	if err := l.settleOpen(ctx, tx, p); err != nil {
		return err
	}
	if p.State == Drifted && p.unsettled && len(p.open) == 0 {
		// What had drifted is settled. What differs now is another difference, with a time of its own to arrive.
		p.State, p.DiffersSince = Pending, time.Time{}
		l.settle(p)
	}
	if p.byOthers != nil && p.unsettled && p.State != Dead {
		if err := l.find(ctx, tx, p, p.byOthers(l)); err != nil {
			return err
		}
	}
	switch {
	case p.State != Drifted:
		p.DriftedAt, p.repairAt, p.Repairs = time.Time{}, time.Time{}, 0
	case p.readied && p.imports():
		p.repairAt = l.now()
	case p.repairAt.IsZero() && p.unopened():
		p.repairAt = l.now().Add(firstRepair)
	}
	if closes {
		return l.close(ctx, tx, p, `version > 0`)
	}
	return nil
}
