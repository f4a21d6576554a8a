package catalog

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Result is the effect of a sighting on the observed state.
type Result int

const (
	// Unchanged means that the sighting has nothing new.
	Unchanged Result = iota
	// Applied means that the sighting is newer than the recorded state and has replaced it.
	Applied
	// Unordered means that the sighting differs from the recorded state and may be older, since Stripe's clock shows
	// seconds and events come in any order. Nothing was changed. The object must be fetched.
	Unordered
)

// maxEvents and maxIntents limit the events and intents in an observed state. The limits exceed what a product sees
// in the hours in which an event may be delivered again.
const (
	maxEvents  = 64
	maxIntents = 64
)

// ProductSighting is one observation of a product in Stripe: from an answer, a list or an event.
type ProductSighting struct {
	// Product has no prices, and its default_price is Stripe's price id. It is nil if Stripe holds no such product.
	Product *catalogv1.Product
	// Updated is Stripe's `updated` of the product, in Unix seconds.
	Updated int64
	// Seen is the second of Stripe's clock of the observation: the answer's Date, or the event's created.
	Seen int64
	// Fetched means that the sighting answers a request made after the state was recorded. Such an answer is the
	// truth of that moment. It is false for events.
	Fetched bool
	// Old means that a scan has begun since the event. A scan does not record when it saw an equal state, so the
	// recorded state may be later than the event, whatever its time is.
	Old bool
}

// ObserveProduct records a sighting of the product, in place.
func ObserveProduct(o *catalogv1.Observed, s ProductSighting) Result {
	order := observeProduct(o, s)
	if order == Applied {
		o.Whole = false
		prune(o)
	}
	return order
}

func observeProduct(o *catalogv1.Observed, s ProductSighting) Result {
	p := Canonical(s.Product)
	if p != nil {
		p.Prices = nil
	}
	if p == nil && s.Fetched {
		// Prices known only from events disappeared with their product.
		o.Prices = nil
	}
	if o.GetProductSeen() > 0 && proto.Equal(o.GetProduct(), p) {
		o.ProductSeen = max(o.GetProductSeen(), s.Seen)
		o.ProductUpdated = max(o.GetProductUpdated(), s.Updated)
		return Unchanged
	}
	newer := s.Seen > o.GetProductSeen() && s.Updated > o.GetProductUpdated()
	if p == nil || o.GetProduct() == nil {
		newer = s.Seen > o.GetProductSeen()
	}
	if !s.Fetched && (s.Old || !newer) && o.GetProductSeen() > 0 {
		return Unordered
	}
	// A missing product was deleted if there was one before, or if an event reports it.
	o.Deleted = p == nil && (o.GetProduct() != nil || o.GetDeleted() || !s.Fetched)
	if p == nil {
		o.Prices, o.ManagedMetadata = nil, nil
	}
	// The clocks of Stripe's servers may differ by a second, so ProductSeen never goes back.
	o.Product, o.ProductUpdated, o.ProductSeen = p, s.Updated, max(o.GetProductSeen(), s.Seen)
	return Applied
}

// PriceSighting is one observation of a price in Stripe.
type PriceSighting struct {
	// Price is the price as Stripe holds it, with the catalog's id if its metadata has one. It is nil if Stripe no
	// longer holds the price.
	Price    *catalogv1.Price
	StripeID string
	Created  int64
	Seen     int64
	Fetched  bool
	// Old is that of ProductSighting. It has no effect on prices of others.
	Old bool
	// Partial means that the sighting, from an event, lacks tiers and currency options. Their recorded values are kept.
	Partial bool
	// Untold means that the event does not contain what has changed.
	Untold bool
	// Copied means that somebody else made the price, so the mark in its metadata is a copy of another price's mark.
	Copied bool
}

// ObservePrice records a sighting of one of the product's prices, in place. It drops prices that neither Driftless nor
// an import can need: see prune.
func ObservePrice(o *catalogv1.Observed, s PriceSighting) Result {
	known, whole, kept := FindPrice(o, s.StripeID) != nil, o.GetWhole(), len(o.GetPrices())
	order := observePrice(o, s)
	if order != Applied {
		return order
	}
	o.Whole = false
	if p := FindPrice(o, s.StripeID); p == nil || !p.GetPrice().GetActive() || !IsMarked(p) {
		prune(o)
	}
	if !known && len(o.GetPrices()) == kept && FindPrice(o, s.StripeID) == nil {
		o.Whole = whole
		return Unchanged
	}
	return Applied
}

