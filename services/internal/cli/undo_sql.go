package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// undo is what gives the built-in tables the values that Stripe has.
type undo struct {
	desired  *catalogv1.Product
	observed *catalogv1.Observed

	rows []undoRow
	// unknown are the fields for which no statement is known.
	unknown []string
	// productSet are assignments of the product, and priceSet those of prices, by id.
	productSet []string
	priceSet   map[string][]string
	prices     []string
}

// undoRows returns the rows that undo the differences of a product, and the fields for which none is known. Stripe's
// values are those that the answer has.
func undoRows(p *controlv1.ProductDetail, differences []*meshv1.Difference) (rows []undoRow, unknown []string) {
	u := &undo{
		desired:  p.GetDesired().GetProduct(),
		observed: p.GetObserved(),
		priceSet: map[string][]string{},
	}
	if u.desired == nil {
		u.insertProduct()
		return u.rows, u.unknown
	}
	for _, d := range differences {
		if !u.add(d) {
			u.unknown = append(u.unknown, fieldOrProduct(d.GetField()))
		}
	}
	if len(u.productSet) > 0 {
		u.rows = append(u.rows, undoRow{table: "products", id: u.desired.GetId(), set: u.productSet})
	}
	for _, id := range u.prices {
		u.rows = append(u.rows, undoRow{table: "prices", id: id, set: u.priceSet[id]})
	}
	return u.rows, u.unknown
}

func fieldOrProduct(field string) string {
	if field == "" {
		return "the product itself"
	}
	return field
}

// add adds the statement or assignment that undoes one difference. It reports whether one is known.
func (u *undo) add(d *meshv1.Difference) bool {
	rest, ofPrice := strings.CutPrefix(d.GetField(), "prices.")
	if !ofPrice {
		if d.GetField() == "default_price" {
			return u.setDefault()
		}
		return assign(&u.productSet, d.GetField(), u.observed.GetProduct().ProtoReflect(), catalog.ProductFields())
	}
	id, field := u.priceAndField(rest)
	held := u.held(id)
	switch {
	case catalog.Kind(d.GetKind()) == catalog.Missing && u.wanted(id) != nil:
		u.rows = append(u.rows, undoRow{table: "prices", id: id, deletes: true})
		return true
	case held == nil || field == "":
		return false
	case u.wanted(id) == nil:
		u.insertPrice(held)
		return true
	}
	if !slices.Contains(u.prices, id) {
		u.prices = append(u.prices, id)
	}
	set := u.priceSet[id]
	known := assign(&set, field, held.ProtoReflect(), catalog.PriceFields())
	if u.priceSet[id] = set; len(set) == 0 {
		u.prices = slices.DeleteFunc(u.prices, func(x string) bool { return x == id })
	}
	return known
}

// setDefault makes the price that is Stripe's default the catalog's.
func (u *undo) setDefault() bool {
	byDefault := u.observed.GetProduct().GetDefaultPrice()
	id := catalog.FindPrice(u.observed, byDefault).GetPrice().GetId()
	switch {
	case byDefault == "":
		u.productSet = append(u.productSet, "default_price = NULL")
	case id == "":
		return false
	default:
		u.productSet = append(u.productSet, "default_price = "+quoteSQL(id))
	}
	return true
}

// priceAndField splits "mug-eur.unit_amount". The id of a price may contain dots.
func (u *undo) priceAndField(s string) (id, field string) {
	ids := []string{}
	for _, p := range u.desired.GetPrices() {
		ids = append(ids, p.GetId())
	}
	for _, p := range u.observed.GetPrices() {
		ids = append(ids, p.GetPrice().GetId())
	}
	for _, known := range ids {
		if rest, ok := strings.CutPrefix(s, known+"."); ok && known != "" && len(known) > len(id) {
			id, field = known, rest
		}
	}
	if id == "" {
		return s, ""
	}
	return id, field
}

func (u *undo) wanted(id string) *catalogv1.Price {
	for _, p := range u.desired.GetPrices() {
		if p.GetId() == id {
			return p
		}
	}
	return nil
}

// held returns Stripe's price with a catalog id, the active one if there are several.
func (u *undo) held(id string) (found *catalogv1.Price) {
	for _, p := range u.observed.GetPrices() {
		if p.GetPrice().GetId() == id && (found == nil || p.GetPrice().GetActive()) {
			found = p.GetPrice()
		}
	}
	return found
}

// insertProduct inserts the product again, with the active prices that the catalog had.
func (u *undo) insertProduct() {
	product := proto.CloneOf(u.observed.GetProduct())
	if product == nil {
		u.unknown = append(u.unknown, fieldOrProduct(""))
		return
	}
	product.Id = u.observed.GetProductId()
	product.DefaultPrice = catalog.FindPrice(u.observed, product.GetDefaultPrice()).GetPrice().GetId()
	u.insert("products", product.ProtoReflect(), catalog.ProductFields(), "")
	for _, p := range u.observed.GetPrices() {
		if p.GetPrice().GetActive() && p.GetPrice().GetId() != "" {
			u.insertPrice(p.GetPrice())
		}
	}
}

func (u *undo) insertPrice(p *catalogv1.Price) {
	u.insert("prices", p.ProtoReflect(), catalog.PriceFields(), u.observed.GetProductId())
}

