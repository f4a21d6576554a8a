package catalog

import (
	"maps"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// AbsenceMarker is the metadata key of a product or price that Driftless archived because it had left the catalog.
// Whatever carries it is unarchived when the catalog has it again, whether or not the mapping manages active; what
// anybody else archived does not carry it. It is written by the call that archives and cleared by the one that
// unarchives, so it holds whatever becomes of that call's answer, of the events about it, and of the records here.
const AbsenceMarker = "driftless_absent"

// The values of the mark. A price that was its product's default becomes it again where the mapping leaves
// default_price alone: Stripe archives no default price, so Driftless had to clear it.
const (
	absenceMark        = "true"
	absenceDefaultMark = "default_price"
)

var absenceCleared = set("", "metadata", AbsenceMarker)

// absent reports whether an object carries the mark.
func absent(metadata map[string]string) bool { return metadata[AbsenceMarker] != "" }

func isMarked(p *catalogv1.Price) bool { return absent(p.GetMetadata()) }

// unmarkedProduct takes the mark from what the catalog wants: a copy of Stripe's metadata that somebody put into the
// catalog may hold it, and it is not the catalog's to set.
func unmarkedProduct(p *catalogv1.Product) *catalogv1.Product {
	without := func(metadata map[string]string) map[string]string {
		if absent(metadata) {
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

// findReturning finds the prices of the catalog that are on sale nowhere in Stripe because Driftless archived them.
func (d *differ) findReturning() {
	d.returning = map[string]bool{}
	for _, held := range d.held {
		if p := held.GetPrice(); p.GetId() != "" && isMarked(p) && !p.GetActive() {
			d.returning[p.GetId()] = true
		}
	}
	for _, held := range d.held {
		if held.GetPrice().GetActive() {
			delete(d.returning, held.GetPrice().GetId())
		}
	}
}

// mark sets the mark of an object that is about to be archived. An object whose metadata is full cannot have it:
// archiving it goes first.
func mark(metadata map[string]string, value string) []setting {
	if metadata[AbsenceMarker] == value || !absent(metadata) && len(metadata) >= MaxMetadata {
		return nil
	}
	return []setting{set(value, "metadata", AbsenceMarker)}
}

// absenceOfPrice is what becomes of the mark of a price that is archived: it is set if the catalog has the price no
// more, and cleared if another price takes its place.
func (d *differ) absenceOfPrice(held *catalogv1.ObservedPrice) []setting {
	have := held.GetPrice()
	switch {
	case d.wanted(have.GetId()) == nil && held.GetStripeId() == d.have.GetDefaultPrice():
		return mark(have.GetMetadata(), absenceDefaultMark)
	case d.wanted(have.GetId()) == nil:
		return mark(have.GetMetadata(), absenceMark)
	case isMarked(have):
		return []setting{absenceCleared}
	default:
		return nil
	}
}

// absenceOfProduct is the same for the product, which has one mark.
func (d *differ) absenceOfProduct() []setting {
	marked := absent(d.have.GetMetadata())
	switch {
	case d.deleted && d.have.GetActive():
		return mark(d.have.GetMetadata(), absenceMark)
	case !d.deleted && marked && (d.managed("active") || d.want.GetActive()):
		return []setting{absenceCleared}
	default:
		return nil
	}
}

// forgetAbsence clears the mark of an archived price that the catalog has again, and for which another one stands, or
// which the catalog wants archived. It comes last: until the other one is on sale, the mark says that one is to be.
func (d *differ) forgetAbsence(held *catalogv1.ObservedPrice, taken map[string]bool) {
	want := d.wanted(held.GetPrice().GetId())
	if want == nil || !isMarked(held.GetPrice()) {
		return
	}
	stays := !d.managed("prices.active") && !d.leaveUnmanaged(want).GetActive() && d.returning[want.GetId()]
	if taken[held.GetStripeId()] && !d.restoresDefault(held) || stays {
		return
	}
	d.archivePrices = append(d.archivePrices, d.ofPrice(held, []setting{absenceCleared}))
}

// restoresDefault reports whether a held price was the default of a product that has none now, because Driftless
// cleared it.
func (d *differ) restoresDefault(held *catalogv1.ObservedPrice) bool {
	wasDefault := held.GetPrice().GetMetadata()[AbsenceMarker] == absenceDefaultMark
	return wasDefault && !d.managed("default_price") && d.have.GetDefaultPrice() == ""
}

// formerDefault is the catalog's id of the price that becomes the product's default again, empty if there is none.
func (d *differ) formerDefault() string {
	i := slices.IndexFunc(d.held, func(held *catalogv1.ObservedPrice) bool {
		_, onSale := d.current[held.GetPrice().GetId()]
		return onSale && d.restoresDefault(held)
	})
	if i < 0 {
		return ""
	}
	return d.held[i].GetPrice().GetId()
}

// returns reports whether a field is active of a product or price that the catalog has again.
func (d *differ) returns(field, price string) bool {
	if field != "active" || d.deleted {
		return false
	}
	if price == "" {
		return absent(d.have.GetMetadata()) && !d.have.GetActive()
	}
	return d.returning[price]
}
