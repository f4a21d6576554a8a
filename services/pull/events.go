package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// eventUpdate is an event that push did not cause.
type eventUpdate struct {
	stripeapi.Event
	// apply applies the event. old reports whether a scan has begun since the event.
	apply func(o *catalogv1.Observed, old bool) catalog.Result
	// marked reports whether the event shows a price with Driftless's mark.
	marked bool
	// copied reports whether that mark was copied from another price.
	copied bool
}

// applyEvents applies events to the observed state of one product, in one write. Events that cannot be ordered, or are
// incomplete, are resolved by reading the product.
func (p *puller) applyEvents(ctx context.Context, ref productRef, now time.Time, all []eventUpdate) error {
	// Apply in order: a later event may make the read for an earlier one unnecessary.
	slices.SortStableFunc(all, func(a, b eventUpdate) int { return cmp.Compare(a.Created, b.Created) })
	var unordered []eventUpdate
	var results []string
	err := ref.update(ctx, func(o *catalogv1.Observed) error {
		unordered, results = nil, nil
		touched := false
		// It is read as late as possible: a scan that begins after the write corrects it.
		scanned, err := p.scannedSince(ctx, now, all)
		if err != nil {
			return err
		}
		for _, n := range all {
			if catalog.SeenEvent(o, n.ID) {
				continue
			}
			effect := n.apply(o, n.Created <= scanned)
			if effect == catalog.Unordered {
				unordered = append(unordered, n)
				continue
			}
			result := map[catalog.Result]string{catalog.Applied: "applied", catalog.Unchanged: "unchanged"}[effect]
			results = append(results, result)
			if effect == catalog.Unchanged && n.ObjectID != ref.stripeID && catalog.FindPrice(o, n.ObjectID) == nil {
				// Nothing is kept of this price. Its events cost no write either, however often they come.
				continue
			}
			catalog.RememberEvent(o, n.ID)
			touched = true
		}
		if !touched {
			return state.ErrNoChange
		}
		return nil
	})
	for _, result := range results {
		countObserved(ctx, result)
	}
	if err != nil || len(unordered) == 0 {
		return err
	}
	for range unordered {
		countObserved(ctx, "fetched")
	}
	return p.rereadForEvents(budget.For(ctx, budget.Events), ref, unordered)
}

// minOldAge is the age from which the events that followed an event may be lost, less a margin for clocks. Then only a
// scan knows what they said. Polls read all events of the last startAge, so they put younger ones in order.
const minOldAge = startAge - time.Minute

// scannedSince returns the second in which the latest scan began, also if it has not ended. It returns 0 if all events,
// which are in the order of their times, are young.
func (p *puller) scannedSince(ctx context.Context, now time.Time, all []eventUpdate) (int64, error) {
	if now.Sub(time.Unix(all[0].Created, 0)) < minOldAge {
		return 0, nil
	}
	scan := &meshv1.ScanReport{}
	_, err := p.stores.Record(topology.KeyScan, p.account).Get(ctx, scan)
	return scan.GetStartedAt().GetSeconds(), err
}