// insert inserts a row with all fields that Stripe has. Driftless's own keys of metadata are not the catalog's.
func (u *undo) insert(table string, m protoreflect.Message, fields []catalog.Field, product string) {
	row := undoRow{table: table, inserts: true}
	if product != "" {
		row.set = []string{"product = " + quoteSQL(product)}
	}
	for _, f := range fields {
		if value, ok := literal(m, f); ok && value != "NULL" {
			row.set = append(row.set, f.Name+" = "+value)
		}
	}
	u.rows = append(u.rows, row)
}

// assign adds the assignment that gives a column the value of a message. It reports whether the column is known. Parts
// of a structure, such as recurring.interval, assign the whole structure.
func assign(set *[]string, field string, m protoreflect.Message, fields []catalog.Field) bool {
	name, key, _ := strings.Cut(field, ".")
	i := slices.IndexFunc(fields, func(f catalog.Field) bool { return f.Name == name })
	if i < 0 || name == "id" {
		return false
	}
	value, ok := literal(m, fields[i])
	if !ok {
		return false
	}
	assignment := name + " = " + value
	if name == "metadata" && key != "" {
		assignment = "metadata = " + withMetadataKey(m, key)
	}
	if i := slices.IndexFunc(*set, func(a string) bool { return strings.HasPrefix(a, name+" = ") }); i >= 0 {
		if name == "metadata" {
			// Another key of the same column.
			(*set)[i] = strings.Replace(assignment, "metadata = coalesce(metadata, '{}')",
				"metadata = ("+strings.TrimPrefix((*set)[i], "metadata = ")+")", 1)
		}
		return true
	}
	*set = append(*set, assignment)
	return true
}

// withMetadataKey returns the column metadata with the message's value of one key, or without the key.
func withMetadataKey(m protoreflect.Message, key string) string {
	value := m.Get(m.Descriptor().Fields().ByName("metadata")).Map().Get(protoreflect.ValueOfString(key).MapKey())
	if !value.IsValid() {
		return "coalesce(metadata, '{}') - " + quoteSQL(key)
	}
	pair, err := json.Marshal(map[string]string{key: value.String()})
	if err != nil {
		return "metadata"
	}
	return "coalesce(metadata, '{}') || " + quoteSQL(string(pair)) + "::jsonb"
}

// literal returns the value of a message's field as a literal of its column in the built-in tables.
func literal(m protoreflect.Message, f catalog.Field) (string, bool) {
	field := m.Descriptor().Fields().ByName(protoreflect.Name(f.Name))
	if field == nil {
		return "", false
	}
	if !m.Has(field) {
		return "NULL", true
	}
	switch v := m.Get(field); f.Type {
	case catalog.TypeBoolean:
		return strconv.FormatBool(v.Bool()), true
	case catalog.TypeAmount:
		return v.String(), amountPattern.MatchString(v.String())
	case catalog.TypeTexts:
		return textArray(v.List()), true
	case catalog.TypeMetadata, catalog.TypeStructure:
		return jsonLiteral(m, field)
	default:
		return quoteSQL(v.String()), true
	}
}

var (
	amountPattern = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	// numbersPattern are the amounts within structures, which the contract has as text.
	numbersPattern = regexp.MustCompile(
		`"(up_to|unit_amount|unit_amount_decimal|flat_amount|flat_amount_decimal|minimum|maximum|preset|divide_by)":"([0-9.]+)"`)
)

// textArray returns a list of texts, or of features with names.
func textArray(list protoreflect.List) string {
	items := make([]string, list.Len())
	for i := range items {
		if feature, ok := list.Get(i).Interface().(protoreflect.Message); ok {
			items[i] = quoteSQL(feature.Get(feature.Descriptor().Fields().ByName("name")).String())
		} else {
			items[i] = quoteSQL(list.Get(i).String())
		}
	}
	return "ARRAY[" + strings.Join(items, ", ") + "]"
}

// jsonLiteral returns a field as JSON, in the form that the built-in tables have.
func jsonLiteral(m protoreflect.Message, field protoreflect.FieldDescriptor) (string, bool) {
	alone := m.New()
	alone.Set(field, m.Get(field))
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(alone.Interface())
	if err != nil {
		return "", false
	}
	var object map[string]json.RawMessage
	var compact bytes.Buffer
	if json.Unmarshal(data, &object) != nil || json.Compact(&compact, object[string(field.Name())]) != nil {
		return "", false
	}
	text := compact.String()
	if field.Name() == "metadata" {
		var own map[string]string
		if json.Unmarshal([]byte(text), &own) != nil {
			return "", false
		}
		for key := range own {
			if strings.HasPrefix(key, "driftless_") {
				delete(own, key)
			}
		}
		kept, err := json.Marshal(own)
		if err != nil || len(own) == 0 {
			return "NULL", err == nil
		}
		text = string(kept)
	} else {
		text = numbersPattern.ReplaceAllString(text, `"$1":$2`)
	}
	return quoteSQL(text), true
}

// quoteSQL returns a text as a literal that no setting of the server reads in another way. Characters that a terminal
// does not show are escaped
// (https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE).
func quoteSQL(s string) string {
	escaped := false
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\'':
			b.WriteString("''")
		case r == '\\':
			escaped = true
			b.WriteString(`\\`)
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			escaped = true
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	if escaped {
		return "E'" + b.String() + "'"
	}
	return "'" + b.String() + "'"
}
