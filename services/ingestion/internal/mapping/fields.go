package mapping

import (
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// kind is what a column may be.
type kind struct {
	// name says what the column must be, for messages.
	name string
	oids []uint32
	// enums: types that the database defines itself (enumerations, domains) are taken as text.
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
	// Not float: it cannot hold money.
	amount = kind{
		name: "an integer, numeric or text (never float)",
		oids: slices.Concat(intOIDs, textOIDs, []uint32{pgtype.NumericOID}),
	}
	object = kind{"jsonb", jsonOIDs, false}
	list   = kind{"text[] or jsonb", slices.Concat(textArrays, jsonOIDs), false}
)

func (k kind) takes(oid uint32) bool {
	const firstOwn = 16384 // below it are PostgreSQL's own types
	return slices.Contains(k.oids, oid) || k.enums && oid >= firstOwn
}

// column is a column that a query may return: what it must be, and where its value, as text, goes.
type column[R any] struct {
	kind
	set func(row *R, v value)
	// null says why the column must not be NULL; empty if it may be.
	null string
}

// notNull is for columns without which a product or price means nothing.
func (c column[R]) notNull(why string) column[R] {
	c.null = why
	return c
}

const (
	required = "must not be NULL or empty"
	// A NULL comes from an outer join or an expression over NULL more often than from somebody who means it.
	flag = "must be true or false; NULL is neither: use coalesce(..., false), or coalesce(..., true), in the query"
)

func textColumn[R any](k kind, field func(*R) *string) column[R] {
	return column[R]{kind: k, set: func(row *R, v value) { *field(row) = string(v.raw) }}
}

func boolColumn[R any](field func(*R) **bool) column[R] {
	return column[R]{kind: boolean, set: func(row *R, v value) {
		b, err := strconv.ParseBool(string(v.raw))
		if err != nil {
			v.faultf("must be true or false, not %s", v.shown())
			return
		}
		*field(row) = &b
	}}
}

// productColumns are the columns that a products query may return.
var productColumns = map[string]column[catalogv1.Product]{
	"id":          textColumn(identifier, func(p *catalogv1.Product) *string { return &p.Id }).notNull(required),
	"name":        textColumn(text, func(p *catalogv1.Product) *string { return &p.Name }).notNull(required),
	"active":      boolColumn(func(p *catalogv1.Product) **bool { return &p.Active }).notNull(flag),
	"description": textColumn(text, func(p *catalogv1.Product) *string { return &p.Description }),
	"images":      {kind: list, set: func(p *catalogv1.Product, v value) { p.Images = v.texts() }},
	"marketing_features": {kind: list, set: func(p *catalogv1.Product, v value) {
		for _, name := range v.texts() {
			p.MarketingFeatures = append(p.MarketingFeatures, &catalogv1.MarketingFeature{Name: name})
		}
	}},
	"metadata": {kind: object, set: func(p *catalogv1.Product, v value) { p.Metadata = v.metadata() }},
	"package_dimensions": {kind: object, set: func(p *catalogv1.Product, v value) {
		p.PackageDimensions = dimensions(v)
	}},
	"shippable":            boolColumn(func(p *catalogv1.Product) **bool { return &p.Shippable }),
	"statement_descriptor": textColumn(text, func(p *catalogv1.Product) *string { return &p.StatementDescriptor }),
	"tax_code":             textColumn(text, func(p *catalogv1.Product) *string { return &p.TaxCode }),
	"unit_label":           textColumn(text, func(p *catalogv1.Product) *string { return &p.UnitLabel }),
	"url":                  textColumn(text, func(p *catalogv1.Product) *string { return &p.Url }),
	"default_price":        textColumn(identifier, func(p *catalogv1.Product) *string { return &p.DefaultPrice }),
}

// priceRow is a price with the product it belongs to.
type priceRow struct {
	product string
	price   *catalogv1.Price
	// unitAmount is the value of that column, for faults.
	unitAmount value
}

// priceColumns are the columns that a prices query may return.
var priceColumns = map[string]column[priceRow]{
	"id":      textColumn(identifier, func(r *priceRow) *string { return &r.price.Id }).notNull(required),
	"product": textColumn(identifier, func(r *priceRow) *string { return &r.product }).notNull(required),
	"active":  boolColumn(func(r *priceRow) **bool { return &r.price.Active }).notNull(flag),
	"currency": {kind: text, null: required, set: func(r *priceRow, v value) {
		r.price.Currency = strings.ToLower(string(v.raw))
		if r.price.GetCurrency() == "" {
			v.faultf(required)
		}
	}},
	"unit_amount": {kind: amount, set: func(r *priceRow, v value) {
		r.price.UnitAmount, r.unitAmount = string(v.raw), v
	}},
	"unit_amount_decimal": textColumn(amount, func(r *priceRow) *string { return &r.price.UnitAmountDecimal }),
	"billing_scheme":      textColumn(text, func(r *priceRow) *string { return &r.price.BillingScheme }),
	"recurring":           {kind: object, set: func(r *priceRow, v value) { r.price.Recurring = recurring(v) }},
	"tiers":               {kind: object, set: func(r *priceRow, v value) { r.price.Tiers = tiers(v) }},
	"tiers_mode":          textColumn(text, func(r *priceRow) *string { return &r.price.TiersMode }),
	"transform_quantity":  {kind: object, set: func(r *priceRow, v value) { r.price.TransformQuantity = transform(v) }},
	"currency_options":    {kind: object, set: func(r *priceRow, v value) { r.price.CurrencyOptions = currencies(v) }},
	"custom_unit_amount":  {kind: object, set: func(r *priceRow, v value) { r.price.CustomUnitAmount = custom(v) }},
	"tax_behavior":        textColumn(text, func(r *priceRow) *string { return &r.price.TaxBehavior }),
	"lookup_key":          textColumn(text, func(r *priceRow) *string { return &r.price.LookupKey }),
	"nickname":            textColumn(text, func(r *priceRow) *string { return &r.price.Nickname }),
	"metadata":            {kind: object, set: func(r *priceRow, v value) { r.price.Metadata = v.metadata() }},
}

// amount folds the two columns of an amount into Stripe's field that fits: a numeric column may write whole amounts
// with decimals, as 1400.00.
func (r *priceRow) amount() {
	p := r.price
	p.CustomUnitAmount = chosen(p.GetCustomUnitAmount(), p)
	p.UnitAmount, p.UnitAmountDecimal = fitted(r.unitAmount, p.GetUnitAmount(), p.GetUnitAmountDecimal())
}

// alwaysManaged are the columns without which a product or price means nothing, or that Diff never leaves alone.
var alwaysManaged = []string{"id", "product", "name", "currency"}