// decodeUpdate returns an event and how to apply its payload to an observed state.
func decodeUpdate(event stripeapi.Event) (eventUpdate, error) {
	n := eventUpdate{
		Event: event, apply: func(*catalogv1.Observed, bool) catalog.Result { return catalog.Unordered },
	}
	if event.Thin {
		return n, nil
	}
	object, verb, _ := strings.Cut(event.Type, ".")
	switch object {
	case "product":
		s, err := stripeapi.DecodeProduct(event.Object, event.Created)
		if err != nil {
			return n, err
		}
		if verb == "deleted" {
			// The payload is the last state. It does not say that the object is gone.
			s = catalog.ProductSighting{Seen: event.Created}
		}
		n.apply = func(o *catalogv1.Observed, old bool) catalog.Result {
			sighting := s
			sighting.Old = old
			return catalog.ObserveProduct(o, sighting)
		}
	case "price":
		s, _, err := stripeapi.DecodePrice(event.Object, event.Created)
		if err != nil {
			return n, err
		}
		mark := s.Price.GetId()
		n.marked = mark != ""
		// Driftless creates a price with an idempotency key of its own, and sets the lookup key.
		ourKey := event.KeyOmitted || strings.HasPrefix(event.IdempotencyKey, catalog.KeyPrefix)
		n.copied = n.marked && verb == "created" && !ourKey && s.Price.GetLookupKey() != mark
		s.Partial, s.Copied = true, n.copied
		if verb == "deleted" {
			s.Price = nil
		}
		// An update without changed attributes changed something that events do not show.
		s.Untold = s.Price != nil && verb == "updated" && (len(event.Changed) == 0 ||
			slices.ContainsFunc(event.Changed,
				func(name string) bool { return !catalog.EventShowsPriceField(name) }))
		n.apply = func(o *catalogv1.Observed, old bool) catalog.Result {
			sighting := s
			sighting.Old = old
			return catalog.ObservePrice(o, sighting)
		}
	default:
		return n, fmt.Errorf("event %s of type %s is about neither a product nor a price", event.ID, event.Type)
	}
	return n, nil
}

const (
	// maxSingleReads is the maximum number of objects that are read one by one. A product and its active prices are two
	// calls.
	maxSingleReads = 2
	// maxSinglePrices is the maximum number of unlisted prices that are read one by one. Above it the archived prices
	// are listed.
	maxSinglePrices = 20
	// maxReadAttempts is how often a read is made when concurrent writes to the observed state win.
	maxReadAttempts = 5
)

// rereadForEvents reads the objects of events and stores them by compare-and-set, so that no concurrent change is
// overwritten. Many events of one product cost at most one read of the product and its prices.
func (p *puller) rereadForEvents(ctx context.Context, ref productRef, unordered []eventUpdate) error {
	copied := map[string]bool{}
	var objects, marked []string
	for _, n := range unordered {
		objects = append(objects, n.ObjectID)
		copied[n.ObjectID] = copied[n.ObjectID] || n.copied
		if n.marked || n.Thin {
			marked = append(marked, n.ObjectID)
		}
	}
	slices.Sort(objects)
	objects = slices.Compact(objects)
	skipped, err := p.skipsRead(ctx, ref)
	if err != nil {
		return err
	}
	if skipped {
		return ref.update(ctx, func(o *catalogv1.Observed) error {
			// The events are never seen again, so push must read the product before its first plan.
			o.Whole, o.Stale = false, true
			remember(o, unordered)
			return nil
		})
	}
	if len(objects) > maxSingleReads {
		return p.refreshWithPrices(ctx, ref, marked, copied, func(o *catalogv1.Observed) { remember(o, unordered) })
	}
	for i, object := range objects {
		also := func(*catalogv1.Observed) {}
		if i == len(objects)-1 {
			also = func(o *catalogv1.Observed) { remember(o, unordered) }
		}
		if _, err := p.refresh(ctx, ref, object, copied[object], also); err != nil {
			return err
		}
	}
	return nil
}

func remember(o *catalogv1.Observed, all []eventUpdate) {
	for _, n := range all {
		catalog.RememberEvent(o, n.ID)
	}
}

// skipsRead reports whether the read of a product is skipped. That is so if the read allowance is nearly used up and
// the product is not in the catalog. The next scan updates such a product. An import and push read it first.
func (p *puller) skipsRead(ctx context.Context, ref productRef) (bool, error) {
	low, err := p.lowOnReads(ctx)
	if err != nil || !low {
		return false, err
	}
	o, _, err := ref.get(ctx)
	if err != nil || catalog.IsManaged(o) || o.GetClaim() != nil || len(o.GetIntents()) > 0 {
		return false, err
	}
	p.logger.WarnContext(
		ctx, "Stripe's read allowance is nearly used up; skipped the read of a product that is not in the catalog",
		"product", ref.stripeID)
	return true, nil
}

