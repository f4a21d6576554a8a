package catalog

import (
	"maps"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Change is one field of a product before and after an edit, as text. A text is empty if there is no value.
type Change struct{ Field, Old, New string }

// Changes returns what makes one state of a product another, field by field in Stripe's names. A nil state means that
// there is no product. It is for people to read: amounts have the decimal places of their currency. A price that is
// added or removed is one change with the price as a whole: "prices.mug-eur", "" -> "14.00 EUR".
func Changes(before, after *catalogv1.Product) []Change {
	b, a := canonicalProduct(before), canonicalProduct(after)
	var out []Change
	add := func(field, before, after string) {
		if before != after {
			out = append(out, Change{field, before, after})
		}
	}
	text := func(p *catalogv1.Product, name string) string {
		if p == nil {
			return ""
		}
		return productText(name, p)
	}
	for _, f := range productFields {
		add(f.name, text(b, f.name), text(a, f.name))
	}
	changedKeys("metadata.", b.GetMetadata(), a.GetMetadata(), add)
	add("default_price", b.GetDefaultPrice(), a.GetDefaultPrice())
	for _, old := range b.GetPrices() {
		if priceByID(a, old.GetId()) == nil {
			add("prices."+old.GetId(), FormatPrice(old), "")
		}
	}
	for _, price := range a.GetPrices() {
		id := price.GetId()
		old := priceByID(b, id)
		if old == nil {
			add("prices."+id, "", FormatPrice(price))
			continue
		}
		for _, name := range slices.Concat([]string{"active"}, priceFields) {
			add(priceField(id, name), priceText(name, old), priceText(name, price))
		}
		for _, f := range priceIdentity {
			add(priceField(id, f.name), identityText(f, old), identityText(f, price))
		}
		changedKeys(priceField(id, "metadata."), old.GetMetadata(), price.GetMetadata(), add)
	}
	return out
}

// identityText returns a field of a price as text, an amount with its currency.
func identityText(f field[*catalogv1.Price], p *catalogv1.Price) string {
	text := valueText(f.write(p), 1)
	if f.name == "unit_amount" && text != "" {
		return FormatAmount(text, p.GetCurrency())
	}
	return text
}

func changedKeys(prefix string, before, after map[string]string, add func(field, before, after string)) {
	keys := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		add(prefix+k, before[k], after[k])
	}
}
