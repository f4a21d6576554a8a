package plan

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// Results are the results of a plan's calls, which end with the first that fails.
type Results struct {
	Done   []Done
	Failed *Failed
}

// Done is a call that succeeded, and its answer.
type Done struct {
	catalog.Step
	Key string
	*stripeapi.Applied
}

// Failed is the call that ended a plan early.
type Failed struct {
	catalog.Step
	*stripeapi.Failure
	// NotSent reports whether the call was not made.
	NotSent bool
	// Index is the call's position in the plan.
	Index int
}

// wereSent reports whether Stripe may have got one of the calls.
func (r Results) wereSent() bool {
	return len(r.Done) > 0 || r.Failed != nil && !r.Failed.NotSent
}

// mayHaveChanged reports whether Stripe may have executed one of the calls.
func (r Results) mayHaveChanged() bool {
	f := r.Failed
	return len(r.Done) > 0 || f != nil && !f.NotSent && !f.NotExecuted && !f.OutcomeKnown
}

// Recorded is what Record did.
type Recorded int

const (
	// Released means that the results are recorded and the claim is released.
	Released Recorded = iota
	// LostUnsent means that another process has claimed the product and no call was sent. The state is as it was.
	LostUnsent
	// Lost means that another process has claimed the product and has not seen the calls. The state says that it must
	// be reread.
	Lost
)

// Record records the results of a plan's calls in the state that is stored now, in place, and releases the claim. The
// intents of calls whose outcome is unknown stay.
func (p *Planner) Record(o *catalogv1.Observed, req Request, pl *Plan, r Results) Recorded {
	if o.GetClaim().GetHolder() != p.Holder {
		if !r.wereSent() {
			return LostUnsent
		}
		o.Stale = true
		return Lost
	}
	// The end of a hold was published before the calls.
	o.Claim, o.Released = nil, nil
	if !sameSightings(o, pl.Base) {
		// Another party changed the product in Stripe meanwhile. The order of the two changes is unknown.
		o.Stale = true
	}
	for _, d := range r.Done {
		recordAnswer(o, d)
	}
	if !req.LaterRound && !o.GetStale() && len(p.repeated(req, o, r)) > 0 {
		// Stripe ignored an accepted value, or another party changed it. The next round rereads the product.
		o.Stale = true
	}
	switch {
	case r.Failed != nil:
		recordFailure(o, pl, r.Failed)
		if !r.mayHaveChanged() {
			o.AdmittedVersion = pl.Base.GetAdmittedVersion()
		}
	case !o.GetStale():
		p.recordVersion(req, o)
		if !req.IsComplete() {
			// What was refused is judged when it is tried again.
			o.AdmittedVersion = 0
		}
	}
	return Released
}

func recordAnswer(o *catalogv1.Observed, d Done) {
	o.Generation++
	// A replayed answer has the past state, not the current one. An answer without the price that was created with the
	// product is incomplete.
	o.Stale = o.GetStale() || d.Replayed || d.PriceID != "" && d.Price == nil
	markSettled(o, d.Key, !o.GetStale())
	if !o.GetStale() {
		observeAnswer(o, d)
	}
	markManaged(o, d)
}

func recordFailure(o *catalogv1.Observed, pl *Plan, f *Failed) {
	for i, c := range pl.Calls[f.Index:] {
		// A call that was not sent needs no intent. A call that may have been executed keeps its intent, also if an
		// earlier attempt with the same key made it.
		if (i > 0 || f.NotSent || f.NotExecuted) && unsettledIntent(pl.Base, c.Key) == nil {
			dropIntent(o, c.Key)
		}
	}
	if f.OutcomeKnown {
		o.Generation++
		markSettled(o, pl.Calls[f.Index].Key, false)
	}
	o.Stale = o.GetStale() || f.Action == stripeapi.RereadFirst
}

func observeAnswer(o *catalogv1.Observed, d Done) {
	if d.Product != nil {
		s := *d.Product
		s.Fetched = true
		catalog.ObserveProduct(o, s)
	}
	if d.Price != nil {
		s := *d.Price
		s.Fetched = true
		catalog.ObservePrice(o, s)
		if d.Kind == catalog.UpdatePrice || d.Kind == catalog.CreatePrice {
			clearMovedKey(o, d)
		}
	}
}

