package catalog

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Type is the type of a field's value, and so of the columns that may provide it.
type Type int

// The types of fields.
const (
	// TypeText is a string. An empty one means that Stripe must hold no value.
	TypeText Type = iota + 1
	// TypeID is the id of an object of the catalog.
	TypeID
	// TypeCurrency is a currency code in lower case.
	TypeCurrency
	// TypeBoolean is true or false.
	TypeBoolean
	// TypeTexts is a list of strings. Stripe replaces the list as a whole.
	TypeTexts
	// TypeAmount is a decimal number of minor units. It has no fraction if Field.Whole is set.
	TypeAmount
	// TypeMetadata maps keys to texts. Stripe merges metadata by key.
	TypeMetadata
	// TypeStructure is one of the structures in the table structures, or a list or map of structures.
	TypeStructure
)

// Field describes one of Stripe's fields of a product or a price. Its name is the same in Stripe's parameters and
// answers, in the contract, in the columns of a mapping and of the built-in tables, and in differences.
//
// The tables of fields are the only place that lists the fields. Four things follow from them: how Diff writes a field,
// what a policy may own, what a mapping may return, and the pages of the documentation. A test fails for a field of the
// contract that is in no table.
type Field struct {
	Name string
	Type Type
	// Required means that a row without the field has no meaning.
	Required bool
	// Flag means that NULL is a mistake, since it is neither true nor false.
	Flag bool
	// Whole means that an amount has no fraction.
	Whole bool
	// Fixed means that Stripe never changes the field, so another value means another price.
	Fixed bool
	// FixedOnceSet means that Stripe lets the field be set and added to. If a value that is set changes, or a currency
	// leaves currency_options, another price is needed.
	FixedOnceSet bool
	// Ownable means that a policy can name an owner for the field.
	Ownable bool
	// priced means that the field is part of a price's one amount, which is managed or left alone as a whole.
	priced bool
}

// productTable has every field of a product except its prices, in the order of Stripe's names.
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

// priceTable has every field of a price, in the order of Stripe's names.
var priceTable = []Field{
	{Name: "active", Type: TypeBoolean, Flag: true, Ownable: true},
	{Name: "billing_scheme", Type: TypeText, Fixed: true, priced: true},
	{Name: "currency", Type: TypeCurrency, Required: true, Fixed: true},
	{Name: "currency_options", Type: TypeStructure, FixedOnceSet: true, Ownable: true},
	{Name: "custom_unit_amount", Type: TypeStructure, Fixed: true, priced: true},
	{Name: "id", Type: TypeID, Required: true},
	{Name: "lookup_key", Type: TypeText, Ownable: true},
	{Name: "metadata", Type: TypeMetadata, Ownable: true},
	{Name: "nickname", Type: TypeText, Ownable: true},
	{Name: "recurring", Type: TypeStructure, Fixed: true},
	{Name: "tax_behavior", Type: TypeText, FixedOnceSet: true, Ownable: true},
	{Name: "tiers", Type: TypeStructure, Fixed: true, priced: true},
	{Name: "tiers_mode", Type: TypeText, Fixed: true, priced: true},
	{Name: "transform_quantity", Type: TypeStructure, Fixed: true},
	{Name: "unit_amount", Type: TypeAmount, Whole: true, Fixed: true, priced: true},
	{Name: "unit_amount_decimal", Type: TypeAmount, Fixed: true, priced: true},
}

// ProductFields returns every field of a product except its prices, in the order of their names. The caller owns the
// result.
func ProductFields() []Field { return slices.Clone(productTable) }

// PriceFields returns every field of a price, in the order of their names. The caller owns the result.
func PriceFields() []Field { return slices.Clone(priceTable) }

// EventShowsPriceField reports whether Stripe's event about a price has the whole new value of a field that changed. An
// event shows no structures.
func EventShowsPriceField(name string) bool {
	f, ok := findField(priceTable, name)
	return ok && !f.Fixed && f.Type != TypeStructure && f.Type != TypeID
}

// fieldNames returns the names of the fields of a table for which keep returns true, each with a prefix.
func fieldNames(table []Field, prefix string, keep func(Field) bool) []string {
	var out []string
	for _, f := range table {
		if keep(f) {
			out = append(out, prefix+f.Name)
		}
	}
	return out
}

func findField(table []Field, name string) (Field, bool) {
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

// copyField copies a field's value from one message to another. The messages may then share lists and structures, which
// this package never changes in place.
func copyField(into, from proto.Message, name string) {
	to, of := into.ProtoReflect(), from.ProtoReflect()
	field := to.Descriptor().Fields().ByName(protoreflect.Name(name))
	if !of.Has(field) {
		to.Clear(field)
		return
	}
	to.Set(field, of.Get(field))
}

// setProduct copies one field from another product.
func setProduct(p *catalogv1.Product, field string, from *catalogv1.Product) {
	copyField(p, from, field)
}

// setPrice copies one field from another price. Currency options never contain the price's own currency.
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

// keepStructure copies from another price all fields that Stripe never changes, and its currency options, which must
// fit them.
func keepStructure(p, from *catalogv1.Price) {
	for _, f := range priceTable {
		if f.Fixed || f.Name == "tax_behavior" {
			copyField(p, from, f.Name)
		}
	}
	setPrice(p, "currency_options", from)
}
