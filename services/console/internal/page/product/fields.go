package product

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// field is one field on both sides.
type field struct {
	// name is in Stripe's names: "description", "prices.mug-eur.nickname". Empty for the product as a whole.
	name            string
	catalog, stripe string
	// row is the value of the operator's table, if it is another than the captured one.
	row string
	// differs is set if the API says that the sides differ.
	differs bool
	// drift is the open drift of the field. Nil if there is none.
	drift *controlv1.Drift
	// note says who owns the field, or why nobody looks after it.
	note string
}

// label returns the field's name for people.
func (f field) label() string { return cmp.Or(f.name, "product") }

// argument returns the field as requests and commands name it.
func (f field) argument() string { return cmp.Or(f.name, "-") }

// differences returns the fields that differ: all open drift first, then what differs without being drift.
func differences(f *facts) []field {
	byName := map[string]*controlv1.FieldValues{}
	for _, v := range f.why.GetFields() {
		name := v.GetField()
		if name == "product" {
			name = ""
		}
		byName[name] = v
	}
	var out []field
	seen := map[string]bool{}
	for _, d := range f.drift {
		x := d.GetDifference()
		entry := field{
			name:    x.GetField(),
			catalog: cmp.Or(x.GetCatalogWords(), x.GetCatalog()),
			stripe:  cmp.Or(x.GetStripeWords(), x.GetStripe()),
			differs: true,
			drift:   d,
			note:    rule(d),
		}
		if v := byName[entry.name]; v != nil && v.GetRow() != v.GetCaptured() && f.rowKnown() {
			entry.row = v.GetRow()
		}
		seen[entry.name] = true
		out = append(out, entry)
	}
	for _, v := range f.why.GetFields() {
		name := v.GetField()
		if name == "product" {
			name = ""
		}
		if !v.GetDiffers() || seen[name] || isCovered(name, seen) {
			continue
		}
		entry := field{name: name, catalog: v.GetCaptured(), stripe: v.GetStripe(), differs: true}
		if v.GetRow() != v.GetCaptured() && f.rowKnown() {
			entry.row = cmp.Or(v.GetRow(), "nothing")
		}
		out = append(out, entry)
	}
	return out
}

// rowKnown reports whether the operator's table was looked at.
func (f *facts) rowKnown() bool { return f.why.GetRow().GetUnknown() == "" }

// isCovered reports whether a price as a whole is there only for a field of it that was seen.
func isCovered(name string, seen map[string]bool) bool {
	if !strings.HasPrefix(name, "prices.") {
		return false
	}
	for s := range seen {
		if strings.HasPrefix(s, name+".") {
			return true
		}
	}
	return false
}

// rule says what the policy, or a person, has decided about a difference.
func rule(d *controlv1.Drift) string {
	if d.GetState() == "ignored" {
		return "left alone until one of the values changes"
	}
	switch d.GetDifference().GetAction() {
	case string(catalog.Repair):
		return "the catalog's value counts"
	case string(catalog.WriteBack):
		return "Stripe's value counts"
	case string(catalog.Report):
		return "only reported"
	}
	return d.GetDifference().GetAction()
}

// markers are the metadata keys that Driftless writes for itself.
var markers = []string{catalog.ProductMarker, catalog.PriceMarker, catalog.AbsenceMarker}

// rest returns the product's fields that do not differ, in the order of their names. Prices have cards of their own.
func rest(f *facts, differing []field) []field {
	wanted := texts(f.detail.GetDesired().GetProduct())
	held := texts(f.detail.GetObserved().GetProduct())
	if id, ok := held["default_price"]; ok {
		held["default_price"] = markOf(f.detail.GetObserved(), id)
	}
	differs := func(name string) bool {
		return slices.ContainsFunc(differing, func(d field) bool { return d.name == name })
	}
	unmanaged := f.detail.GetDesired().GetUnmanagedFields()
	names := slices.Concat(slices.Collect(maps.Keys(wanted)), slices.Collect(maps.Keys(held)))
	slices.Sort(names)
	var out []field
	for _, name := range slices.Compact(names) {
		if differs(name) || strings.HasPrefix(name, "prices.") {
			continue
		}
		entry := field{name: name, catalog: wanted[name], stripe: held[name]}
		key, isKey := strings.CutPrefix(name, "metadata.")
		switch {
		case isKey && slices.Contains(markers, key):
			entry.note = "Driftless's own mark"
		case f.detail.GetDesired().GetProduct() == nil || f.detail.GetObserved().GetProduct() == nil:
		case isLeftAlone(unmanaged, name):
			entry.note = "left alone: the mapping does not provide it"
		case entry.catalog == "" && isKey:
			entry.note = "left alone: not a key of the catalog"
		case entry.catalog == "":
			entry.note = "left alone: the catalog does not say"
		}
		out = append(out, entry)
	}
	return out
}

// isLeftAlone reports whether the mapping does not provide a field.
func isLeftAlone(unmanaged []string, name string) bool {
	return slices.ContainsFunc(unmanaged, func(u string) bool { return name == u || strings.HasPrefix(name, u+".") })
}

// texts returns the fields of a product that have a value, as text.
func texts(p *catalogv1.Product) map[string]string {
	out := map[string]string{}
	if p != nil {
		for _, c := range catalog.Changes(nil, p) {
			out[c.Field] = c.New
		}
	}
	return out
}

// markOf returns the catalog's id of the price with an id of Stripe's, or that id if the price is not the catalog's.
func markOf(o *catalogv1.Observed, stripeID string) string {
	for _, p := range o.GetPrices() {
		if p.GetStripeId() == stripeID && p.GetPrice().GetId() != "" {
			return p.GetPrice().GetId()
		}
	}
	return stripeID
}
