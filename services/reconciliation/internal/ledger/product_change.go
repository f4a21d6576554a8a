package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Position is the position of a message in a stream.
type Position struct {
	Sequence uint64
	// Stored is when the stream stored the message.
	Stored time.Time
}

// after reports whether a message came after another of its subject. A stream that was created again, or restored from
// a backup, reuses sequences, so the time decides too. The time alone is not enough: a server's clock may step back.
func (p Position) after(other Position) bool {
	return p.Sequence > other.Sequence || p.Stored.Truncate(time.Microsecond).After(other.Stored)
}

// DesiredChange returns the change that a desired state from CATALOG makes, with its entry in the audit trail. An older
// version than the known one adds only the entry. If the versions are equal, the one stored later wins.
func DesiredChange(change *catalogv1.ProductChange, at Position, entry Entry) Change {
	return Change{
		Product: change.GetProductId(),
		Entry:   entry,
		edit: func(_ context.Context, _ *Ledger, _ pgx.Tx, p *Product) (_ bool, err error) {
			if change.GetVersion() < p.desiredVersion ||
				change.GetVersion() == p.desiredVersion && !at.after(p.desiredAt) {
				return false, nil
			}
			if p.entryData, err = changesOf(p.Desired, change); err != nil {
				return false, err
			}
			if change.GetVersion() > p.desiredVersion {
				// A new version has a grace period of its own.
				if err := p.on(productNewVersion, time.Time{}, time.Time{}); err != nil {
					return false, err
				}
			}
			kept := proto.CloneOf(change)
			kept.RowImages = nil
			p.setDesired(kept, entry.At)
			p.desiredAt = at
			return true, nil
		},
	}
}

// ObservedChange returns the change that an observed state from OBSERVED makes. A state older than the known one has no
// effect.
func ObservedChange(observed *catalogv1.Observed, at Position) Change {
	return Change{
		Product: observed.GetProductId(),
		edit: func(_ context.Context, _ *Ledger, _ pgx.Tx, p *Product) (bool, error) {
			if !at.after(p.observedAt) {
				return false, nil
			}
			before := p.Observed
			p.setObserved(observed, at.Stored)
			p.observedAt, p.readWhole = at, becameWhole(before, observed)
			p.externalChanges = func(l *Ledger) []catalog.Decision { return l.externalChanges(p, before) }
			for _, id := range observed.GetRecentEvents() {
				if !catalog.SeenEvent(before, id) {
					p.newEventIDs = append(p.newEventIDs, id)
				}
			}
			return true, nil
		},
	}
}

// Forget deletes the state of a product under an id of Stripe's that the catalog never had, because the product is now
// linked to another id. The audit trail keeps its history, and what it was before can still be asked for.
func (l *Ledger) Forget(ctx context.Context, stripeID string) error {
	if _, err := l.pool.Exec(ctx, `WITH forgotten AS (DELETE FROM driftless_ledger.product
			WHERE account = $1 AND product_id = $2 AND desired IS NULL RETURNING *)
		INSERT INTO driftless_ledger.past_state (account, side, product_id, since, until, first_version, last_version, state)
		SELECT account, `+sqlList(StripeSide)+`, product_id, observed_since, greatest(observed_since, $3),
			0, observed_version, observed
		FROM forgotten WHERE observed_json IS NOT NULL`, l.account, stripeID, l.now()); err != nil {
		return fmt.Errorf("forget product %s: %w", stripeID, err)
	}
	return nil
}

// externalChanges returns the differences that others have made to a product that push had brought to its latest
// version. It returns none while push has claimed the product, or while the ledger knows an older version than push has
// applied.
func (l *Ledger) externalChanges(p *Product, before *catalogv1.Observed) []catalog.Decision {
	if isExtra(p) {
		return p.Decisions
	}
	o := p.Observed
	if before == nil || o.GetClaim() != nil || o.GetStale() || o.GetVersion() == 0 ||
		o.GetVersion() != p.desiredVersion || before.GetVersion() != o.GetVersion() {
		return nil
	}
	earlier := &Product{Desired: p.Desired, Observed: before, open: p.open}
	l.resolve(earlier)
	return slices.DeleteFunc(slices.Clone(p.Decisions), func(d catalog.Decision) bool {
		// A new price of others may become the default in the next moment, so it has a grace period.
		return isExtraPrice(p, d.Difference) ||
			slices.ContainsFunc(earlier.Decisions,
				func(e catalog.Decision) bool { return e.Difference == d.Difference })
	})
}
