package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// A rebase takes the sides of a product from streams that are not those that the ledger was made from. The ledger may
// have later states than such a stream, from the part of it that was lost. Nobody else knows them, so they go.

// RebaseDesired returns the change that makes a state the desired one, whatever its version. It is CATALOG's latest
// state of the product. It changes nothing if the ledger has that state, or one that was stored after before.
func RebaseDesired(change *catalogv1.ProductChange, at Position, entry Entry, before time.Time) Change {
	return Change{
		Product: change.GetProductId(),
		edit: func(_ context.Context, _ *Ledger, _ pgx.Tx, p *Product) (_ bool, err error) {
			if p.desiredAt.Stored.After(before) || p.Desired != nil && p.desiredAt.same(at) {
				return false, nil
			}
			if p.entryData, err = changesOf(p.Desired, change); err != nil {
				return false, err
			}
			if err := p.on(productNewVersion, time.Time{}, time.Time{}); err != nil {
				return false, err
			}
			kept := proto.CloneOf(change)
			kept.RowImages = nil
			p.setDesired(kept, entry.At)
			p.desiredAt = at
			return true, nil
		},
	}
}

// RebaseRemoved returns the change that makes a product one that left the catalog: CATALOG does not have it, although
// all tables were compared with CATALOG. If the ledger knows that it left, it forgets the message that said so. It
// changes nothing if the ledger has a state that was stored after before.
func RebaseRemoved(product string, before time.Time) Change {
	return Change{
		Product: product,
		edit: func(_ context.Context, _ *Ledger, _ pgx.Tx, p *Product) (bool, error) {
			if p.desiredAt.Stored.After(before) {
				return false, nil
			}
			if p.Desired.GetProduct() == nil {
				// CATALOG has lost the message of its removal too. Push may not have seen it.
				hadMessage := p.Desired != nil && p.desiredAt.Sequence != 0
				if hadMessage {
					p.desiredAt = Position{Stored: before}
				}
				return hadMessage, nil
			}
			p.setDesired(&catalogv1.ProductChange{
				Account:   p.Desired.GetAccount(),
				ProductId: p.ID,
				Version:   p.desiredVersion,
				Operation: catalogv1.Operation_OPERATION_DELETE,
				Source:    p.Desired.GetSource(),
			}, before)
			// CATALOG has no message of it.
			p.desiredAt = Position{Stored: before}
			return true, nil
		},
	}
}

// RebaseObserved returns the change that makes a state the observed one. It is OBSERVED's state of the product, with
// nothing in it if OBSERVED does not have the product. It changes nothing if the ledger has that state, or one that was
// stored after before.
func RebaseObserved(observed *catalogv1.Observed, at Position, before time.Time) Change {
	return Change{
		Product: observed.GetProductId(),
		edit: func(_ context.Context, _ *Ledger, _ pgx.Tx, p *Product) (bool, error) {
			isKnown := p.observedAt.same(at) || p.Observed.GetProduct() == nil && observed.GetProduct() == nil &&
				p.observedAt.Sequence == at.Sequence
			if p.observedAt.Stored.After(before) || isKnown {
				return false, nil
			}
			p.setObserved(observed, at.Stored)
			p.observedAt = at
			return true, nil
		},
	}
}

// same reports whether two positions are those of one message.
func (p Position) same(other Position) bool {
	return p.Sequence == other.Sequence &&
		p.Stored.Truncate(time.Microsecond).Equal(other.Stored.Truncate(time.Microsecond))
}

// IDsAfter returns the ids of products after an id, in the order of the database, at most limit.
func (l *Ledger) IDsAfter(ctx context.Context, after string, limit int) ([]string, error) {
	return l.idsAfter(ctx, "true", after, limit)
}

// IDsWithState is IDsAfter for the products whose state of a side is that of a message of CATALOG or OBSERVED.
func (l *Ledger) IDsWithState(ctx context.Context, side Side, after string, limit int) ([]string, error) {
	condition := "observed_revision > 0"
	if side == CatalogSide {
		condition = "desired_sequence > 0"
	}
	return l.idsAfter(ctx, condition, after, limit)
}

func (l *Ledger) idsAfter(ctx context.Context, condition, after string, limit int) ([]string, error) {
	rows, err := l.pool.Query(ctx, `SELECT product_id FROM driftless_ledger.product
		WHERE account = $1 AND product_id > $2 AND `+condition+` ORDER BY product_id LIMIT $3`, l.account, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	return ids, nil
}
