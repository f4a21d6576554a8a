package plan

import (
	"fmt"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// A lookup key belongs to one price of the account. With transfer_lookup_key Stripe moves it from any price that has
// it. A checkout that finds its price by the key then sells something else. So push takes a key unasked only from a
// price that the product is known to have. Otherwise it makes the call without transfer_lookup_key first. If Stripe
// refuses that, the key's owner decides.
const (
	lookupKey         = "lookup_key"
	transferLookupKey = "transfer_lookup_key"
)

// LookupKeys is what a pass knows about lookup keys that other prices have. A nil one keeps every key in its call.
type LookupKeys struct {
	// transferable are the keys that may be taken, each with a description of its owner. foreign are the keys that stay
	// with their owner.
	transferable map[string]string
	foreign      map[string]bool
	// ownerless counts how often a key was refused and had no owner after that.
	ownerless map[string]int
}

// maxOwnerless is how often a pass tries a key again that had no owner after Stripe refused it.
const maxOwnerless = 3

// NewLookupKeys returns what a pass knows at its start: nothing.
func NewLookupKeys() *LookupKeys {
	return &LookupKeys{transferable: map[string]string{}, foreign: map[string]bool{}, ownerless: map[string]int{}}
}

// MayBeFree notes that a refused key has no owner any more, and reports whether the call is to be made again: another
// product has given the key away meanwhile. It returns false if that has happened too often.
func (k *LookupKeys) MayBeFree(key string) bool {
	k.ownerless[key]++
	return k.ownerless[key] <= maxOwnerless
}

// Take notes that a key may be taken from its owner.
func (k *LookupKeys) Take(key, owner string) { k.transferable[key] = owner }

// LeaveWithOwner notes that a key stays with its owner.
func (k *LookupKeys) LeaveWithOwner(key string) { k.foreign[key] = true }

func (k *LookupKeys) leavesOut() bool { return k != nil && len(k.foreign) > 0 }

func (k *LookupKeys) isTransferable(key string) bool {
	_, ok := k.transferable[key]
	return ok
}

// filter removes transfer_lookup_key from calls whose key may belong to another product, and the key itself if it stays
// with its owner.
func (k *LookupKeys) filter(steps []catalog.Step, observed *catalogv1.Observed) []catalog.Step {
	if k == nil {
		return steps
	}
	out := make([]catalog.Step, 0, len(steps))
	for _, step := range steps {
		key, ok := step.Param(lookupKey)
		if ok && key != "" && !k.isTransferable(key) && (k.foreign[key] || !ownsKey(observed, key)) {
			step.Params = slices.DeleteFunc(slices.Clone(step.Params), func(p catalog.Param) bool {
				return p.Name == transferLookupKey || p.Name == lookupKey && k.foreign[key]
			})
		}
		if len(step.Params) > 0 {
			out = append(out, step)
		}
	}
	return out
}

// ownsKey reports whether a price of the product with Driftless's mark is known to have the key.
func ownsKey(observed *catalogv1.Observed, key string) bool {
	return slices.ContainsFunc(observed.GetPrices(), func(p *catalogv1.ObservedPrice) bool {
		return p.GetPrice().GetId() != "" && p.GetPrice().GetLookupKey() == key
	})
}

// isKeyConflict reports whether Stripe refused a call because another price has the key.
func isKeyConflict(f *Failed) bool {
	if f.Failure == nil || f.Action != stripeapi.Refuse {
		return false
	}
	key, gives := f.Step.Param(lookupKey)
	_, transfers := f.Step.Param(transferLookupKey)
	says := f.Failure.Param == lookupKey || strings.Contains(strings.ToLower(f.Message), "lookup key")
	return says && gives && key != "" && !transfers
}

// NeedsOwner reports whether a call was refused for a key whose owner the pass has not read yet.
func (k *LookupKeys) NeedsOwner(f *Failed) bool {
	if k == nil || !isKeyConflict(f) {
		return false
	}
	key := f.LookupKey()
	return !k.isTransferable(key) && !k.foreign[key]
}

// LookupKey returns the lookup key that the call gives to its price, "" if none.
func (f *Failed) LookupKey() string {
	key, _ := f.Step.Param(lookupKey)
	return key
}

// Describe describes a call, with the lookup key that it took from another price, for the product's history.
func (k *LookupKeys) Describe(step catalog.Step) string {
	words := step.String()
	if k == nil {
		return words
	}
	key, _ := step.Param(lookupKey)
	if who, taken := k.transferable[key]; taken {
		words += fmt.Sprintf(", taking lookup key %s from %s", key, who)
	}
	return words
}
