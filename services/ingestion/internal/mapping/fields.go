package mapping

import (
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
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

	identifier = kind{"text, uuid or an integer", slices.Concat(textOIDs, intOIDs, []uint32{pgtype.UUIDOID}), true}
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

// productColumns are the columns that a products query may return.
var productColumns = map[string]kind{
	"id": identifier, "name": text, "active": boolean, "description": text, "images": list, "marketing_features": list,
	"metadata": object, "package_dimensions": object, "shippable": boolean, "statement_descriptor": text, "tax_code": text,
	"unit_label": text, "url": text, "default_price": identifier,
}

// priceColumns are the columns that a prices query may return.
var priceColumns = map[string]kind{
	"id": identifier, "product": identifier, "active": boolean, "currency": text, "unit_amount": amount,
	"unit_amount_decimal": amount, "billing_scheme": text, "recurring": object, "tiers": object, "tiers_mode": text,
	"transform_quantity": object, "currency_options": object, "custom_unit_amount": object, "tax_behavior": text,
	"lookup_key": text, "nickname": text, "metadata": object,
}

// alwaysManaged are the columns without which a product or price means nothing, or that Diff never leaves alone.
var alwaysManaged = []string{"id", "product", "name", "currency"}
