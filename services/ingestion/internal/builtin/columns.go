package builtin

import (
	"slices"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Columns of a built-in table, which have Stripe's names of the fields.
type Columns struct {
	names, types []string
}

// ProductColumns are the columns of driftless.products, and PriceColumns those of driftless.prices.
var (
	ProductColumns = columnsOf(catalog.ProductFields())
	PriceColumns   = columnsOf(catalog.PriceFields(), "product")
)

var sqlTypes = map[catalog.Type]string{
	catalog.TypeText: "text", catalog.TypeID: "text", catalog.TypeCurrency: "text", catalog.TypeBoolean: "boolean",
	catalog.TypeTexts: "text[]", catalog.TypeAmount: "numeric", catalog.TypeMetadata: "jsonb",
	catalog.TypeStructure: "jsonb",
}

func columnsOf(fields []catalog.Field, references ...string) Columns {
	var c Columns
	for _, name := range append([]string{"id"}, references...) {
		c.names, c.types = append(c.names, name), append(c.types, "text")
	}
	for _, f := range fields {
		if f.Name != "id" {
			c.names, c.types = append(c.names, f.Name), append(c.types, sqlTypes[f.Type])
		}
	}
	return c
}

// List returns the names, each with a prefix, separated by commas. It omits those in without.
func (c Columns) List(prefix string, without ...string) string {
	return c.join(func(name, _ string) string { return prefix + name }, without)
}

// Definitions returns the names with their types, for a record.
func (c Columns) Definitions() string {
	return c.join(func(name, typ string) string { return name + " " + typ }, nil)
}

// Assignments returns "name = @name" for each column except those in without.
func (c Columns) Assignments(without ...string) string {
	return c.join(func(name, _ string) string { return name + " = @" + name }, without)
}

func (c Columns) join(write func(name, typ string) string, without []string) string {
	var out []string
	for i, name := range c.names {
		if !slices.Contains(without, name) {
			out = append(out, write(name, c.types[i]))
		}
	}
	return strings.Join(out, ", ")
}
