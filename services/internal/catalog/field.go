package catalog

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Type is what a field holds, and so what a column of that name may be.
type Type int

// The types.
const (
	// TypeText is a string; empty means that Stripe must hold no value.
	TypeText Type = iota + 1
	// TypeID is the id of an object of the catalog.
	TypeID
	// TypeCurrency is a currency code, in lower case.
	TypeCurrency
	// TypeBoolean is true or false.
	TypeBoolean
	// TypeTexts is a list of strings, which Stripe replaces as a whole.
	TypeTexts
	// TypeAmount is a decimal number of minor units, in whole ones if Field.Whole says so.
	TypeAmount
	// TypeMetadata maps keys to texts, which Stripe merges by key.
	TypeMetadata
	// TypeStructure is one of the structures of structures, or a list or map of such.
	TypeStructure
)

// Field describes one of Stripe's fields of a product or a price. Its name is the same in Stripe's parameters and
// answers, in the contract, in the columns of a mapping and of the built-in tables, and in the names of differences.
//
// The tables of fields are the only place that lists the fields: how Diff writes them, what a policy may own, what a
// mapping may return and the pages of the documentation follow from them. A test fails for a field of the contract that
// is in no table.
type Field struct {
	Name string
	Type Type
	// Required: a row without it means nothing.
	Required bool
	// Flag: NULL is a mistake, since it is neither true nor false.
	Flag bool
	// Whole: an amount that has no fraction.
	Whole bool
	// Fixed: Stripe never changes it, so another value means another price.
	Fixed bool
	// Ownable: a policy can say who owns it.
	Ownable bool
	// priced: it is part of the one amount of a price, which is managed or left alone as a whole.
	priced bool
}

// productTable is every field of a product but its prices, in the order of Stripe's names.
var productTable = []Field{
	{Name: "active", Type: TypeBoolean, Flag: true, Ownable: true},
	{Name: "default_price", Type: TypeID, Ownable: true},
	{Name: "description", Type: TypeText, Ownable: true},
	{Name: "id", Type: TypeID, Required: true},
	{Name: "images", Type: TypeTexts, Ownable: true},
	{Name: "marketing_features", Type: TypeTexts, Ownable: true},
	{Name: "metadata", Type: TypeMetadata, Ownable: true},
	{Name: "name", Type: TypeText, Required: true, Ownable: true},
	{Name: "package_dimensions", Type: TypeStructure, Ownable: true},
	{Name: "shippable", Type: TypeBoolean, Ownable: true},
	{Name: "statement_descriptor", Type: TypeText, Ownable: true},
	{Name: "tax_code", Type: TypeText, Ownable: true},
	{Name: "unit_label", Type: TypeText, Ownable: true},
	{Name: "url", Type: TypeText, Ownable: true},
}

// priceTable is every field of a price, in the order of Stripe's names.
var priceTable = []Field{
	{Name: "active", Type: TypeBoolean, Flag: true, Ownable: true},
	{Name: "billing_scheme", Type: TypeText, Fixed: true, priced: true},
	{Name: "currency", Type: TypeCurrency, Required: true, Fixed: true},
	{Name: "currency_options", Type: TypeStructure, Ownable: true},
	{Name: "custom_unit_amount", Type: TypeStructure, Fixed: true, priced: true},
	{Name: "id", Type: TypeID, Required: true},
	{Name: "lookup_key", Type: TypeText, Ownable: true},
	{Name: "metadata", Type: TypeMetadata, Ownable: true},
	{Name: "nickname", Type: TypeText, Ownable: true},
	{Name: "recurring", Type: TypeStructure, Fixed: true},
	{Name: "tax_behavior", Type: TypeText, Ownable: true},
	{Name: "tiers", Type: TypeStructure, Fixed: true, priced: true},
	{Name: "tiers_mode", Type: TypeText, Fixed: true, priced: true},
	{Name: "transform_quantity", Type: TypeStructure, Fixed: true},
	{Name: "unit_amount", Type: TypeAmount, Whole: true, Fixed: true, priced: true},
	{Name: "unit_amount_decimal", Type: TypeAmount, Fixed: true, priced: true},
}

// ProductFields returns every field of a product but its prices, in the order of their names. The caller owns the
// result.
func ProductFields() []Field { return slices.Clone(productTable) }

// PriceFields returns every field of a price, in the order of their names. The caller owns the result.
func PriceFields() []Field { return slices.Clone(priceTable) }

// fieldNames returns the names of the fields of a table for which keep is true, each behind a prefix.
func fieldNames(table []Field, prefix string, keep func(Field) bool) []string {
	var out []string
	for _, f := range table {
		if keep(f) {
			out = append(out, prefix+f.Name)
		}
	}
	return out
}

func lookUpField(table []Field, name string) (Field, bool) {
	i := slices.IndexFunc(table, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return table[i], true
}

// priceFields are the fields of an active price that Stripe changes in place, other than metadata.
var priceFields = fieldNames(priceTable, "", func(f Field) bool {
	return f.Ownable && f.Name != "active" && f.Type != TypeMetadata
})

// copyField gives a message another's value of a field. The two may share lists and structures then, which nothing here
// changes in place.
func copyField(into, from proto.Message, name string) {
	to, of := into.ProtoReflect(), from.ProtoReflect()
	field := to.Descriptor().Fields().ByName(protoreflect.Name(name))
	if !of.Has(field) {
		to.Clear(field)
		return
	}
	to.Set(field, of.Get(field))
}

// setProduct gives a product one of another's fields.
func setProduct(p *catalogv1.Product, field string, from *catalogv1.Product) {
	copyField(p, from, field)
}

// setPrice gives a price one of another's fields. Currency options never hold the price's own currency.
func setPrice(p *catalogv1.Price, field string, from *catalogv1.Price) {
	if field != "currency_options" {
		copyField(p, from, field)
		return
	}
	p.CurrencyOptions = nil
	for currency, option := range from.GetCurrencyOptions() {
		if currency == p.GetCurrency() {
			continue
		}
		if p.CurrencyOptions == nil {
			p.CurrencyOptions = map[string]*catalogv1.CurrencyOption{}
		}
		p.CurrencyOptions[currency] = option
	}
}

// keepStructure gives a price all that Stripe never changes of another, and its currency options, which must fit.
func keepStructure(p, from *catalogv1.Price) {
	for _, f := range priceTable {
		if f.Fixed || f.Name == "tax_behavior" {
			copyField(p, from, f.Name)
		}
	}
	setPrice(p, "currency_options", from)
}
