package catalog

import "slices"

// Kind is the kind of a difference.
type Kind string

// The kinds. The table kinds describes them.
const (
	Missing           Kind = "missing"
	Extra             Kind = "extra"
	FieldDiffers      Kind = "field"
	PriceStructure    Kind = "price_structure"
	WrongDefaultPrice Kind = "default_price"
	ArchivedInStripe  Kind = "archived_in_stripe"
	ArchivedInCatalog Kind = "archived_in_catalog"
)

// KindInfo describes a kind of differences. Messages, metrics, pages, the console and the command line use the same
// name.
type KindInfo struct {
	Kind Kind
	// Title is a heading of the console.
	Title string
	// Field and Meaning are for docs/policy.md. Field says which fields a difference of the kind can name.
	Field, Meaning string
	// verb is what a repair does to the price that differs.
	verb Verb
	// bare means that the verb says it all, so that an outline does not list the difference.
	bare bool
}

// kinds is the one table of kinds. A test checks that it has every constant.
var kinds = []KindInfo{
	{
		Kind: Missing, Title: "Missing in Stripe",
		Field:   "the product, or `prices.ID`",
		Meaning: "the catalog has the product, or Stripe has no active price for one of the catalog's",
		verb:    Created, bare: true,
	},
	{
		Kind: Extra, Title: "In Stripe only",
		Field:   "the product, or `prices.ID`",
		Meaning: "in Stripe only (see `extras`), or a second active price for one of the catalog's",
		verb:    Archived, bare: true,
	},
	{Kind: FieldDiffers, Title: "A field differs", Field: "any other", Meaning: "the values differ", verb: Updated},
	{
		Kind: PriceStructure, Title: "A price differs in what Stripe never changes",
		Field:   "`prices.ID.FIELD`",
		Meaning: "a field that Stripe never changes differs, so another price must replace the price",
		verb:    Replaced,
	},
	{
		Kind: WrongDefaultPrice, Title: "Another default price",
		Field:   "`default_price`",
		Meaning: "another price is the default",
		verb:    Updated,
	},
	{
		Kind: ArchivedInStripe, Title: "Archived in Stripe",
		Field:   "`active`, `prices.ID.active`",
		Meaning: "archived in Stripe, active in the catalog",
		verb:    Unarchived, bare: true,
	},
	{
		Kind: ArchivedInCatalog, Title: "Archived in the catalog",
		Field:   "`active`, `prices.ID.active`",
		Meaning: "active in Stripe, archived in the catalog or gone from it",
		verb:    Archived, bare: true,
	},
}

// info returns the kind's row of the table.
func (k Kind) info() KindInfo {
	i := slices.IndexFunc(kinds, func(info KindInfo) bool { return info.Kind == k })
	if i < 0 {
		return KindInfo{Kind: k, verb: Updated}
	}
	return kinds[i]
}

// Kinds returns all kinds of differences. The caller owns the result.
func Kinds() []KindInfo { return slices.Clone(kinds) }

// KindNames returns the names of all kinds of differences. The caller owns the result.
func KindNames() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k.Kind)
	}
	return names
}
