package mapping

import (
	"encoding/json"
	"slices"
	"strconv"

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

	identifier = kind{"text, uuid, an integer or numeric", slices.Concat(textOIDs, intOIDs, []uint32{pgtype.UUIDOID, pgtype.NumericOID}), true}
	text       = kind{"text", textOIDs, true}
	boolean    = kind{"boolean", []uint32{pgtype.BoolOID}, false}
	// Not float: it cannot hold money.
	amount = kind{"an integer, numeric or text (never float)", slices.Concat(intOIDs, textOIDs, []uint32{pgtype.NumericOID}), false}
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
	set func(row *R, value []byte) error
}

func textColumn[R any](k kind, field func(*R) *string) column[R] {
	return column[R]{k, func(row *R, value []byte) error {
		*field(row) = string(value)
		return nil
	}}
}

func boolColumn[R any](field func(*R) **bool) column[R] {
	return column[R]{boolean, func(row *R, value []byte) error {
		b, err := strconv.ParseBool(string(value))
		*field(row) = &b
		return err
	}}
}

func jsonColumn[R, J any](k kind, take func(*R, J)) column[R] {
	return column[R]{k, func(row *R, value []byte) error {
		var j J
		if err := json.Unmarshal(value, &j); err != nil {
			return err
		}
		take(row, j)
		return nil
	}}
}

// productColumns are the columns that a products query may return.
var productColumns = map[string]column[catalogv1.Product]{
	"id":          textColumn(identifier, func(p *catalogv1.Product) *string { return &p.Id }),
	"name":        textColumn(text, func(p *catalogv1.Product) *string { return &p.Name }),
	"active":      boolColumn(func(p *catalogv1.Product) **bool { return &p.Active }),
	"description": textColumn(text, func(p *catalogv1.Product) *string { return &p.Description }),
	"images":      jsonColumn(list, func(p *catalogv1.Product, images []string) { p.Images = images }),
	"marketing_features": jsonColumn(list, func(p *catalogv1.Product, features nameList) {
		for _, name := range features {
			p.MarketingFeatures = append(p.MarketingFeatures, &catalogv1.MarketingFeature{Name: name})
		}
	}),
	"metadata": jsonColumn(object, func(p *catalogv1.Product, m map[string]scalar) { p.Metadata = texts(m) }),
	"package_dimensions": jsonColumn(object, func(p *catalogv1.Product, d *dimensionsRow) {
		if d != nil {
			p.PackageDimensions = &catalogv1.PackageDimensions{
				Height: string(d.Height), Length: string(d.Length), Weight: string(d.Weight), Width: string(d.Width),
			}
		}
	}),
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
}

// priceColumns are the columns that a prices query may return.
var priceColumns = map[string]column[priceRow]{
	"id":                  textColumn(identifier, func(r *priceRow) *string { return &r.price.Id }),
	"product":             textColumn(identifier, func(r *priceRow) *string { return &r.product }),
	"active":              boolColumn(func(r *priceRow) **bool { return &r.price.Active }),
	"currency":            textColumn(text, func(r *priceRow) *string { return &r.price.Currency }),
	"unit_amount":         textColumn(amount, func(r *priceRow) *string { return &r.price.UnitAmount }),
	"unit_amount_decimal": textColumn(amount, func(r *priceRow) *string { return &r.price.UnitAmountDecimal }),
	"billing_scheme":      textColumn(text, func(r *priceRow) *string { return &r.price.BillingScheme }),
	"recurring": jsonColumn(object, func(r *priceRow, x *recurringRow) {
		if x != nil {
			r.price.Recurring = &catalogv1.Recurring{Interval: x.Interval, IntervalCount: x.IntervalCount, UsageType: x.UsageType, Meter: x.Meter}
		}
	}),
	"tiers":      jsonColumn(object, func(r *priceRow, t []tierRow) { r.price.Tiers = tiers(t) }),
	"tiers_mode": textColumn(text, func(r *priceRow) *string { return &r.price.TiersMode }),
	"transform_quantity": jsonColumn(object, func(r *priceRow, t *transformRow) {
		if t != nil {
			r.price.TransformQuantity = &catalogv1.TransformQuantity{DivideBy: t.DivideBy, Round: t.Round}
		}
	}),
	"currency_options":   jsonColumn(object, func(r *priceRow, o map[string]*currencyRow) { r.price.CurrencyOptions = currencies(o) }),
	"custom_unit_amount": jsonColumn(object, func(r *priceRow, c *customRow) { r.price.CustomUnitAmount = custom(c) }),
	"tax_behavior":       textColumn(text, func(r *priceRow) *string { return &r.price.TaxBehavior }),
	"lookup_key":         textColumn(text, func(r *priceRow) *string { return &r.price.LookupKey }),
	"nickname":           textColumn(text, func(r *priceRow) *string { return &r.price.Nickname }),
	"metadata":           jsonColumn(object, func(r *priceRow, m map[string]scalar) { r.price.Metadata = texts(m) }),
}

// alwaysManaged are the columns without which a product or price means nothing, or that Diff never leaves alone.
var alwaysManaged = []string{"id", "product", "name", "currency"}