func observePrice(o *catalogv1.Observed, s PriceSighting) Result {
	known := FindPrice(o, s.StripeID)
	if known == nil {
		return observeNewPrice(o, s)
	}
	if s.Price == nil {
		if !s.Fetched && s.Seen <= known.GetSeen() {
			return Unordered
		}
		o.Prices = slices.DeleteFunc(o.Prices, func(p *catalogv1.ObservedPrice) bool { return p == known })
		return Applied
	}
	mark := known.GetPrice().GetId()
	disowned := s.Copied && treatsMarksAsCopies(o) && known.GetCopiedMark() == "" && mark != "" &&
		mark == s.Price.GetId()
	if disowned {
		// Another sighting came before the event of the price's creation.
		markAsCopied(known)
	}
	p := CanonicalPrice(s.Price)
	marked := p.GetId() != "" && p.GetId() != known.GetCopiedMark()
	if !marked {
		p.Id = known.GetAdoptedAs()
	}
	if s.Partial {
		p.Tiers, p.CurrencyOptions = known.GetPrice().GetTiers(), known.GetPrice().GetCurrencyOptions()
	}
	others := !marked && isForeign(o, known)
	earlier := s.Old || s.Seen <= known.GetSeen()
	switch {
	case s.Untold && !others:
		return Unordered
	case proto.Equal(known.GetPrice(), p):
		known.Seen = max(known.GetSeen(), s.Seen)
		if disowned || s.Untold {
			return Applied
		}
		return Unchanged
	case !s.Fetched && disowned && earlier:
		return Applied
	case !s.Fetched && others && s.Seen < known.GetSeen():
		return Unchanged
	case !s.Fetched && !others && earlier:
		return Unordered
	}
	if marked {
		known.AdoptedAs, known.CopiedMark = "", ""
	} else if s.Price.GetId() == "" {
		known.CopiedMark = ""
	}
	known.Price, known.Seen, known.Changed = p, max(known.GetSeen(), s.Seen), s.Seen
	if !p.GetActive() {
		// An overlap ends with its price, also if somebody else archives it.
		known.KeepUntil, known.ReplacedAt = nil, nil
	}
	return Applied
}

func observeNewPrice(o *catalogv1.Observed, s PriceSighting) Result {
	if s.Price == nil {
		return Unchanged
	}
	found := &catalogv1.ObservedPrice{
		StripeId: s.StripeID, Price: CanonicalPrice(s.Price), Created: s.Created, Seen: s.Seen,
		ManagedMetadata: markKeys(s.Price), Changed: s.Seen,
	}
	if s.Copied && treatsMarksAsCopies(o) {
		markAsCopied(found)
	}
	switch {
	case isDroppable(o, found):
		return Unchanged
	case s.Fetched, isForeign(o, found):
		o.Prices = append(o.Prices, found)
		return Applied
	default:
		// The event may be old, and the price may have been deleted since.
		return Unordered
	}
}

// isForeign reports whether a price on a product of the catalog belongs to somebody else. No step of Diff depends on
// it, so events about it are recorded without a read. An import reads the product first.
func isForeign(o *catalogv1.Observed, p *catalogv1.ObservedPrice) bool {
	return o.GetVersion() > 0 && o.GetProduct() != nil && !IsMarked(p)
}

// FindPrice returns the recorded state of one of Stripe's prices, or nil if there is none.
func FindPrice(o *catalogv1.Observed, stripeID string) *catalogv1.ObservedPrice {
	for _, p := range o.GetPrices() {
		if p.GetStripeId() == stripeID {
			return p
		}
	}
	return nil
}

// treatsMarksAsCopies reports whether a mark on a price that somebody else made counts as a copy. It does if Driftless
// has not written the product, or if the product came from Stripe. On a product of the catalog such a price is an
// extra.
func treatsMarksAsCopies(o *catalogv1.Observed) bool {
	return o.GetFound() || o.GetVersion() == 0 && o.GetStripeId() == "" && len(o.GetIntents()) == 0
}

// markAsCopied records that the mark of a price is a copy of another price's mark.
func markAsCopied(p *catalogv1.ObservedPrice) {
	p.CopiedMark, p.Price.Id, p.ManagedMetadata = p.GetPrice().GetId(), "", nil
}

// markKeys returns the metadata keys that are Driftless's whether or not a record says so.
func markKeys(p *catalogv1.Price) []string {
	if _, ok := p.GetMetadata()[PriceMarker]; ok {
		return []string{PriceMarker}
	}
	return nil
}

// ObserveAll replaces the recorded state of the product and all its prices with the state just read from Stripe.
// Metadata keys that Driftless manages stay recorded. It reports whether anything differed.
func ObserveAll(o *catalogv1.Observed, product ProductSighting, prices []PriceSighting) (changed bool) {
	before := proto.CloneOf(o)
	product.Fetched = true
	observeProduct(o, product)
	if product.Product != nil {
		seen := stripeIDs(prices)
		o.Prices = slices.DeleteFunc(o.Prices, func(p *catalogv1.ObservedPrice) bool { return !seen[p.GetStripeId()] })
		observeFetched(o, prices)
	}
	return hasChanged(before, o)
}

// ObserveActive replaces the recorded state of the product and its active prices with the state just read from Stripe.
// prices are those that Stripe lists as active, and those of Unlisted. Other archived prices do not change.
func ObserveActive(o *catalogv1.Observed, product ProductSighting, prices []PriceSighting) {
	product.Fetched = true
	observeProduct(o, product)
	if product.Product == nil {
		return
	}
	// No list shows the prices that a checkout makes.
	seen := stripeIDs(prices)
	o.Prices = slices.DeleteFunc(o.Prices, func(p *catalogv1.ObservedPrice) bool {
		return p.GetPrice().GetActive() && !IsMarked(p) && !seen[p.GetStripeId()]
	})
	observeFetched(o, prices)
}

