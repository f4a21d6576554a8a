package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Mapping says in SQL how to read products and prices from the operator's tables. It is under the key "catalog" of the
// YAML file. Without it, or without its queries, the built-in tables are used: see IsBuiltIn.
type Mapping struct {
	// Products is a query whose columns are Stripe's fields of a product: id and name, and any others.
	Products string `yaml:"products"`
	// Prices is a query whose columns are Stripe's fields of a price: id, product, currency and an amount.
	Prices string `yaml:"prices"`
	// Watch are the tables whose changes concern products.
	Watch []WatchedTable `yaml:"watch"`
	// WriteBack are statements that write Stripe's values to the tables.
	WriteBack WriteBack `yaml:"write_back"`
	// WriteIDs are columns of the operator's tables that get Stripe's ids. Nil writes none.
	WriteIDs *WriteIDs `yaml:"write_ids"`
	// Checks find products that must not go to Stripe as they are.
	Checks []ProductCheck `yaml:"checks"`
	// CompareEvery is the time between two comparisons of all tables with CATALOG. Defaults to 24 hours.
	CompareEvery time.Duration `yaml:"compare_every"`
	// RereadEvery is the time between comparisons for queries whose result depends on the time, such as a price list
	// that starts at an hour. These comparisons run at full speed. 0 means that no result depends on the time.
	RereadEvery time.Duration `yaml:"reread_every"`
	// RowSecurity is RowSecurityRefuse or RowSecurityAllow. Defaults to RowSecurityRefuse.
	RowSecurity string `yaml:"row_security"`
}

// WriteBack are the statements that write Stripe's values to a product or price in the operator's tables. Parameters
// have the names of the columns of the mapping's queries: @id, @description. @changed lists the columns that changed in
// Stripe. A change without a statement is not written back. In the file, product and price are either one statement or
// statements by column.
type WriteBack struct {
	// Product changes a product. It runs once for each write-back, even of several fields.
	Product string `yaml:"-"`
	// ProductFields are statements by the column that they change. Product is then empty.
	ProductFields map[string]string `yaml:"-"`
	// Price changes a price.
	Price string `yaml:"-"`
	// PriceFields are statements by the column that they change. Price is then empty.
	PriceFields map[string]string `yaml:"-"`
	// ImportProduct inserts a product that only Stripe has, before its prices.
	ImportProduct string `yaml:"import_product"`
	// ImportPrice inserts a price.
	ImportPrice string `yaml:"import_price"`
}

// WriteIDs are the columns that get Stripe's ids of products and prices. Nil writes none of them.
type WriteIDs struct {
	Products *IDColumn `yaml:"products"`
	Prices   *IDColumn `yaml:"prices"`
}

// IDColumn is a column that gets Stripe's id.
type IDColumn struct {
	Table string `yaml:"table"`
	// Key is the column with the catalog's id.
	Key string `yaml:"key"`
	// Column gets Stripe's id.
	Column string `yaml:"column"`
}

func (w *WriteIDs) check() error {
	if w == nil {
		return nil
	}
	if w.Products == nil && w.Prices == nil {
		return errors.New("write_ids must have products, prices, or both, each with table, key and column")
	}
	if err := w.Products.check("products"); err != nil {
		return err
	}
	return w.Prices.check("prices")
}

func (c *IDColumn) check(key string) error {
	if c != nil && (strings.TrimSpace(c.Table) == "" || strings.TrimSpace(c.Key) == "" ||
		strings.TrimSpace(c.Column) == "") {
		return fmt.Errorf("write_ids.%s must have table, key (the column with the catalog's id) and column "+
			"(the one that gets Stripe's id)", key)
	}
	return nil
}

// WatchedTable is a table whose changes concern products. Exactly one of ProductID and Products is set.
type WatchedTable struct {
	Table string `yaml:"table"`
	// ProductID is the column with the product's id, or an SQL expression over the row's columns: "'album-' ||
	// album_id".
	ProductID string `yaml:"product_id"`
	// Products is a query that returns the ids of the products that a row concerns. It runs for the old and for the new
	// row. @column is a value of the row.
	Products string `yaml:"products"`
	// Where is an SQL condition over the row's columns. Other rows concern no product.
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
	if w.Product, w.ProductFields, err = parseStatements("product", file.Product); err != nil {
		return err
	}
	w.Price, w.PriceFields, err = parseStatements("price", file.Price)
	return err
}

