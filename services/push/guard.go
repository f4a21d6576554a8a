package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// GuardConfig limits how many products may be archived within an hour without an operator's approval.
type GuardConfig struct {
	// Share is the part of the products active in Stripe that may be archived, between 0 and 1. 0 switches the guard
	// off.
	Share float64
	// Minimum is how many products may be archived whatever the share.
	Minimum uint64
}

const (
	// guardWindow is the time in which archived products are counted.
	guardWindow = time.Hour
	// maxRecent and maxHeld bound the size of the record.
	maxRecent = 1000
	maxHeld   = 1000
	// guardRetryDelay is how long a held product waits for its next retry, unless an approval comes first.
	guardRetryDelay = 10 * time.Minute
)

// heldError means that a product is not archived until an operator approves it.
type heldError struct{ archived, products uint64 }

func (e *heldError) Error() string {
	return fmt.Sprintf(
		"%d of %d products were archived within an hour: the product is held until `driftless approve`, or until the catalog wants it again",
		e.archived, e.products)
}

// park schedules a retry for a held product and acknowledges its message. A command may come first.
func (p *pusher) park(ctx context.Context, req passRequest, held error, delay time.Duration) mesh.Verdict {
	retry := &meshv1.Retry{
		Account: p.account, ProductId: req.change.GetProductId(), Version: req.change.GetVersion(),
		Lane: string(topology.Bulk), Error: held.Error(), Look: req.reread,
		Overwrite: req.exceptions.Overwrite, Leave: req.exceptions.Leave,
	}
	if err := p.mesh.RetryLater(ctx, topology.Push, retry, delay); err != nil {
		return mesh.RetryIn(delay, err)
	}
	return mesh.Ack()
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

// archivesProduct reports whether the steps archive an active product.
func archivesProduct(steps []plannedStep, observed *catalogv1.Observed) bool {
	return observed.GetProduct().GetActive() && slices.ContainsFunc(steps, func(s plannedStep) bool {
		active, ok := s.Param("active")
		return s.Kind == catalog.UpdateProduct && ok && active == "false"
	})
}

// guard admits a product to be archived, or returns a heldError if the catalog has lost more products within an hour
// than is allowed without approval.
func (p *pusher) guard(ctx context.Context, product string, now time.Time) error {
	if p.guardConfig.Share <= 0 {
		return nil
	}
	for {
		record := &meshv1.Guard{}
		revision, err := p.stores.Guard(p.account).GetAt(ctx, record)
		if err != nil {
			return err
		}
		before := proto.CloneOf(record)
		products := record.GetProducts()
		if record.GetArchived() >= p.guardConfig.Minimum {
			// Below the minimum the share does not matter.
			if products, err = p.active.count(ctx, p.stores.Observed(), p.account, record); err != nil {
				return err
			}
		}
		verdict := admitArchive(record, p.guardConfig, product, products, now)
		if proto.Equal(before, record) {
			return verdict
		}
		_, err = p.stores.Guard(p.account).CompareAndPut(ctx, record, revision)
		switch {
		case errors.Is(err, state.ErrConflict):
		case err != nil:
			return err
		default:
			if verdict != nil && len(before.GetHeld()) == 0 {
				p.logger.ErrorContext(
					ctx, "the guard holds products that left the catalog: they are not archived in Stripe until `driftless approve`",
					"archived", record.GetArchived(), "of", record.GetProducts(), "allowed", record.GetAllowed())
			}
			return verdict
		}
	}
}

// admitArchive counts a product that is to be archived, or adds it to the held ones and returns a heldError.
func admitArchive(g *meshv1.Guard, c GuardConfig, product string, products uint64, now time.Time) error {
	if g.GetSince() == nil || now.Sub(g.GetSince().AsTime()) > guardWindow && len(g.GetHeld()) == 0 {
		g.Since, g.Archived, g.Recent = timestamppb.New(now), 0, nil
	}
	g.Products, g.Allowed = products, max(c.Minimum, uint64(c.Share*float64(products)))
	approved := g.GetApprovedUntil() != nil && now.Before(g.GetApprovedUntil().AsTime())
	if slices.Contains(g.GetRecent(), product) {
		return nil
	}
	if !approved && g.GetArchived() >= g.GetAllowed() {
		if len(g.GetHeld()) == 0 {
			g.HeldSince = timestamppb.New(now)
		}
		if !slices.Contains(g.GetHeld(), product) && len(g.GetHeld()) < maxHeld {
			g.Held = append(g.Held, product)
		}
		return &heldError{g.GetArchived(), products}
	}
	g.Archived++
	g.Recent = append(g.Recent, product)
	if over := len(g.GetRecent()) - maxRecent; over > 0 {
		g.Recent = g.GetRecent()[over:]
	}
	g.Held = slices.DeleteFunc(g.Held, func(id string) bool { return id == product })
	return nil
}

// unpark removes a product that is no longer to be archived from the guard's list.
func (p *pusher) unpark(ctx context.Context, product string) error {
	for {
		record := &meshv1.Guard{}
		revision, err := p.stores.Guard(p.account).GetAt(ctx, record)
		if err != nil || !slices.Contains(record.GetHeld(), product) {
			return err
		}
		record.Held = slices.DeleteFunc(record.Held, func(id string) bool { return id == product })
		if _, err = p.stores.Guard(p.account).CompareAndPut(ctx, record, revision); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}
