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
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// GuardConfig says how many products may be archived in an hour before an operator is asked.
type GuardConfig struct {
	// Share of the products that are active in Stripe, between 0 and 1; 0 switches the guard off.
	Share float64
	// Minimum is how many may be archived in any case.
	Minimum uint64
}

const (
	// guardWindow is what is counted in.
	guardWindow = time.Hour
	// keptRecent and keptHeld bound the record.
	keptRecent = 1000
	keptHeld   = 1000
	// guardDelay is how long a product that is held waits to be tried again, unless an approval comes first.
	guardDelay = 10 * time.Minute
)

// heldError is a product that is not archived until an operator approves it.
type heldError struct{ archived, products uint64 }

func (e *heldError) Error() string {
	return fmt.Sprintf(
		"%d of %d products were archived within an hour, and more are to be: held until `driftless approve`, or until the catalog wants the product again",
		e.archived, e.products)
}

// heldBack has a product that is held tried again later, unless an approval comes first.
func (p *pusher) heldBack(ctx context.Context, o order, held error, delay time.Duration) mesh.Verdict {
	retry := &meshv1.Retry{
		Account: p.account, ProductId: o.change.GetProductId(), Version: o.change.GetVersion(),
		Lane: string(topology.Bulk), Error: held.Error(), Look: o.look,
		Overwrite: o.exceptions.Overwrite, Leave: o.exceptions.Leave,
	}
	if err := p.mesh.RetryLater(ctx, topology.Push, retry, delay); err != nil {
		return mesh.RetryIn(delay, err)
	}
	return mesh.Ack()
}

// countEvery is how often the active products are counted while the guard needs to know: all states are read for it.
const countEvery = 10 * time.Minute

// total is of how many products a share may be archived, counted once in a while.
type total struct {
	mu sync.Mutex
	n  uint64
	at time.Time
}

// count the products that are active in Stripe, and those that the guard has let be archived since its hour began.
func (c *total) count(ctx context.Context, store *mesh.ObservedStore, account string, archived uint64) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && time.Since(c.at) < countEvery {
		return c.n, nil
	}
	newest, err := store.Revision(ctx)
	if err != nil {
		return 0, fmt.Errorf("count the active products: %w", err)
	}
	n := archived
	for entry, err := range store.Range(ctx, account, 1, newest) {
		if err != nil {
			return 0, fmt.Errorf("count the active products: %w", err)
		}
		if o := entry.Observed; o.GetProduct().GetActive() && !o.GetDeleted() {
			n++
		}
	}
	c.n, c.at = n, time.Now()
	return n, nil
}

// archives says whether the steps archive a product that is active.
func archives(steps []plannedStep, observed *catalogv1.Observed) bool {
	return observed.GetProduct().GetActive() && slices.ContainsFunc(steps, func(s plannedStep) bool {
		active, ok := s.Param("active")
		return s.Kind == catalog.UpdateProduct && ok && active == "false"
	})
}

// guard lets a product be archived, or returns a heldError if that would be more than the catalog may lose in an hour
// without anybody having a look.
func (p *pusher) guard(ctx context.Context, product string, now time.Time) error {
	if p.guarded.Share <= 0 {
		return nil
	}
	for {
		record := &meshv1.Guard{}
		revision, err := p.mesh.Guard(p.account).GetAt(ctx, record)
		if err != nil {
			return err
		}
		before := proto.CloneOf(record)
		products := record.GetProducts()
		if record.GetArchived() >= p.guarded.Minimum {
			// Up to there, the share does not matter.
			if products, err = p.total.count(ctx, p.mesh.Observed(), p.account, record.GetArchived()); err != nil {
				return err
			}
		}
		verdict := admit(record, p.guarded, product, products, now)
		if proto.Equal(before, record) {
			return verdict
		}
		_, err = p.mesh.Guard(p.account).CompareAndPut(ctx, record, revision)
		switch {
		case errors.Is(err, mesh.ErrConflict):
		case err != nil:
			return err
		default:
			if verdict != nil && len(before.GetHeld()) == 0 {
				p.logger.ErrorContext(
					ctx, "the catalog loses many products: they are not archived in Stripe until `driftless approve`",
					"archived", record.GetArchived(), "of", record.GetProducts(), "allowed", record.GetAllowed())
			}
			return verdict
		}
	}
}

// admit counts a product that is to be archived, or holds it.
func admit(g *meshv1.Guard, c GuardConfig, product string, products uint64, now time.Time) error {
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
		if !slices.Contains(g.GetHeld(), product) && len(g.GetHeld()) < keptHeld {
			g.Held = append(g.Held, product)
		}
		return &heldError{g.GetArchived(), products}
	}
	g.Archived++
	g.Recent = append(g.Recent, product)
	if over := len(g.GetRecent()) - keptRecent; over > 0 {
		g.Recent = g.GetRecent()[over:]
	}
	g.Held = slices.DeleteFunc(g.Held, func(id string) bool { return id == product })
	return nil
}

// released takes a product that is no longer to be archived off the list of those that are held.
func (p *pusher) released(ctx context.Context, product string) error {
	for {
		record := &meshv1.Guard{}
		revision, err := p.mesh.Guard(p.account).GetAt(ctx, record)
		if err != nil || !slices.Contains(record.GetHeld(), product) {
			return err
		}
		record.Held = slices.DeleteFunc(record.Held, func(id string) bool { return id == product })
		if _, err = p.mesh.Guard(p.account).CompareAndPut(ctx, record, revision); !errors.Is(err, mesh.ErrConflict) {
			return err
		}
	}
}
