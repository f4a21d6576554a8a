package catalog

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"
)

// StepKind is one of Stripe's operations on products and prices.
type StepKind string

// The operations that Driftless uses. It never deletes prices and products: Stripe refuses that once a price exists.
const (
	CreateProduct StepKind = "create_product"
	UpdateProduct StepKind = "update_product"
	CreatePrice   StepKind = "create_price"
	UpdatePrice   StepKind = "update_price"
)

// Param is one parameter of a call, in Stripe's form encoding: "recurring[interval]" = "month".
type Param struct {
	Name, Value string
	// PriceRef, if set, names the catalog price whose Stripe id is the value. An earlier step may only create that
	// price.
	PriceRef string
}

// Step is one call to Stripe. Steps are applied in the order in which Diff returns them.
type Step struct {
	Kind      StepKind
	ProductID string
	// StripeProductID is Stripe's id of the product. It is empty if it equals ProductID.
	StripeProductID string
	// PriceID is the catalog's id of the price concerned. For CreateProduct it is the default price that the call also
	// creates. Otherwise it is empty for steps of a product.
	PriceID string
	// StripePriceID is Stripe's id of the price. Only UpdatePrice has it, unless an earlier step creates the price.
	StripePriceID string
	// Params are in ascending order of their names.
	Params []Param
	// ManagedMetadata are the object's metadata keys that Driftless manages once the step is done.
	ManagedMetadata []string
	// PriceMetadata are the same keys of the default price that a CreateProduct also creates.
	PriceMetadata []string
}

// Param returns the value of a parameter.
func (s Step) Param(name string) (value string, ok bool) {
	for _, p := range s.Params {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// StripeProduct returns Stripe's id of the product.
func (s Step) StripeProduct() string { return cmp.Or(s.StripeProductID, s.ProductID) }

// String describes the step in words: "create price pro-monthly".
func (s Step) String() string {
	switch s.Kind {
	case CreateProduct, UpdateProduct:
		words := strings.ReplaceAll(string(s.Kind), "_", " ") + " " + s.ProductID
		if s.StripeProductID != "" {
			words += " (" + s.StripeProductID + ")"
		}
		if s.PriceID != "" {
			words += " with price " + s.PriceID
		}
		return words
	case UpdatePrice:
		verb := "update"
		if active, ok := s.Param("active"); ok {
			if verb = "archive"; active == "true" {
				verb = "unarchive"
			}
		}
		if s.StripePriceID == "" {
			return verb + " price " + s.PriceID
		}
		return fmt.Sprintf("%s price %s (%s)", verb, s.PriceID, s.StripePriceID)
	default:
		return "create price " + s.PriceID
	}
}

// KeyPrefix begins every idempotency key that Driftless makes. An event with such a key is the echo of a call of
// Driftless.
const KeyPrefix = "driftless-"

// IdempotencyKey identifies the step to Stripe. It is the same for every attempt, message and process that wants this
// step on an object of this generation. It differs once a call on the product has a known outcome. It has no other
// inputs, so Stripe replays a lost response instead of executing the call again.
func (s Step) IdempotencyKey(account string, generation uint64) string {
	h := sha256.New()
	for _, part := range []string{
		account, s.StripeProduct(), string(s.Kind), s.PriceID, s.StripePriceID,
		strconv.FormatUint(generation, 10),
	} {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	for _, p := range s.Params {
		fmt.Fprintf(h, "%d:%s=%d:%s/%d:%s,", len(p.Name), p.Name, len(p.Value), p.Value, len(p.PriceRef), p.PriceRef)
	}
	return formatKey([sha256.Size]byte(h.Sum(nil)))
}

// IdempotencyKeys returns the keys of steps that are made one after the other. A step about a price that an earlier
// step creates says only which price of the catalog that is. So its key depends on the creating step too: a plan that
// creates the price with another amount makes another call, and Stripe refuses a key that was used for another call.
func IdempotencyKeys(steps []Step, account string, generation uint64) []string {
	keys := make([]string, len(steps))
	creating := map[string]string{}
	for i, s := range steps {
		keys[i] = s.IdempotencyKey(account, generation)
		if created := creating[s.createdPrice()]; created != "" {
			keys[i] = formatKey(sha256.Sum256([]byte(keys[i] + "," + created)))
		}
		if s.Kind == CreatePrice || s.Kind == CreateProduct && s.PriceID != "" {
			creating[s.PriceID] = keys[i]
		}
	}
	return keys
}

// createdPrice returns the catalog's id of the price that an earlier step creates and that the step is about, empty if
// there is none.
func (s Step) createdPrice() string {
	for _, p := range s.Params {
		if p.PriceRef != "" {
			return p.PriceRef
		}
	}
	if s.Kind == UpdatePrice && s.StripePriceID == "" {
		return s.PriceID
	}
	return ""
}

func formatKey(sum [sha256.Size]byte) string {
	return KeyPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}
