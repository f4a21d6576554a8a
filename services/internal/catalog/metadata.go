package catalog

import (
	"maps"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// PriceMarker is the metadata key under which a Stripe price carries its catalog id. Stripe does not let callers choose
// the id of a price.
const PriceMarker = "driftless_price"

// ProductMarker is the metadata key under which a Stripe product with another id carries its catalog id. The mark finds
// the link again even if Driftless's records are lost.
const ProductMarker = "driftless_product"

// MaxMetadata is the maximum number of metadata keys that Stripe accepts on an object.
const MaxMetadata = 50

// MetadataKeys returns how many metadata keys Driftless writes on the product under the given Stripe id.
func MetadataKeys(p *catalogv1.Product, stripeID string) int {
	n := len(p.GetMetadata())
	if _, has := p.GetMetadata()[ProductMarker]; !has && stripeID != p.GetId() {
		n++
	}
	return n
}

func priceMetadata(p *catalogv1.Price) map[string]string {
	m := make(map[string]string, len(p.GetMetadata())+1)
	maps.Copy(m, p.GetMetadata())
	m[PriceMarker] = p.GetId()
	return m
}

// metadataChanges sets the keys that differ. With remove, it also clears managed keys that are no longer wanted. Stripe
// merges by key, so other keys stay.
func metadataChanges(want, have map[string]string, managed []string, remove bool) []setting {
	var out []setting
	for k, v := range want {
		if have[k] != v {
			out = append(out, newSetting(v, "metadata", k))
		}
	}
	if !remove {
		return out
	}
	for _, k := range managed {
		_, wanted := want[k]
		if _, exists := have[k]; exists && !wanted && k != AbsenceMarker {
			out = append(out, newSetting("", "metadata", k))
		}
	}
	return out
}

func managedAfter(want map[string]string, before []string, managed bool) []string {
	if !managed {
		return before
	}
	return slices.Sorted(maps.Keys(want))
}

// productMetadata returns the metadata that the product must hold, and whether Driftless may remove other keys that it
// manages. The mark is written even if the mapping leaves metadata to others.
func (d *differ) productMetadata() (want map[string]string, managed bool) {
	managed = d.managed("metadata")
	if managed {
		want = d.want.GetMetadata()
	}
	if d.isLinked() {
		want = maps.Clone(want)
		if want == nil {
			want = map[string]string{}
		}
		want[ProductMarker] = d.productID
	}
	return want, managed
}

// isLinked reports whether the product must carry its mark in Stripe. A product that has left the catalog keeps the
// metadata that it has.
func (d *differ) isLinked() bool { return d.stripeID != d.productID && !d.deleted }