// lowOnReads reports whether nine tenths of the read allowance are used up. The rest is for reads that cannot wait.
func (p *puller) lowOnReads(ctx context.Context) (bool, error) {
	made, allowed, err := p.budget.Reads(ctx)
	return allowed > 0 && made >= budget.ScansStopAt(allowed), err
}

// refresh reads a product, or one of its prices, into the observed state. object is Stripe's id. It reports whether
// Stripe holds the object.
func (p *puller) refresh(
	ctx context.Context, ref productRef, object string, copied bool, also func(*catalogv1.Observed),
) (holds bool, err error) {
	for range maxReadAttempts {
		_, revision, getErr := ref.get(ctx)
		if getErr != nil {
			return false, getErr
		}
		var apply func(*catalogv1.Observed)
		if object == ref.stripeID {
			s, err := p.stripe.GetProduct(ctx, ref.stripeID)
			if err != nil {
				return false, stripeapi.Classify(err)
			}
			holds = s.Product != nil
			apply = func(o *catalogv1.Observed) { catalog.ObserveProduct(o, s) }
		} else {
			s, err := p.stripe.GetPrice(ctx, object)
			if err != nil {
				return false, stripeapi.Classify(err)
			}
			holds = s.Price != nil
			s.Copied = copied && holds
			apply = func(o *catalogv1.Observed) { catalog.ObservePrice(o, s) }
		}
		err = ref.updateAt(ctx, revision, func(o *catalogv1.Observed) error {
			apply(o)
			also(o)
			return nil
		})
		if !errors.Is(err, state.ErrConflict) {
			return holds, err
		}
	}
	return holds, err
}

// refreshWithPrices reads a product and its active prices into the observed state. It also reads the marked prices that
// Stripe does not list as active.
func (p *puller) refreshWithPrices(
	ctx context.Context, ref productRef, marked []string, copied map[string]bool, also func(*catalogv1.Observed),
) error {
	var err error
	for range maxReadAttempts {
		before, revision, getErr := ref.get(ctx)
		if getErr != nil {
			return getErr
		}
		product, prices, archived, readErr := p.readWithPrices(ctx, ref, before, marked)
		if readErr != nil {
			return stripeapi.Classify(readErr)
		}
		for i := range prices {
			prices[i].Copied = copied[prices[i].StripeID] && prices[i].Price != nil
		}
		err = ref.updateAt(ctx, revision, func(o *catalogv1.Observed) error {
			if archived {
				catalog.ObserveAll(o, product, prices)
			} else {
				catalog.ObserveActive(o, product, prices)
			}
			also(o)
			return nil
		})
		if !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
	return err
}

// readWithPrices reads a product, its active prices, and the other prices that matter. archived reports whether it read
// all archived prices.
func (p *puller) readWithPrices(ctx context.Context, ref productRef, before *catalogv1.Observed, marked []string) (
	product catalog.ProductSighting, prices []catalog.PriceSighting, archived bool, err error,
) {
	if product, prices, err = p.stripe.GetProductWithActivePrices(ctx, ref.stripeID); err != nil ||
		product.Product == nil {
		return product, nil, false, err
	}
	unlisted := catalog.Unlisted(before, prices)
	for _, id := range marked {
		listed := slices.ContainsFunc(prices, func(s catalog.PriceSighting) bool { return s.StripeID == id })
		if id != ref.stripeID && !listed && !slices.Contains(unlisted, id) {
			unlisted = append(unlisted, id)
		}
	}
	if len(unlisted) > maxSinglePrices {
		return p.stripe.GetProductWithSomePrices(ctx, ref.stripeID, unlisted)
	}
	for _, id := range unlisted {
		s, err := p.stripe.GetPrice(ctx, id)
		if err != nil {
			return product, nil, false, err
		}
		prices = append(prices, s)
	}
	return product, prices, false, nil
}
