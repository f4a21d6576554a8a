package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Mapping tells in SQL how the operator's tables are products and prices. It is under the key "catalog" of the
// YAML file; without it the built-in tables are used.
type Mapping struct {
	// Products is a query whose columns are Stripe's fields of a product: id and name, and any others.
	Products string `yaml:"products"`
	// Prices is a query whose columns are Stripe's fields of a price: id, product, currency and an amount.
	Prices string `yaml:"prices"`
	// Watch are the tables whose changes concern products.
	Watch []WatchedTable `yaml:"watch"`
	// WriteBack are statements that change the tables as Stripe was changed.
	WriteBack WriteBack `yaml:"write_back"`
	// CompareEvery is the time between two comparisons of all tables with CATALOG. Defaults to 24 hours.
	CompareEvery time.Duration `yaml:"compare_every"`
	// RereadEvery is the same for queries whose result depends on the time, such as a price list that starts at an
	// hour: the comparison then runs at full speed. 0 means that time changes nothing.
	RereadEvery time.Duration `yaml:"reread_every"`
	// RowSecurity is RowSecurityRefuse, the default, or RowSecurityAllow.
	RowSecurity string `yaml:"row_security"`
}

// WriteBack are the statements by which a product, or a price, in the operator's tables gets Stripe's values.
// Parameters are named for the columns of the mapping's queries: @id, @description; @changed lists those that Stripe
// has changed. One that is left out cannot be done. In the file, product and price are either one statement or
// statements by column.
type WriteBack struct {
	// Product changes a product, once for each time that some of its fields are written back.
	Product string `yaml:"-"`
	// ProductFields are statements by the column that they change; Product is empty then.
	ProductFields map[string]string `yaml:"-"`
	// Price changes a price.
	Price string `yaml:"-"`
	// PriceFields are to Price as ProductFields are to Product.
	PriceFields map[string]string `yaml:"-"`
	// ImportProduct inserts a product that is in Stripe only, before its prices.
	ImportProduct string `yaml:"import_product"`
	// ImportPrice inserts a price.
	ImportPrice string `yaml:"import_price"`
}

// WatchedTable is a table whose changes concern products. Exactly one of ProductID and Products is given.
type WatchedTable struct {
	Table string `yaml:"table"`
	// ProductID is the column that holds the product's id, or an SQL expression over the row's columns: "'album-' ||
	// album_id".
	ProductID string `yaml:"product_id"`
	// Products is a query that returns the ids of the products that a row concerns. It is run for the old and for the
	// new row; @column is a value of the row.
	Products string `yaml:"products"`
	// Where is an SQL condition over the row's columns. Rows that do not meet it concern no product.
	Where string `yaml:"where"`
}

// UnmarshalYAML reads a statement, or statements by column.
func (w *WriteBack) UnmarshalYAML(unmarshal func(any) error) error {
	var file struct {
		Product       any    `yaml:"product"`
		Price         any    `yaml:"price"`
		ImportProduct string `yaml:"import_product"`
		ImportPrice   string `yaml:"import_price"`
	}
	if err := unmarshal(&file); err != nil {
		return err
	}
	w.ImportProduct, w.ImportPrice = file.ImportProduct, file.ImportPrice
	var err error
	if w.Product, w.ProductFields, err = statements("product", file.Product); err != nil {
		return err
	}
	w.Price, w.PriceFields, err = statements("price", file.Price)
	return err
}

func statements(key string, value any) (whole string, byColumn map[string]string, err error) {
	switch value := value.(type) {
	case nil:
		return "", nil, nil
	case string:
		return value, nil, nil
	case map[string]any:
		byColumn = map[string]string{}
		for column, statement := range value {
			text, ok := statement.(string)
			if !ok || strings.TrimSpace(text) == "" {
				return "", nil, fmt.Errorf("write_back.%s.%s must be a statement", key, column)
			}
			byColumn[column] = text
		}
		return "", byColumn, nil
	default:
		return "", nil,
			fmt.Errorf("write_back.%s must be a statement, or statements by the column that they change", key)
	}
}

func (m *Mapping) check() error {
	switch {
	case strings.TrimSpace(m.Products) == "":
		return errors.New("products must be a query")
	case strings.TrimSpace(m.Prices) == "":
		return errors.New("prices must be a query")
	case len(m.Watch) == 0:
		return errors.New("watch must name at least one table, or no change would be seen")
	}
	for i, w := range m.Watch {
		switch {
		case strings.TrimSpace(w.Table) == "":
			return fmt.Errorf("watch[%d] must have table", i)
		case (strings.TrimSpace(w.ProductID) == "") == (strings.TrimSpace(w.Products) == ""):
			return fmt.Errorf(
				"watch[%d] (%s) must have either product_id, the column with the product's id, or products, a query that returns the ids of the products that a row concerns", i, w.Table)
		}
	}
	if m.RowSecurity != "" && m.RowSecurity != RowSecurityRefuse && m.RowSecurity != RowSecurityAllow {
		return fmt.Errorf("row_security must be %s or %s", RowSecurityRefuse, RowSecurityAllow)
	}
	if m.CompareEvery < 0 || m.RereadEvery < 0 {
		return errors.New("compare_every and reread_every must not be negative")
	}
	return nil
}

// parameter finds the named parameters of a statement. It takes what is in a string or a comment for one, too: whether
// a statement works is known once ingestion has asked the database.
var parameter = regexp.MustCompile(`@([A-Za-z_]\w*)`)

// WritesBack says why a field cannot be written back: the mapping has no statement for it, or one that does not use it.
// The field has Stripe's name, with "prices." in front for those of prices: "description", "metadata.color",
// "prices.nickname". A nil mapping is that of the built-in tables, where every field can.
func (m *Mapping) WritesBack(field string) error {
	if m == nil {
		return nil
	}
	key, statement, query, byColumn := "write_back.product", m.WriteBack.Product, "products", m.WriteBack.ProductFields
	column, ofPrice := strings.CutPrefix(field, "prices.")
	if ofPrice {
		key, statement, query, byColumn = "write_back.price", m.WriteBack.Price, "prices", m.WriteBack.PriceFields
	}
	column, _, _ = strings.Cut(column, ".")
	if byColumn != nil {
		key, statement = key+"."+column, byColumn[column]
	}
	uses := slices.ContainsFunc(parameter.FindAllStringSubmatch(statement, -1),
		func(found []string) bool { return found[1] == column })
	switch {
	case strings.TrimSpace(statement) == "":
		return fmt.Errorf(
			"%s cannot be written back: set catalog.%s to the statement that changes it (see docs/mapping.md)", field,
			key)
	case !uses:
		return fmt.Errorf("%s cannot be written back: catalog.%s does not use @%s; the %s query must return it, too",
			field, key, column, query)
	}
	return nil
}

// Imports says why products that are in Stripe only cannot be imported: the mapping has no statement that inserts them.
// A nil mapping is that of the built-in tables, where they can.
func (m *Mapping) Imports() error {
	switch {
	case m == nil:
		return nil
	case strings.TrimSpace(m.WriteBack.ImportProduct) == "":
		return errors.New(
			"products cannot be imported: set catalog.write_back.import_product to the statement that inserts one (see docs/mapping.md)")
	case strings.TrimSpace(m.WriteBack.ImportPrice) == "":
		return errors.New(
			"products cannot be imported: set catalog.write_back.import_price to the statement that inserts a price (see docs/mapping.md)")
	}
	return nil
}
