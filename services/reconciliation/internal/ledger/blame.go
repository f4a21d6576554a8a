package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// blame looks for the event that caused a difference among those that were new when it was found. One of Driftless's
// own calls is no cause.
func (l *Ledger) blame(ctx context.Context, tx pgx.Tx, product string, d *Drift) error {
	rows, err := tx.Query(ctx, `UPDATE driftless_ledger.drift d SET caused_by = e.caused_by, event_id = e.event_id
		FROM (SELECT h.data->>'caused_by' AS caused_by, h.data->>'stripe_event_id' AS event_id FROM driftless_ledger.history h, driftless_ledger.drift x
			WHERE x.id = $1 AND h.event_id = ANY (SELECT 'STRIPE:' || $2::text || ':' || e FROM unnest(x.events) e)
			AND h.data->>'caused_by' IN ('dashboard', 'api_key') ORDER BY h.at DESC, h.id DESC LIMIT 1) e
		WHERE d.id = $1 RETURNING d.caused_by, d.event_id`, d.ID, l.account)
	if err != nil {
		return fmt.Errorf("look for the cause of drift of product %s: %w", product, err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&d.CausedBy, &d.EventID}, func() error { return nil }); err != nil {
		return fmt.Errorf("look for the cause of drift of product %s: %w", product, err)
	}
	return nil
}

// blameLate looks once more for the causes of drift that was found without one, after what found it has been stored: an
// event that was recorded meanwhile has not seen the drift, as blame has not seen the event. Of two that look after
// they have stored, the later one sees both.
func (l *Ledger) blameLate(ctx context.Context, products map[string]*Product) error {
	for _, p := range products {
		if len(p.unexplained) == 0 {
			continue
		}
		if err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			for _, d := range p.unexplained {
				if err := l.blame(ctx, tx, p.ID, d); err != nil {
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

// blameEvents tells drift that waits to know its cause about the events that have been recorded, after they have been
// stored: see blameLate.
func (l *Ledger) blameEvents(ctx context.Context, changes []Change) error {
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
			selectDrift+` WHERE account = $1 AND product_id = ANY($2) AND caused_by = 'unknown' AND events && $3`,
			l.account, products, events)
		if err != nil {
			return fmt.Errorf("look for drift that events caused: %w", err)
		}
		waiting, err := pgx.CollectRows(rows, scanDrift)
		if err != nil {
			return fmt.Errorf("look for drift that events caused: %w", err)
		}
		for _, d := range waiting {
			if err := l.blame(ctx, tx, d.Product, d); err != nil {
				return err
			}
		}
		return nil
	})
}