// clearMovedKey clears a lookup key that moved to the step's price from the product's other prices.
func clearMovedKey(o *catalogv1.Observed, d Done) {
	key, ok := d.Param(lookupKey)
	if !ok || key == "" {
		return
	}
	for _, other := range o.GetPrices() {
		if other.GetStripeId() != d.ObjectID && other.GetPrice().GetLookupKey() == key {
			other.Price.LookupKey = ""
		}
	}
}

// markManaged records the metadata keys that Driftless now manages on the step's object.
func markManaged(o *catalogv1.Observed, d Done) {
	switch d.Kind {
	case catalog.CreateProduct, catalog.UpdateProduct:
		o.ManagedMetadata = d.ManagedMetadata
		if d.Price != nil {
			markPriceManaged(o, d.Price.StripeID, d.PriceMetadata)
		}
	case catalog.CreatePrice, catalog.UpdatePrice:
		markPriceManaged(o, d.ObjectID, d.ManagedMetadata)
	}
}

func markPriceManaged(o *catalogv1.Observed, stripeID string, keys []string) {
	if price := catalog.FindPrice(o, stripeID); price != nil {
		price.ManagedMetadata = keys
	}
}

// sameSightings reports whether both states have the same product and prices. It leaves out prices of others because no
// step depends on them. A shop that makes a price for each sale would be reread again and again.
func sameSightings(a, b *catalogv1.Observed) bool {
	marked := func(o *catalogv1.Observed) []*catalogv1.ObservedPrice {
		return slices.DeleteFunc(slices.Clone(o.GetPrices()), func(p *catalogv1.ObservedPrice) bool {
			return !catalog.IsMarked(p)
		})
	}
	return proto.Equal(a.GetProduct(), b.GetProduct()) && a.GetDeleted() == b.GetDeleted() &&
		slices.EqualFunc(marked(a), marked(b), func(x, y *catalogv1.ObservedPrice) bool {
			return x.GetStripeId() == y.GetStripeId() && proto.Equal(x.GetPrice(), y.GetPrice())
		})
}

func markSettled(o *catalogv1.Observed, key string, answered bool) {
	if intent := catalog.FindIntent(o, key); intent != nil {
		intent.Settled, intent.Answered = true, answered
	}
}

func dropIntent(o *catalogv1.Observed, key string) {
	o.Intents = slices.DeleteFunc(o.Intents, func(i *catalogv1.Intent) bool { return i.GetIdempotencyKey() == key })
}

// Renew extends the claim of a plan, in place. It stamps the intents of the calls from an index on with the current
// time, because they are about to be made. It returns false, and changes nothing, if another process has the claim.
func (p *Planner) Renew(o *catalogv1.Observed, pl *Plan, from int, now time.Time) bool {
	if o.GetClaim().GetHolder() != p.Holder {
		return false
	}
	o.Claim.Until = timestamppb.New(now.Add(ClaimTimeout))
	for _, c := range pl.Calls[from:] {
		if intent := catalog.FindIntent(o, c.Key); intent != nil {
			intent.At = timestamppb.New(now)
		}
	}
	return true
}

// Read is a product as Stripe holds it.
type Read struct {
	Product catalog.ProductSighting
	Prices  []catalog.PriceSighting
	// All reports whether Prices are all prices of the product. Otherwise they are the active ones and those that were
	// asked for.
	All bool
}

// RecordReread returns the observed state after a reread at a time. Calls of unknown outcome are settled once they can
// no longer take effect.
func RecordReread(observed *catalogv1.Observed, read Read, now time.Time) *catalogv1.Observed {
	o := proto.CloneOf(observed)
	if read.All {
		catalog.ObserveAll(o, read.Product, read.Prices)
	} else {
		catalog.ObserveActive(o, read.Product, read.Prices)
	}
	o.Stale, o.Claim = false, nil
	o.Generation++
	for _, intent := range o.GetIntents() {
		// A later call may still be running in Stripe. A repetition must have the same key.
		if now.Sub(intent.GetAt().AsTime()) > MaxCallAge {
			intent.Settled = true
		}
	}
	return o
}
