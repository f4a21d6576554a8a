package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// attributeCause searches the events that were new when a difference was found for the one that caused it. One of
// Driftless's own calls is no cause.
func (l *Ledger) attributeCause(ctx context.Context, tx pgx.Tx, product string, d *Drift) error {
	rows, err := tx.Query(ctx, `UPDATE driftless_ledger.drift d SET caused_by = e.caused_by, event_id = e.event_id
		FROM (SELECT h.data->>'caused_by' AS caused_by, h.data->>'stripe_event_id' AS event_id FROM driftless_ledger.history h, driftless_ledger.drift x
			WHERE x.id = $1 AND h.event_id = ANY (SELECT 'STRIPE:' || $2::text || ':' || e FROM unnest(x.events) e)
			AND h.data->>'caused_by' IN ('dashboard', 'api_key') ORDER BY h.at DESC, h.id DESC LIMIT 1) e
		WHERE d.id = $1 RETURNING d.caused_by, d.event_id`, d.ID, l.account)
	if err != nil {
		return fmt.Errorf("find the cause of drift of product %s: %w", product, err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&d.CausedBy, &d.EventID}, func() error { return nil }); err != nil {
		return fmt.Errorf("find the cause of drift of product %s: %w", product, err)
	}
	return nil
}

// attributeStored searches again for causes once drift without a cause is stored. An event that was recorded at the
// same time has not seen the drift, and attributeCause has not seen the event. Both sides search after they have
// stored, so the later one sees both.
func (l *Ledger) attributeStored(ctx context.Context, products map[string]*Product) error {
	for _, p := range products {
		if len(p.unattributed) == 0 {
			continue
		}
		if err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			if err := l.lockRows(ctx, tx, p.ID); err != nil {
				return err
			}
			for _, d := range p.unattributed {
				if err := l.attributeCause(ctx, tx, p.ID, d); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// attributeToEvents searches open drift without a cause for differences that the stored events have caused. See
// attributeStored.
func (l *Ledger) attributeToEvents(ctx context.Context, changes []Change) error {
	var events, products []string
	for _, c := range changes {
		if c.event != "" {
			events, products = append(events, c.event), append(products, c.Product)
		}
	}
	if len(events) == 0 {
		return nil
	}
	return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx,
			selectDrift+` WHERE account = $1 AND product_id = ANY($2) AND caused_by = `+sqlList(CauseUnknown)+
				` AND events && $3`,
			l.account, products, events)
		if err != nil {
			return fmt.Errorf("find drift that events caused: %w", err)
		}
		waiting, err := pgx.CollectRows(rows, scanDrift)
		if err != nil {
			return fmt.Errorf("find drift that events caused: %w", err)
		}
		ids := make([]string, len(waiting))
		for i, d := range waiting {
			ids[i] = d.Product
		}
		if err := l.lockRows(ctx, tx, ids...); err != nil {
			return err
		}
		for _, d := range waiting {
			if err := l.attributeCause(ctx, tx, d.Product, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// lockRows locks the rows of products in the order of their ids, as lock does. A change of drift also changes the
// product's row for lists. Without the lock, two transactions could wait for each other's rows.
func (l *Ledger) lockRows(ctx context.Context, tx pgx.Tx, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT FROM driftless_ledger.product WHERE account = $1 AND product_id = ANY($2)
		ORDER BY product_id COLLATE "C" FOR UPDATE`, l.account, ids); err != nil {
		return fmt.Errorf("lock ledger rows of products %s: %w", nameProducts(ids), err)
	}
	return nil
}
