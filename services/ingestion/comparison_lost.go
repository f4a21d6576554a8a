package ingestion

import (
	"context"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// observedPageSize is how many observed states are read at once. A state may have 512 KiB.
const observedPageSize = 128

// sweepLost publishes the removal of products that CATALOG has lost, and that the queries no longer return. OBSERVED
// still knows that Driftless has written them to Stripe. Nobody else would remove them there.
func (c *comparison) sweepLost(ctx context.Context) error {
	return c.in.stores.Observed().EachToken(ctx, c.in.account, func(tokens []string) error {
		var unseen []string
		for _, token := range tokens {
			if _, ok := slices.BinarySearch(c.seen, hashToken(token)); !ok {
				unseen = append(unseen, token)
			}
		}
		for page := range slices.Chunk(unseen, comparePageSize) {
			if err := c.sweepLostPage(ctx, page); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *comparison) sweepLostPage(ctx context.Context, tokens []string) error {
	latest, err := c.in.stores.Desired().StatesByToken(ctx, c.in.account, tokens)
	if err != nil {
		return err
	}
	var unknown []string
	for i, l := range latest {
		if l.Change == nil {
			unknown = append(unknown, tokens[i])
		}
	}
	managed, err := c.in.managed(ctx, unknown)
	if err != nil {
		return err
	}
	var ids []string
	for _, o := range managed {
		// Nothing is left to remove of a product that Stripe does not have.
		if o.GetProduct() != nil {
			ids = append(ids, o.GetProductId())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return c.removeGone(ctx, ids)
}

// managed returns the observed states of those of the products, given as tokens, that Driftless manages. Stripe may not
// have them any more. It skips states that cannot be decoded.
func (in *ingester) managed(ctx context.Context, tokens []string) (managed []*catalogv1.Observed, err error) {
	for page := range slices.Chunk(tokens, observedPageSize) {
		entries, err := in.stores.Observed().ByToken(ctx, in.account, page)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Undecodable != nil {
				in.logger.ErrorContext(ctx, "could not decide whether Driftless manages a product; skipped it",
					"product", e.Observed.GetProductId(), "error", e.Undecodable)
				continue
			}
			if catalog.IsManaged(e.Observed) {
				managed = append(managed, e.Observed)
			}
		}
	}
	return managed, nil
}

// withoutUnknownRemovals leaves out the removals of products that CATALOG has no state of, unless Driftless manages
// them. CATALOG has lost these. Push waits for the removal even if Stripe does not have the product any more.
func (c *comparison) withoutUnknownRemovals(ctx context.Context, differs []catalogDifference) (
	[]catalogDifference, error,
) {
	var unknown []string
	for _, d := range differs {
		if d.isUnknownRemoval() {
			unknown = append(unknown, topology.Token(d.id))
		}
	}
	if len(unknown) == 0 {
		return differs, nil
	}
	managed, err := c.in.managed(ctx, unknown)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(differs, func(d catalogDifference) bool {
		return d.isUnknownRemoval() && !slices.ContainsFunc(managed, func(o *catalogv1.Observed) bool {
			return o.GetProductId() == d.id
		})
	}), nil
}

// isUnknownRemoval reports whether the difference removes a product that CATALOG has no state of, other than to close a
// letter.
func (d catalogDifference) isUnknownRemoval() bool {
	change, _ := d.out.Body.(*catalogv1.ProductChange)
	return !d.inCatalog && !d.hasLetter && change.GetOperation() == catalogv1.Operation_OPERATION_DELETE
}
