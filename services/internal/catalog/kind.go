package catalog

// kinds is the list of kinds. A test checks that it has every constant.
var kinds = []Kind{
	Missing, Extra, FieldDiffers, PriceStructure, WrongDefaultPrice, ArchivedInStripe, ArchivedInCatalog,
}

// KindNames returns the names of all kinds of differences. The caller owns the result.
func KindNames() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return names
}
