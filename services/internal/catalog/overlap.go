package catalog

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// IsKept reports whether a price stays active for a while although another price has replaced it. Diff leaves such a
// price alone as long as the catalog sells at the price that it was, and wants an overlap: see
// ProductChange.archive_after.
func IsKept(p *catalogv1.ObservedPrice) bool {
	return p.GetKeepUntil() != nil && p.GetPrice().GetActive()
}

// ResolveAt is Resolve at a time: overlaps that are over have ended, and those that begin with the resolution have
// begun. It also returns the observed state with these overlaps, which is the given one if none begins or ends. Diff of
// the effective state and that one has the steps that push takes at the time. Push also stores that state.
func ResolveAt(
	policy *Policy, desired *catalogv1.ProductChange, observed *catalogv1.Observed, x Exceptions, now time.Time,
) (Resolution, *catalogv1.Observed) {
	ended := EndOverlaps(desired, observed, now)
	r := Resolve(policy, desired, ended, x)
	begun := StartOverlaps(r.Effective, ended, now)
	if begun != ended {
		r = Resolve(policy, desired, begun, x)
	}
	return r, begun
}

// KeptPrices returns the prices that Diff keeps beside those that have replaced them, in the order of the observed
// state.
func KeptPrices(desired *catalogv1.ProductChange, observed *catalogv1.Observed) (kept []*catalogv1.ObservedPrice) {
	if !hasReplaced(observed) || observed.GetProduct() == nil || !wantsOverlap(desired) {
		return nil
	}
	d := newDiffer(desired, observed)
	d.diffPrices()
	for _, p := range observed.GetPrices() {
		if d.kept[p.GetStripeId()] && d.currentIDs[p.GetPrice().GetId()] != "" {
			kept = append(kept, p)
		}
	}
	return kept
}

// ApplyOverlaps returns the observed state at a time, as Diff shall see it: overlaps that are over have ended, and
// those that a change to the desired state begins have begun. The desired state is Resolution.Effective. ApplyOverlaps
// returns the observed state itself if nothing changes, and modifies neither argument.
func ApplyOverlaps(
	desired *catalogv1.ProductChange, observed *catalogv1.Observed, now time.Time,
) *catalogv1.Observed {
	return StartOverlaps(desired, EndOverlaps(desired, observed, now), now)
}

// EndOverlaps returns the observed state at a time, without the overlaps that are over or that the catalog no longer
// wants. Diff then archives their prices. It returns the observed state itself if none ends.
func EndOverlaps(
	desired *catalogv1.ProductChange, observed *catalogv1.Observed, now time.Time,
) *catalogv1.Observed {
	if !hasReplaced(observed) {
		return observed
	}
	wanted := wantsOverlap(desired)
	ends := func(p *catalogv1.ObservedPrice) bool {
		return p.GetKeepUntil() != nil &&
			(!wanted || !p.GetPrice().GetActive() || !now.Before(p.GetKeepUntil().AsTime()))
	}
	return editPrices(observed, func(p *catalogv1.ObservedPrice) bool {
		return ends(p) || p.GetReplacedAt() != nil && !p.GetPrice().GetActive()
	}, func(p *catalogv1.ObservedPrice) {
		if p.KeepUntil = nil; !p.GetPrice().GetActive() {
			p.ReplacedAt = nil
		}
	})
}

// StartOverlaps returns the observed state with the overlaps that begin when Stripe becomes equal to the desired
// state. A price that another one replaces is kept for ProductChange.archive_after from now on. A kept price that
// represents the catalog's price again is like any other. A price that left the catalog is not kept: nothing replaces
// it.
//
// It returns the observed state itself if no overlap begins or is given up.
func StartOverlaps(
	desired *catalogv1.ProductChange, observed *catalogv1.Observed, now time.Time,
) *catalogv1.Observed {
	after := desired.GetArchiveAfter().AsDuration()
	if observed.GetProduct() == nil || !wantsOverlap(desired) && !hasReplaced(observed) {
		return observed
	}
	d := newDiffer(desired, observed)
	d.diffPrices()
	if !d.keeps {
		d.replaced = nil
	}
	until := timestamppb.New(now.Add(after))
	again := map[string]bool{}
	for _, id := range d.currentIDs {
		again[id] = true
	}
	return editPrices(observed, func(p *catalogv1.ObservedPrice) bool {
		return d.replaced[p.GetStripeId()] || again[p.GetStripeId()] && p.GetReplacedAt() != nil
	}, func(p *catalogv1.ObservedPrice) {
		p.KeepUntil, p.ReplacedAt = nil, nil
		if d.replaced[p.GetStripeId()] {
			p.KeepUntil, p.ReplacedAt = until, timestamppb.New(now)
		}
	})
}