// MarkedIDs returns Stripe's ids of the recorded prices that are Driftless's.
func MarkedIDs(o *catalogv1.Observed) (ids []string) {
	for _, p := range o.GetPrices() {
		if IsMarked(p) {
			ids = append(ids, p.GetStripeId())
		}
	}
	return ids
}

// Unlisted returns Stripe's ids of Driftless's prices that are recorded as active and missing from a list of the active
// ones.
func Unlisted(o *catalogv1.Observed, active []PriceSighting) (ids []string) {
	seen := stripeIDs(active)
	for _, p := range o.GetPrices() {
		if p.GetPrice().GetActive() && IsMarked(p) && !seen[p.GetStripeId()] {
			ids = append(ids, p.GetStripeId())
		}
	}
	return ids
}

func stripeIDs(prices []PriceSighting) map[string]bool {
	ids := make(map[string]bool, len(prices))
	for _, s := range prices {
		ids[s.StripeID] = true
	}
	return ids
}

// observeFetched records prices that were read together with their product.
func observeFetched(o *catalogv1.Observed, prices []PriceSighting) {
	for _, s := range prices {
		s.Fetched = true
		observePrice(o, s)
	}
	o.Whole = true
	prune(o)
}

// hasChanged reports whether the recorded state of Stripe's objects has changed.
func hasChanged(before, after *catalogv1.Observed) bool {
	same := func(a, b *catalogv1.ObservedPrice) bool {
		return a.GetStripeId() == b.GetStripeId() && proto.Equal(a.GetPrice(), b.GetPrice())
	}
	byID := func(a, b *catalogv1.ObservedPrice) int { return strings.Compare(a.GetStripeId(), b.GetStripeId()) }
	was := slices.SortedFunc(slices.Values(before.GetPrices()), byID)
	is := slices.SortedFunc(slices.Values(after.GetPrices()), byID)
	return !proto.Equal(before.GetProduct(), after.GetProduct()) || before.GetDeleted() != after.GetDeleted() ||
		before.GetProductSeen() == 0 && after.GetProductSeen() > 0 || !slices.EqualFunc(was, is, same)
}

// SeenEvent reports whether a Stripe event has been recorded already.
func SeenEvent(o *catalogv1.Observed, id string) bool {
	return slices.Contains(o.GetRecentEvents(), id)
}

// RememberEvent records in place that a Stripe event is part of the observed state. The oldest events are dropped.
func RememberEvent(o *catalogv1.Observed, id string) {
	o.RecentEvents = append(o.RecentEvents, id)
	o.RecentEvents = o.RecentEvents[max(0, len(o.RecentEvents)-maxEvents):]
}

// RecordIntents records calls in place before they are made. An intent with the same key is replaced. Intents without a
// known outcome are never dropped.
func RecordIntents(o *catalogv1.Observed, intents ...*catalogv1.Intent) {
	for _, intent := range intents {
		o.Intents = slices.DeleteFunc(o.Intents,
			func(i *catalogv1.Intent) bool { return i.GetIdempotencyKey() == intent.GetIdempotencyKey() })
		o.Intents = append(o.Intents, intent)
	}
	excess := len(o.GetIntents()) - maxIntents
	o.Intents = slices.DeleteFunc(o.Intents, func(i *catalogv1.Intent) bool {
		if excess <= 0 || !i.GetSettled() {
			return false
		}
		excess--
		return true
	})
}

// FindIntent returns the intent with an idempotency key, nil if there is none.
func FindIntent(o *catalogv1.Observed, key string) *catalogv1.Intent {
	for _, i := range o.GetIntents() {
		if key != "" && i.GetIdempotencyKey() == key {
			return i
		}
	}
	return nil
}

// ManageMetadata records in place that the metadata keys of a desired state are managed by Driftless, which may remove
// them once they are no longer wanted.
func ManageMetadata(o *catalogv1.Observed, desired *catalogv1.ProductChange) {
	union := func(before []string, metadata map[string]string) []string {
		keys := append(slices.Collect(maps.Keys(metadata)), before...)
		slices.Sort(keys)
		return slices.Compact(keys)
	}
	if !slices.Contains(desired.GetUnmanagedFields(), "metadata") {
		o.ManagedMetadata = union(o.GetManagedMetadata(), desired.GetProduct().GetMetadata())
	}
	if StripeID(o) != o.GetProductId() && desired.GetProduct() != nil {
		o.ManagedMetadata = union(o.GetManagedMetadata(), map[string]string{ProductMarker: ""})
	}
	prices := !slices.Contains(desired.GetUnmanagedFields(), "prices.metadata")
	for _, want := range desired.GetProduct().GetPrices() {
		metadata := map[string]string{PriceMarker: ""}
		if prices {
			metadata = priceMetadata(want)
		}
		for _, inStripe := range o.GetPrices() {
			if inStripe.GetPrice().GetId() == want.GetId() {
				inStripe.ManagedMetadata = union(inStripe.GetManagedMetadata(), metadata)
			}
		}
	}
}
