package mapping

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// kind is a set of types that a column may have.
type kind struct {
	// name is what the column must be, for messages.
	name string
	oids []uint32
	// enums reports whether types that the database defines itself (enumerations, domains) count as text.
	enums bool
}

var (
	textOIDs   = []uint32{pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID}
	intOIDs    = []uint32{pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID}
	jsonOIDs   = []uint32{pgtype.JSONOID, pgtype.JSONBOID}
	textArrays = []uint32{pgtype.TextArrayOID, pgtype.VarcharArrayOID}

	identifier = kind{
		name:  "text, uuid, an integer or numeric",
		oids:  slices.Concat(textOIDs, intOIDs, []uint32{pgtype.UUIDOID, pgtype.NumericOID}),
		enums: true,
	}
	text    = kind{"text", textOIDs, true}
	boolean = kind{"boolean", []uint32{pgtype.BoolOID}, false}
	// float is excluded, because it cannot hold money exactly.
	amount = kind{
		name: "an integer, numeric or text (never float)",
		oids: slices.Concat(intOIDs, textOIDs, []uint32{pgtype.NumericOID}),
	}
	object = kind{"jsonb", jsonOIDs, false}
	list   = kind{"text[] or jsonb", slices.Concat(textArrays, jsonOIDs), false}

	duration = kind{"an interval, or text such as 24h", slices.Concat(textOIDs, []uint32{pgtype.IntervalOID}), false}
)

func (k kind) takes(oid uint32) bool {
	const firstOwn = 16384 // below it are PostgreSQL's own types
	return slices.Contains(k.oids, oid) || k.enums && oid >= firstOwn
}

// column is a column that a query may return, with the types that it may have and a function that stores its value.
type column[R any] struct {
	kind
	set func(row *R, v value)
	// null is why the column must not be NULL, empty if it may be.
	null string
}

const (
	required = "must not be NULL or empty"
	// A NULL comes from an outer join or an expression over NULL more often than from intent.
	flag = "must be true or false; NULL is neither: use coalesce(..., false), or coalesce(..., true), in the query"
)

// kinds has the types that a column may have, by the type of its field.
var kinds = map[catalog.Type]kind{
	catalog.TypeText: text, catalog.TypeID: identifier, catalog.TypeCurrency: text, catalog.TypeBoolean: boolean,
	catalog.TypeTexts: list, catalog.TypeAmount: amount, catalog.TypeMetadata: object, catalog.TypeStructure: object,
}

// columnOf returns the column of a field. Its value is stored in the message that a row makes.
func columnOf[R any](f catalog.Field, message func(*R) protoreflect.Message) column[R] {
	c := column[R]{kind: kinds[f.Type], set: func(row *R, v value) { setField(message(row), f, v) }}
	switch {
	case f.Required:
		c.null = required
	case f.Flag:
		c.null = flag
	}
	return c
}

// setField sets a message's field to a column's value.
func setField(m protoreflect.Message, f catalog.Field, v value) {
	field := m.Descriptor().Fields().ByName(protoreflect.Name(f.Name))
	switch f.Type {
	case catalog.TypeBoolean:
		b, err := strconv.ParseBool(string(v.raw))
		if err != nil {
			v.faultf("must be true or false, not %s", v.shown())
			return
		}
		m.Set(field, protoreflect.ValueOfBool(b))
	case catalog.TypeCurrency:
		if len(v.raw) == 0 {
			v.faultf(required)
		}
		m.Set(field, protoreflect.ValueOfString(strings.ToLower(string(v.raw))))
	case catalog.TypeTexts:
		if texts := v.texts(); len(texts) > 0 {
			m.Set(field, protoreflect.ValueOfList(textList(m.NewField(field).List(), texts)))
		}
	case catalog.TypeMetadata:
		metadata := m.NewField(field).Map()
		for key, text := range v.metadata() {
			metadata.Set(protoreflect.ValueOfString(key).MapKey(), protoreflect.ValueOfString(text))
		}
		if metadata.Len() > 0 {
			m.Set(field, protoreflect.ValueOfMap(metadata))
		}
	case catalog.TypeStructure:
		if s := structure(f.Name, m.NewField(field).Message(), v); s != nil {
			m.Set(field, protoreflect.ValueOfMessage(s))
		}
	case catalog.TypeText, catalog.TypeID, catalog.TypeAmount:
		m.Set(field, protoreflect.ValueOfString(string(v.raw)))
	}
}

// textList fills a list of texts, or of messages with a name, like marketing_features.
func textList(l protoreflect.List, texts []string) protoreflect.List {
	for _, text := range texts {
		item := l.NewElement()
		if m, ok := item.Interface().(protoreflect.Message); ok {
			m.Set(m.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString(text))
		} else {
			item = protoreflect.ValueOfString(text)
		}
		l.Append(item)
	}
	return l
}

// productColumns has the columns that a products query may return.
var productColumns = func() map[string]column[productRow] {
	out := map[string]column[productRow]{
		archiveAfterColumn: {kind: duration, set: func(r *productRow, v value) { r.archiveAfter = v.duration() }},
	}
	for _, f := range catalog.ProductFields() {
		out[f.Name] = columnOf(f, func(r *productRow) protoreflect.Message { return r.product.ProtoReflect() })
	}
	return out
}()

// archiveAfterColumn says how long replaced prices of the product stay active. It is no field of Stripe's.
const archiveAfterColumn = "archive_after"

// productRow is a product with what the query says about its sync.
type productRow struct {
	product *catalogv1.Product
	// archiveAfter is nil if the query does not say it.
	archiveAfter *time.Duration
}

// priceRow is a price with the product that it belongs to.
type priceRow struct {
	product string
	price   *catalogv1.Price
	// unitAmount is the value of that column, for faults.
	unitAmount value
}

// priceColumns has the columns that a prices query may return. Tiers, currency options and custom amounts have their
// own rules.
var priceColumns = func() map[string]column[priceRow] {
	out := map[string]column[priceRow]{
		"product": {kind: identifier, null: required, set: func(r *priceRow, v value) { r.product = string(v.raw) }},
	}
	for _, f := range catalog.PriceFields() {
		out[f.Name] = columnOf(f, func(r *priceRow) protoreflect.Message { return r.price.ProtoReflect() })
	}
	set := func(name string, set func(r *priceRow, v value)) {
		c := out[name]
		c.set = set
		out[name] = c
	}
	set("unit_amount", func(r *priceRow, v value) { r.price.UnitAmount, r.unitAmount = string(v.raw), v })
	set("tiers", func(r *priceRow, v value) { r.price.Tiers = tiers(v) })
	set("currency_options", func(r *priceRow, v value) { r.price.CurrencyOptions = currencies(v) })
	set("custom_unit_amount", func(r *priceRow, v value) { r.price.CustomUnitAmount = customAmount(v) })
	return out
}()

// amount stores the two columns of an amount in the one of Stripe's fields that fits. A numeric column may have
// decimals in whole amounts, such as 1400.00.
func (r *priceRow) amount() {
	p := r.price
	p.CustomUnitAmount = chosen(p.GetCustomUnitAmount(), p)
	p.UnitAmount, p.UnitAmountDecimal = fitAmount(r.unitAmount, p.GetUnitAmount(), p.GetUnitAmountDecimal())
}

// alwaysManaged has the columns that a product or price needs, or that Diff never ignores, and those that are no fields
// of Stripe's.
var alwaysManaged = []string{"id", "product", "name", "currency", archiveAfterColumn}
