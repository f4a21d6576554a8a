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

// The operations Driftless uses. Prices and products are never deleted: Stripe refuses it once a price exists.
const (
	CreateProduct StepKind = "create_product"
	UpdateProduct StepKind = "update_product"
	CreatePrice   StepKind = "create_price"
	UpdatePrice   StepKind = "update_price"
)

// Param is one parameter of a call, in Stripe's form encoding: "recurring[interval]" = "month".
type Param struct {
	Name, Value string
	// PriceRef, if set, names the catalog price whose Stripe id is the value; that id may come to be only in an
	// earlier step.
	PriceRef string
}

// Step is one call to Stripe. Steps are applied in the order in which Diff gives them.
type Step struct {
	Kind      StepKind
	ProductID string
	// StripeProductID is Stripe's id of the product; empty if it is ProductID.
	StripeProductID string
	// PriceID is the catalog's id of the price concerned: of a CreateProduct, that of the default price that it makes
	// as well; else empty for product steps.
	PriceID string
	// StripePriceID is Stripe's; only for UpdatePrice, and empty there if an earlier step makes the price.
	StripePriceID string
	// Params in ascending order of their names.
	Params []Param
	// ManagedMetadata are the metadata keys of the object that are Driftless's once the step is done.
	ManagedMetadata []string
	// PriceMetadata are those keys of the default price that a CreateProduct makes as well.
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

// StripeProduct is Stripe's id of the product.
func (s Step) StripeProduct() string { return cmp.Or(s.StripeProductID, s.ProductID) }

// String says what the step does, in words: "create price pro-monthly".
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

// KeyPrefix begins every idempotency key that Driftless makes: an event naming such a key is the echo of a call
// of ours.
const KeyPrefix = "driftless-"

// IdempotencyKey identifies the step to Stripe: the same for every attempt, message and process that wants this
// step on an object of this generation, and different once a call on the product has been settled. It has no
// other inputs, so that a lost response is answered from Stripe's memory instead of being executed again.
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
	return KeyPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)))
}
