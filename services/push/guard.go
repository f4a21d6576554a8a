package push

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// GuardConfig limits how many products may be archived within an hour without an operator's approval.
type GuardConfig struct {
	// Share is the part of the products active in Stripe that may be archived, between 0 and 1. 0 switches the guard
	// off.
	Share float64
	// Minimum is how many products may be archived whatever the share.
	Minimum uint64
}

// countInterval is how long a count of the active products is reused. A count reads all observed states.
const countInterval = 10 * time.Minute

// activeCount caches the number of products that the guard's share refers to.
type activeCount struct {
	mu sync.Mutex
	n  uint64
	at time.Time
}

// count returns the number of products that were active in Stripe when the guard's hour began. These are the products
// that the guard has admitted since, and all others that are active. An admitted product stays active in OBSERVED until
// its call is recorded, and it counts once.
func (c *activeCount) count(ctx context.Context, store *state.ObservedStore, account string,
	guard *meshv1.Guard,
) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && time.Since(c.at) < countInterval {
		return c.n, nil
	}
	latest, err := store.Revision(ctx)
	if err != nil {
		return 0, fmt.Errorf("count the active products: %w", err)
	}
	admitted := make(map[string]bool, len(guard.GetRecent()))
	for _, product := range guard.GetRecent() {
		admitted[product] = true
	}
	n := guard.GetArchived()
	for entry, err := range store.Range(ctx, account, 1, latest) {
		if err != nil {
			return 0, fmt.Errorf("count the active products: %w", err)
		}
		if o := entry.Observed; o.GetProduct().GetActive() && !o.GetDeleted() && !admitted[o.GetProductId()] {
			n++
		}
	}
	c.n, c.at = n, time.Now()
	return n, nil
}

// admitArchived admits a product to be archived, or returns a heldError if the catalog has lost more products within an
// hour than is allowed without approval.
func (p *pusher) admitArchived(ctx context.Context, product string, now time.Time) error {
	limit := plan.ArchiveLimit(p.guardConfig)
	if limit.Share <= 0 {
		return nil
	}
	for {
		record := &meshv1.Guard{}
		revision, err := p.stores.Guard(p.account).GetAt(ctx, record)
		if err != nil {
			return err
		}
		before, products := proto.CloneOf(record), record.GetProducts()
		if limit.NeedsCount(record) {
			if products, err = p.active.count(ctx, p.stores.Observed(), p.account, record); err != nil {
				return err
			}
		}
		why, ok := limit.Admit(record, product, products, now)
		if !proto.Equal(before, record) {
			_, err = p.stores.Guard(p.account).CompareAndPut(ctx, record, revision)
		}
		switch {
		case errors.Is(err, state.ErrConflict):
		case err != nil:
			return err
		case ok:
			return nil
		default:
			if len(before.GetHeld()) == 0 {
				p.logger.ErrorContext(
					ctx, "the guard holds products that left the catalog: they are not archived in Stripe until `driftless approve`",
					"archived", record.GetArchived(), "of", record.GetProducts(), "allowed", record.GetAllowed())
			}
			return &heldError{why, guardRetryDelay}
		}
	}
}

// unpark removes a product that is no longer to be archived from the guard's list.
func (p *pusher) unpark(ctx context.Context, product string) error {
	for {
		record := &meshv1.Guard{}
		revision, err := p.stores.Guard(p.account).GetAt(ctx, record)
		if err != nil || !plan.ReleaseHeld(record, product) {
			return err
		}
		if _, err = p.stores.Guard(p.account).CompareAndPut(ctx, record, revision); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}
