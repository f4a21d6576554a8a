package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Change is what a message changes in the ledger.
type Change struct {
	Product string
	// Entry is added to the audit trail. An Entry without an EventID is not.
	Entry Entry
	// Traceparent is the span that sent the message. Empty for none.
	Traceparent string
	// edit changes the product's row under its lock, and reports whether it did. It is nil for an entry alone.
	edit func(context.Context, *Ledger, pgx.Tx, *Product) (bool, error)
	// event is the Stripe event that the entry is about.
	event string
}

// closesLetters reports whether the change may close dead letters without a version, or brings one that a stored entry
// closes.
func (c Change) closesLetters() bool {
	return slices.Contains(closingKinds, c.Entry.Kind) || c.Entry.Kind == "dead" && c.Entry.Version == 0
}

// AuditEntry returns a change that adds an entry to the audit trail.
func AuditEntry(e Entry) Change { return Change{Product: e.Product, Entry: e} }

// EventEntry returns a change that adds an entry about a Stripe event, which may be the cause of drift that is open.
func EventEntry(e Entry, event string) Change {
	return Change{Product: e.Product, Entry: e, event: event}
}

// Apply makes changes in one transaction, in their order: all of them or none. Changes that were made before have no
// effect. It returns an UnstorableError if the ledger can never store one of them.
//
// It returns ErrReplaced, and makes no change, if the ledger lacks what this process has stored.
func (l *Ledger) Apply(ctx context.Context, changes ...Change) error {
	_, err := l.ApplyAgain(ctx, changes...)
	return err
}

// ApplyAgain is Apply for messages that were delivered before. It returns how many products and entries of the audit
// trail were missing.
func (l *Ledger) ApplyAgain(ctx context.Context, changes ...Change) (missing int, err error) {
	if err := checkIDs(changes); err != nil {
		return 0, err
	}
	m, err := l.newMark(ctx)
	if err != nil {
		return 0, err
	}
	var products map[string]*Product
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
		if products, err = l.lock(ctx, tx, changes); err != nil {
			return err
		}
		missing, err = l.applyLocked(ctx, tx, m, products, changes)
		return err
	})
	m.release(err == nil)
	if err != nil {
		return 0, unstorable(err, changes)
	}
	// The listener comes before the steps that may fail. If one of those fails, the caller applies the changes again,
	// and the listener is not called again.
	if len(products) > 0 {
		l.listener.Stored(ctx, l.storedOf(slices.Collect(maps.Values(products))))
	}
	return missing, errors.Join(l.attributeStored(ctx, products), l.attributeToEvents(ctx, changes),
		l.closeUnversioned(ctx, changes))
}

// applyLocked makes changes to the locked rows of their products, and counts the transaction if it stores anything. It
// returns how many products changed, and how many entries are new.
func (l *Ledger) applyLocked(ctx context.Context, tx pgx.Tx, m *mark, products map[string]*Product,
	changes []Change,
) (changed int, err error) {
	var stored []*Product
	var entries []Entry
	for _, c := range changes {
		entry := c.Entry
		if c.edit != nil {
			p := products[c.Product]
			changed, err := l.applyOne(ctx, tx, p, c)
			if err != nil {
				return 0, err
			}
			if p.entryData != nil {
				entry.Data = p.entryData
			}
			if changed && !slices.Contains(stored, p) {
				stored = append(stored, p)
			}
		}
		if entry.EventID != "" {
			entries = append(entries, entry)
		}
	}
	// One of the two counts, so that it costs no round trip of its own.
	first, second := m, (*mark)(nil)
	if len(stored) > 0 {
		first, second = nil, m
	}
	added, err := l.recordMarked(ctx, tx, first, entries...)
	if err != nil {
		return 0, err
	}
	return len(stored) + added, l.storeMarked(ctx, tx, second, stored...)
}

// applyOne makes one change to its product, and reports whether the product changed.
func (l *Ledger) applyOne(ctx context.Context, tx pgx.Tx, p *Product, c Change) (changed bool, err error) {
	p.entryData, p.newEventIDs, p.externalChanges, p.readWhole = nil, nil, nil, false
	p.traceparent = c.Traceparent
	if changed, err = c.edit(ctx, l, tx, p); err != nil || !changed {
		return false, err
	}
	return true, l.deriveProduct(ctx, tx, p)
}

// lock returns the rows of the products that changes edit. It locks them in the order of their ids, so that two
// transactions about the same products do not deadlock.
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
		return nil, fmt.Errorf("lock ledger rows of products %s: %w", nameProducts(ids), err)
	}
	rows, err := tx.Query(ctx,
		selectProducts+` WHERE account = $1 AND product_id = ANY($2) ORDER BY product_id COLLATE "C" FOR UPDATE`,
		l.account, ids)
	if err != nil {
		return nil, fmt.Errorf("lock ledger rows of products %s: %w", nameProducts(ids), err)
	}
	products, err := pgx.CollectRows(rows, scanProduct)
	if err != nil {
		return nil, fmt.Errorf("lock ledger rows of products %s: %w", nameProducts(ids), err)
	}
	if len(products) < len(ids) {
		return nil, fmt.Errorf("lock ledger rows of products %s: some were removed at the same time", nameProducts(ids))
	}
	of := make(map[string]*Product, len(products))
	for _, p := range products {
		of[p.ID] = p
		p.noteIdentifiers()
	}
	return of, nil
}

// nameProducts names products in an error: the first one, and how many more.
func nameProducts(ids []string) string {
	if len(ids) == 1 {
		return ids[0]
	}
	return fmt.Sprintf("%s and %d more", ids[0], len(ids)-1)
}

// deriveProduct derives the state, drift and dead letters of a product from its changed row.
func (l *Ledger) deriveProduct(ctx context.Context, tx pgx.Tx, p *Product) error {
	if err := l.loadOpen(ctx, tx, p); err != nil {
		return err
	}
	closes, err := l.deriveState(p)
	if err != nil {
		return err
	}
	if err := l.updateOpen(ctx, tx, p); err != nil {
		return err
	}
	if p.State == Drifted && p.hasDifferences && len(p.open) == 0 {
		// The remaining difference is another one, with a grace period of its own.
		if err := p.on(productAllSettled, l.now(), time.Time{}); err != nil {
			return err
		}
		if _, err := l.deriveState(p); err != nil {
			return err
		}
	}
	if p.externalChanges != nil && p.hasDifferences && p.State != Dead && p.State != Held {
		if err := l.openDrift(ctx, tx, p, p.externalChanges(l)); err != nil {
			return err
		}
	}
	if err := p.on(l.completion(p), l.now(), l.now().Add(minRepairDelay)); err != nil {
		return err
	}
	if p.State == InSync && p.Hold() != nil {
		p.messages = append(p.messages, l.listener.HoldNotNeeded(ctx, p, l.commands(p).Leave)...)
	}
	if closes {
		return l.close(ctx, tx, p, `version > 0`)
	}
	return nil
}

// completion returns the event that ends a change.
func (l *Ledger) completion(p *Product) productEvent {
	switch {
	case p.State != Drifted:
		return productChanged
	case p.readWhole && p.hasPendingImport():
		return productCanImport
	case !p.repairAt.IsZero():
		return productChanged
	case !l.commands(p).isEmpty():
		return productForgotten
	case p.hasUntrackedDifference():
		return productRestDiffers
	default:
		return productChanged
	}
}
