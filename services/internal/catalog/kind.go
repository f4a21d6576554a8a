package catalog

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
}

// kinds is the one table of kinds. A test checks that it has every constant.
var kinds = []KindInfo{
	{
		Missing, "Missing in Stripe",
		"the product, or `prices.ID`",
		"the catalog has the product, or Stripe has no active price for one of the catalog's",
	},
	{
		Extra, "In Stripe only",
		"the product, or `prices.ID`",
		"in Stripe only (see `extras`), or a second active price for one of the catalog's",
	},
	{FieldDiffers, "A field differs", "any other", "the values differ"},
	{
		PriceStructure, "A price differs in what Stripe never changes",
		"`prices.ID.FIELD`",
		"a field that Stripe never changes differs, so another price must replace the price",
	},
	{WrongDefaultPrice, "Another default price", "`default_price`", "another price is the default"},
	{
		ArchivedInStripe, "Archived in Stripe",
		"`active`, `prices.ID.active`",
		"archived in Stripe, active in the catalog",
	},
	{
		ArchivedInCatalog, "Archived in the catalog",
		"`active`, `prices.ID.active`",
		"active in Stripe, archived in the catalog or gone from it",
	},
}

// Kinds returns all kinds of differences. The caller owns the result.
func Kinds() []KindInfo { return append([]KindInfo(nil), kinds...) }

// KindNames returns the names of all kinds of differences. The caller owns the result.
func KindNames() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k.Kind)
	}
	return names
}
