package catalog

import (
	"maps"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// AbsenceMarker is the metadata key of a product or price that Driftless archived because it had left the catalog. An
// object with the mark is unarchived when the catalog has it again, whether or not the mapping manages active. An
// object that somebody else archived does not carry the mark.
//
// The call that archives writes the mark, and the call that unarchives clears it. So the mark stays right even if the
// call's answer, its events or Driftless's records are lost.
const AbsenceMarker = "driftless_absent"

// The values of the mark. A price that was its product's default becomes the default again where the mapping leaves
// default_price alone. Driftless had to clear the default, because Stripe does not archive a default price.
const (
	absenceMark        = "true"
	absenceDefaultMark = "default_price"
)

var absenceCleared = newSetting("", "metadata", AbsenceMarker)

// hasAbsenceMark reports whether an object carries the mark.
func hasAbsenceMark(metadata map[string]string) bool { return metadata[AbsenceMarker] != "" }

func priceHasAbsenceMark(p *catalogv1.Price) bool { return hasAbsenceMark(p.GetMetadata()) }

// withoutAbsenceMark removes the mark from the state that the catalog wants. The catalog may contain it in a copy of
// Stripe's metadata, but only Driftless may set it.
func withoutAbsenceMark(p *catalogv1.Product) *catalogv1.Product {
	without := func(metadata map[string]string) map[string]string {
		if hasAbsenceMark(metadata) {
			metadata = maps.Clone(metadata)
			delete(metadata, AbsenceMarker)
		}
		return metadata
	}
	if p != nil {
		p.Metadata = without(p.GetMetadata())
		for _, price := range p.GetPrices() {
			price.Metadata = without(price.GetMetadata())
		}
	}
	return p
}

// findReturning finds the catalog's prices that have no active price in Stripe because Driftless archived them.
func (d *differ) findReturning() {
	d.returning = map[string]bool{}
	for _, inStripe := range d.observedPrices {
		if p := inStripe.GetPrice(); p.GetId() != "" && priceHasAbsenceMark(p) && !p.GetActive() {
			d.returning[p.GetId()] = true
		}
	}
	for _, inStripe := range d.observedPrices {
		if inStripe.GetPrice().GetActive() {
			delete(d.returning, inStripe.GetPrice().GetId())
		}
	}
}

// absenceMarkSetting sets the mark of an object that is about to be archived. An object whose metadata is full cannot
// have it, and is archived without it.
func absenceMarkSetting(metadata map[string]string, value string) []setting {
	if metadata[AbsenceMarker] == value || !hasAbsenceMark(metadata) && len(metadata) >= MaxMetadata {
		return nil
	}
	return []setting{newSetting(value, "metadata", AbsenceMarker)}
}

// priceMarkChange returns the change of the mark of a price that is archived. It sets the mark if the catalog no longer
// has the price, and clears it if another price replaces this one.
func (d *differ) priceMarkChange(inStripe *catalogv1.ObservedPrice) []setting {
	have := inStripe.GetPrice()
	switch {
	case d.wantedPrice(have.GetId()) == nil && inStripe.GetStripeId() == d.have.GetDefaultPrice():
		return absenceMarkSetting(have.GetMetadata(), absenceDefaultMark)
	case d.wantedPrice(have.GetId()) == nil:
		return absenceMarkSetting(have.GetMetadata(), absenceMark)
	case priceHasAbsenceMark(have):
		return []setting{absenceCleared}
	default:
		return nil
	}
}

// productMarkChange returns the change of the product's mark, which has only one value.
func (d *differ) productMarkChange() []setting {
	marked := hasAbsenceMark(d.have.GetMetadata())
	switch {
	case d.deleted && d.have.GetActive():
		return absenceMarkSetting(d.have.GetMetadata(), absenceMark)
	case !d.deleted && marked && (d.managed("active") || d.want.GetActive()):
		return []setting{absenceCleared}
	default:
		return nil
	}
}

// clearStaleMark clears the mark of an archived price that is back in the catalog, if another price represents it or if
// the catalog wants it archived. This step comes last: until the other price is active, the mark records that one must
// be.
func (d *differ) clearStaleMark(inStripe *catalogv1.ObservedPrice, taken map[string]bool) {
	want := d.wantedPrice(inStripe.GetPrice().GetId())
	if want == nil || !priceHasAbsenceMark(inStripe.GetPrice()) {
		return
	}
	stays := !d.managed("prices.active") && !d.leaveUnmanaged(want).GetActive() && d.returning[want.GetId()]
	if taken[inStripe.GetStripeId()] && !d.restoresDefault(inStripe) || stays {
		return
	}
	d.archivePrices = append(d.archivePrices, d.priceStep(inStripe, []setting{absenceCleared}))
}

// restoresDefault reports whether a price in Stripe was the default of a product that now has none because Driftless
// cleared it.
func (d *differ) restoresDefault(inStripe *catalogv1.ObservedPrice) bool {
	wasDefault := inStripe.GetPrice().GetMetadata()[AbsenceMarker] == absenceDefaultMark
	return wasDefault && !d.managed("default_price") && d.have.GetDefaultPrice() == ""
}

// formerDefault returns the catalog's id of the price that becomes the product's default again, empty if there is none.
func (d *differ) formerDefault() string {
	i := slices.IndexFunc(d.observedPrices, func(inStripe *catalogv1.ObservedPrice) bool {
		_, onSale := d.currentIDs[inStripe.GetPrice().GetId()]
		return onSale && d.restoresDefault(inStripe)
	})
	if i < 0 {
		return ""
	}
	return d.observedPrices[i].GetPrice().GetId()
}

// isReturning reports whether a field is the active of a product or price that is back in the catalog.
func (d *differ) isReturning(field, price string) bool {
	if field != "active" || d.deleted {
		return false
	}
	if price == "" {
		return hasAbsenceMark(d.have.GetMetadata()) && !d.have.GetActive()
	}
	return d.returning[price]
}
