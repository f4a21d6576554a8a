package catalog

import (
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Agree records in place the values on which both sides agree, for the fields that the policy does not simply
// overwrite. Push calls it in the write that ends a pass.
func Agree(policy *Policy, desired *catalogv1.ProductChange, observed *catalogv1.Observed) {
	if policy.isDefault() || desired.GetProduct() == nil || observed.GetProduct() == nil {
		observed.Agreed = nil
		return
	}
	r := newResolver(policy, desired, observed, Exceptions{})
	r.includesArchived = true
	next := &catalogv1.Agreed{FieldsKept: policy.fieldsDigest}
	r.eachField(func(f policyField) {
		base, known := r.agreedValue(f.name)
		entry := withLatestValue(f, base)
		if f.catalog == f.stripe || !known {
			// A difference that was not known before counts from now on.
			entry.Catalog, entry.Stripe, entry.Newer, entry.NewerAt = hashText(f.catalog), hashText(f.stripe), 0, 0
		}
		next.Fields = appendAgreed(next.GetFields(), entry)
	})
	slices.SortFunc(next.Fields,
		func(a, b *catalogv1.AgreedField) int { return strings.Compare(a.GetField(), b.GetField()) })
	observed.Agreed = next
}

// RecordStripeEdits records in place since when Stripe has values other than the agreed ones. A write of Driftless must
// not make these edits look more recent. Push calls it in the write that plans a pass.
func RecordStripeEdits(policy *Policy, desired *catalogv1.ProductChange, observed *catalogv1.Observed) {
	if policy.isDefault() || desired.GetProduct() == nil || observed.GetProduct() == nil ||
		observed.GetAgreed().GetFieldsKept() != policy.fieldsDigest {
		return
	}
	r := newResolver(policy, desired, observed, Exceptions{})
	r.includesArchived = true
	next := &catalogv1.Agreed{FieldsKept: policy.fieldsDigest}
	seen := map[string]bool{}
	r.eachField(func(f policyField) {
		base, _ := r.agreedValue(f.name)
		seen[f.name] = true
		next.Fields = appendAgreed(next.GetFields(), withLatestValue(f, base))
	})
	for _, f := range observed.GetAgreed().GetFields() {
		if !seen[f.GetField()] {
			next.Fields = append(next.Fields, f)
		}
	}
	slices.SortFunc(next.Fields,
		func(a, b *catalogv1.AgreedField) int { return strings.Compare(a.GetField(), b.GetField()) })
	observed.Agreed = next
}

// withLatestValue returns the entry of a field with Stripe's latest value in it.
func withLatestValue(f policyField, base *catalogv1.AgreedField) *catalogv1.AgreedField {
	entry := &catalogv1.AgreedField{
		Field:   f.name,
		Catalog: base.GetCatalog(),
		Stripe:  base.GetStripe(),
		Newer:   base.GetNewer(),
		NewerAt: base.GetNewerAt(),
	}
	if now := hashText(f.stripe); now != entry.GetStripe() && now != entry.GetNewer() {
		entry.Newer, entry.NewerAt = now, f.seenAt
	}
	return entry
}

func appendAgreed(entries []*catalogv1.AgreedField, e *catalogv1.AgreedField) []*catalogv1.AgreedField {
	if e.GetCatalog() == 0 && e.GetStripe() == 0 && e.GetNewer() == 0 {
		return entries
	}
	return append(entries, e)
}