// parseStatements returns the one statement for all columns, or the statements by column. The error names
// the first wrong column in alphabetical order.
func parseStatements(key string, value any) (whole string, byColumn map[string]string, err error) {
	switch value := value.(type) {
	case nil:
		return "", nil, nil
	case string:
		return value, nil, nil
	case map[string]any:
		byColumn = map[string]string{}
		for _, column := range slices.Sorted(maps.Keys(value)) {
			text, ok := value[column].(string)
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

// IsBuiltIn reports whether the built-in tables are used: the mapping is nil, or has only checks, write_ids and
// intervals.
func (m *Mapping) IsBuiltIn() bool {
	if m == nil {
		return true
	}
	// An empty key catalog, or one with a part of a mapping only, is a mistake. So it is not built-in: check refuses
	// it.
	only := Mapping{Checks: m.Checks, WriteIDs: m.WriteIDs, CompareEvery: m.CompareEvery, RereadEvery: m.RereadEvery}
	return reflect.DeepEqual(*m, only) && !reflect.DeepEqual(*m, Mapping{})
}

func (m *Mapping) check() error {
	switch {
	case m.CompareEvery < 0 || m.RereadEvery < 0:
		return errors.New("compare_every and reread_every must not be negative")
	case m.IsBuiltIn():
		return m.WriteIDs.check()
	case strings.TrimSpace(m.Products) == "":
		return errors.New("products must be a query")
	case strings.TrimSpace(m.Prices) == "":
		return errors.New("prices must be a query")
	case len(m.Watch) == 0:
		return errors.New("watch must have at least one table: without it no change is captured")
	}
	for i, w := range m.Watch {
		switch {
		case strings.TrimSpace(w.Table) == "":
			return fmt.Errorf("watch[%d] must have table", i)
		case (strings.TrimSpace(w.ProductID) == "") == (strings.TrimSpace(w.Products) == ""):
			return fmt.Errorf(
				"watch[%d] (%s) must have either product_id, the column with the product's id, or products, a query "+
					"that returns the ids of the products that a row concerns", i, w.Table)
		}
	}
	if m.RowSecurity != "" && m.RowSecurity != RowSecurityRefuse && m.RowSecurity != RowSecurityAllow {
		return fmt.Errorf("row_security must be %s or %s", RowSecurityRefuse, RowSecurityAllow)
	}
	return m.WriteIDs.check()
}

// parameterPattern matches the named parameters of a statement, also in strings and comments. Ingestion asks the
// database whether the statement works.
var parameterPattern = regexp.MustCompile(`@([A-Za-z_]\w*)`)

// CheckWriteBack returns an error if a field cannot be written back: the mapping has no statement for it, or the
// statement does not use it. The field has Stripe's name, with the prefix "prices." for fields of prices:
// "description", "metadata.color", "prices.nickname". A nil mapping means the built-in tables, where every field can be
// written back.
func (m *Mapping) CheckWriteBack(field string) error {
	if m.IsBuiltIn() {
		return nil
	}
	query := "products"
	column, ofPrice := strings.CutPrefix(field, "prices.")
	if ofPrice {
		query = "prices"
	}
	column, _, _ = strings.Cut(column, ".")
	key, statement := m.WriteBack.statement(ofPrice, column)
	uses := slices.ContainsFunc(parameterPattern.FindAllStringSubmatch(statement, -1),
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

// statement returns the statement that changes a column, "" if there is none, and its key in the file.
func (w *WriteBack) statement(ofPrice bool, column string) (key, statement string) {
	key, whole, byColumn := "write_back.product", w.Product, w.ProductFields
	if ofPrice {
		key, whole, byColumn = "write_back.price", w.Price, w.PriceFields
	}
	if byColumn != nil {
		return key + "." + column, byColumn[column]
	}
	return key, whole
}

// CheckInsert returns an error if a "product" or a "price" cannot be inserted into the operator's tables, because the
// mapping has no statement for it. A nil mapping means the built-in tables, where both can be inserted.
func (m *Mapping) CheckInsert(object string) error {
	if m.IsBuiltIn() {
		return nil
	}
	statement := map[string]string{"product": m.WriteBack.ImportProduct, "price": m.WriteBack.ImportPrice}[object]
	if strings.TrimSpace(statement) == "" {
		return fmt.Errorf("a %s cannot be inserted: set catalog.write_back.import_%s to the statement that inserts one "+
			"(see docs/mapping.md)", object, object)
	}
	return nil
}

// CheckImport returns an error if products that only Stripe has cannot be imported, because the mapping has no
// statement that inserts them. A nil mapping means the built-in tables, where they can be imported.
func (m *Mapping) CheckImport() error {
	for _, object := range []string{"product", "price"} {
		if err := m.CheckInsert(object); err != nil {
			return fmt.Errorf("products cannot be imported: %w", err)
		}
	}
	return nil
}