// wantsOverlap reports whether the catalog wants replaced prices to stay active for a while. A product that is not sold
// needs none.
func wantsOverlap(desired *catalogv1.ProductChange) bool {
	p := desired.GetProduct()
	return desired.GetArchiveAfter().AsDuration() > 0 && p != nil && (p.Active == nil || p.GetActive())
}

func hasReplaced(o *catalogv1.Observed) bool {
	return slices.ContainsFunc(o.GetPrices(), func(p *catalogv1.ObservedPrice) bool { return p.GetReplacedAt() != nil })
}

// isReplaced reports whether an active price was replaced by another one. It is kept, or its overlap has ended and it
// is yet to be archived.
func isReplaced(p *catalogv1.ObservedPrice) bool {
	return p.GetReplacedAt() != nil && p.GetPrice().GetActive()
}

// editPrices returns the observed state with some of its prices edited. It shares the others with the given state, and
// returns that state itself if no price is to be edited.
func editPrices(
	o *catalogv1.Observed, isConcerned func(*catalogv1.ObservedPrice) bool, edit func(*catalogv1.ObservedPrice),
) *catalogv1.Observed {
	var out *catalogv1.Observed
	for i, p := range o.GetPrices() {
		if !isConcerned(p) {
			continue
		}
		if out == nil {
			out = proto.CloneOf(o)
		}
		edit(out.GetPrices()[i])
	}
	if out == nil {
		return o
	}
	return out
}

// findArchivedCurrent finds the catalog prices that an archived price represents although a replaced one is active:
// somebody archived the price that took the replaced one's place.
func (d *differ) findArchivedCurrent() {
	if !hasReplaced(d.observed) {
		return
	}
	since := map[string]int64{}
	for _, p := range d.observedPrices {
		if id := p.GetPrice().GetId(); isReplaced(p) {
			since[id] = max(since[id], p.GetReplacedAt().GetSeconds())
		}
	}
	d.archivedCurrent = map[string]bool{}
	for _, p := range d.observedPrices {
		id := p.GetPrice().GetId()
		if at, ok := since[id]; ok && !p.GetPrice().GetActive() && p.GetChanged() > at {
			d.archivedCurrent[id] = true
		}
	}
}

// preference ranks the prices that could represent a catalog price: active ones, then replaced ones, then archived
// ones.
func (d *differ) preference(p *catalogv1.ObservedPrice) int {
	switch {
	case !p.GetPrice().GetActive():
		return 2
	case !isReplaced(p):
		return 0
	case d.archivedCurrent[p.GetPrice().GetId()]:
		return 3
	default:
		return 1
	}
}

// replacedAt returns when an active price was replaced, in nanoseconds. It is 0 for other prices.
func replacedAt(p *catalogv1.ObservedPrice) int64 {
	if !isReplaced(p) {
		return 0
	}
	return p.GetReplacedAt().AsTime().UnixNano()
}

// replacing returns the active price that a wanted one replaces, or nil if there is none. match is the price in Stripe
// that will represent the wanted one, or nil if it is yet to be created. A price that represents it already replaces
// nothing: other active prices with its mark are copies.
func (d *differ) replacing(want *catalogv1.Price, match *catalogv1.ObservedPrice) *catalogv1.ObservedPrice {
	if match.GetPrice().GetActive() && !isReplaced(match) {
		return nil
	}
	for _, p := range d.observedPrices {
		if p.GetPrice().GetId() != want.GetId() || !p.GetPrice().GetActive() || p == match {
			continue
		}
		if isReplaced(p) && match.GetPrice().GetActive() {
			// The price that took its place is gone, and this one was replaced earlier.
			return nil
		}
		return p
	}
	return nil
}
