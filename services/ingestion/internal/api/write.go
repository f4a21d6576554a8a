package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/telemetry"
)

// The rows of a batch come as one JSON array each. They are locked in the order of their ids, so that overlapping
// batches wait for each other instead of deadlocking; rows that are the same already are not written.
const (
	upsertProducts = `INSERT INTO driftless.products AS p (id, name, active, description, images, marketing_features, metadata,
	package_dimensions, shippable, statement_descriptor, tax_code, unit_label, url, default_price)
SELECT id, name, coalesce(active, true), description, images, marketing_features, metadata,
	package_dimensions, shippable, statement_descriptor, tax_code, unit_label, url, default_price
FROM jsonb_to_recordset($1) AS r(id text, name text, active boolean, description text, images text[], marketing_features text[], metadata jsonb,
	package_dimensions jsonb, shippable boolean, statement_descriptor text, tax_code text, unit_label text, url text, default_price text)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET (name, active, description, images, marketing_features, metadata,
	package_dimensions, shippable, statement_descriptor, tax_code, unit_label, url, default_price) =
	(excluded.name, excluded.active, excluded.description, excluded.images, excluded.marketing_features, excluded.metadata,
	excluded.package_dimensions, excluded.shippable, excluded.statement_descriptor, excluded.tax_code, excluded.unit_label, excluded.url, excluded.default_price)
WHERE (p.name, p.active, p.description, p.images, p.marketing_features, p.metadata,
	p.package_dimensions, p.shippable, p.statement_descriptor, p.tax_code, p.unit_label, p.url, p.default_price) IS DISTINCT FROM
	(excluded.name, excluded.active, excluded.description, excluded.images, excluded.marketing_features, excluded.metadata,
	excluded.package_dimensions, excluded.shippable, excluded.statement_descriptor, excluded.tax_code, excluded.unit_label, excluded.url, excluded.default_price)
RETURNING id, xmax = 0`

	movedPrices = `SELECT p.id, p.product FROM driftless.prices p
JOIN jsonb_to_recordset($1) AS r(id text, product text) ON r.id = p.id WHERE r.product <> p.product`

	deletePrices = `DELETE FROM driftless.prices p WHERE p.product = ANY($1) AND NOT p.id = ANY($2)`

	upsertPrices = `INSERT INTO driftless.prices AS p (id, product, active, currency, unit_amount, unit_amount_decimal, billing_scheme,
	recurring, tiers, tiers_mode, transform_quantity, currency_options, custom_unit_amount, tax_behavior, lookup_key, nickname, metadata)
SELECT id, product, coalesce(active, true), currency, unit_amount, unit_amount_decimal, billing_scheme,
	recurring, tiers, tiers_mode, transform_quantity, currency_options, custom_unit_amount, tax_behavior, lookup_key, nickname, metadata
FROM jsonb_to_recordset($1) AS r(id text, product text, active boolean, currency text, unit_amount numeric, unit_amount_decimal numeric,
	billing_scheme text, recurring jsonb, tiers jsonb, tiers_mode text, transform_quantity jsonb, currency_options jsonb,
	custom_unit_amount jsonb, tax_behavior text, lookup_key text, nickname text, metadata jsonb)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET (active, currency, unit_amount, unit_amount_decimal, billing_scheme,
	recurring, tiers, tiers_mode, transform_quantity, currency_options, custom_unit_amount, tax_behavior, lookup_key, nickname, metadata) =
	(excluded.active, excluded.currency, excluded.unit_amount, excluded.unit_amount_decimal, excluded.billing_scheme,
	excluded.recurring, excluded.tiers, excluded.tiers_mode, excluded.transform_quantity, excluded.currency_options,
	excluded.custom_unit_amount, excluded.tax_behavior, excluded.lookup_key, excluded.nickname, excluded.metadata)
WHERE (p.active, p.currency, p.unit_amount, p.unit_amount_decimal, p.billing_scheme, p.recurring, p.tiers, p.tiers_mode,
	p.transform_quantity, p.currency_options, p.custom_unit_amount, p.tax_behavior, p.lookup_key, p.nickname, p.metadata) IS DISTINCT FROM
	(excluded.active, excluded.currency, excluded.unit_amount, excluded.unit_amount_decimal, excluded.billing_scheme,
	excluded.recurring, excluded.tiers, excluded.tiers_mode, excluded.transform_quantity, excluded.currency_options,
	excluded.custom_unit_amount, excluded.tax_behavior, excluded.lookup_key, excluded.nickname, excluded.metadata)`
)

// upsert writes a batch in one transaction. A price that belongs to a product outside the call is a fault, and
// nothing is written.
func (s *server) upsert(ctx context.Context, products []*catalogv1.Product) ([]*ingestv1.UpsertedProduct, []*ingestv1.FieldViolation, error) {
	rows, err := rowsOf(products)
	if err != nil {
		return nil, nil, err
	}
	created := map[string]bool{}
	var faults []*ingestv1.FieldViolation
	err = s.transaction(ctx, func(tx pgx.Tx) error {
		found, err := tx.Query(ctx, upsertProducts, rows.products)
		if err != nil {
			return fmt.Errorf("write products: %w", err)
		}
		var id string
		var isNew bool
		if _, err := pgx.ForEachRow(found, []any{&id, &isNew}, func() error { created[id] = isNew; return nil }); err != nil {
			return fmt.Errorf("write products: %w", err)
		}
		if faults, err = moved(ctx, tx, rows); err != nil || len(faults) > 0 {
			return errors.Join(err, errNothing)
		}
		if _, err := tx.Exec(ctx, deletePrices, rows.productIDs, rows.priceIDs); err != nil {
			return fmt.Errorf("remove prices: %w", err)
		}
		if _, err := tx.Exec(ctx, upsertPrices, rows.prices); err != nil {
			return fmt.Errorf("write prices: %w", err)
		}
		return nil
	})
	if err != nil && (len(faults) == 0 || !errors.Is(err, errNothing)) {
		return nil, nil, err
	}
	out := make([]*ingestv1.UpsertedProduct, len(products))
	for i, p := range products {
		out[i] = &ingestv1.UpsertedProduct{Id: p.GetId(), Created: created[p.GetId()]}
	}
	return out, faults, nil
}

// errNothing rolls a transaction back without being a failure.
var errNothing = errors.New("nothing is written")

// transaction runs change with the caller's trace in the log beside it.
func (s *server) transaction(ctx context.Context, change func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error { //nolint:wrapcheck // change's own errors say what failed
		if trace := telemetry.Traceparent(ctx); trace != "" {
			if _, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, 'traceparent', $1)", trace); err != nil {
				return fmt.Errorf("write the trace into the log: %w", err)
			}
		}
		return change(tx)
	})
}

func moved(ctx context.Context, tx pgx.Tx, rows *batchRows) ([]*ingestv1.FieldViolation, error) {
	found, err := tx.Query(ctx, movedPrices, rows.prices)
	if err != nil {
		return nil, fmt.Errorf("look for prices: %w", err)
	}
	var faults []*ingestv1.FieldViolation
	var price, owner string
	_, err = pgx.ForEachRow(found, []any{&price, &owner}, func() error {
		faults = append(faults, &ingestv1.FieldViolation{Field: "prices.id", Message: fmt.Sprintf("price %s belongs to product %s", price, owner)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for prices: %w", err)
	}
	return faults, nil
}

// archive sets active to false; it writes nothing if one of the products is missing, and says which.
func (s *server) archive(ctx context.Context, ids []string) (missing []string, err error) {
	err = s.transaction(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT id FROM driftless.products WHERE id = ANY($1) ORDER BY id FOR UPDATE", ids)
		if err != nil {
			return fmt.Errorf("find products: %w", err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("find products: %w", err)
		}
		for _, id := range ids {
			if !slices.Contains(found, id) {
				missing = append(missing, id)
			}
		}
		if len(missing) > 0 {
			return errNothing
		}
		if _, err := tx.Exec(ctx, "UPDATE driftless.products SET active = false WHERE id = ANY($1) AND active", ids); err != nil {
			return fmt.Errorf("archive products: %w", err)
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return missing, err
}

// batchRows are the rows of a batch as the statements take them.
type batchRows struct {
	products, prices     []byte
	productIDs, priceIDs []string
}

func rowsOf(products []*catalogv1.Product) (*batchRows, error) {
	out := &batchRows{priceIDs: []string{}}
	var productRows, priceRows []map[string]any
	for _, p := range products {
		row, err := row(p)
		if err != nil {
			return nil, err
		}
		delete(row, "prices")
		if len(p.GetMarketingFeatures()) > 0 {
			names := make([]string, len(p.GetMarketingFeatures()))
			for i, f := range p.GetMarketingFeatures() {
				names[i] = f.GetName()
			}
			row["marketing_features"] = names
		}
		productRows = append(productRows, row)
		out.productIDs = append(out.productIDs, p.GetId())
		for _, price := range p.GetPrices() {
			row, err := priceRow(price, p.GetId())
			if err != nil {
				return nil, err
			}
			priceRows = append(priceRows, row)
			out.priceIDs = append(out.priceIDs, price.GetId())
		}
	}
	byID := func(a, b map[string]any) int { return cmp.Compare(fmt.Sprint(a["id"]), fmt.Sprint(b["id"])) }
	slices.SortFunc(productRows, byID)
	slices.SortFunc(priceRows, byID)
	if priceRows == nil {
		priceRows = []map[string]any{}
	}
	var err error
	if out.products, err = json.Marshal(productRows); err != nil {
		return nil, fmt.Errorf("encode products: %w", err)
	}
	if out.prices, err = json.Marshal(priceRows); err != nil {
		return nil, fmt.Errorf("encode prices: %w", err)
	}
	return out, nil
}

func priceRow(p *catalogv1.Price, product string) (map[string]any, error) {
	r, err := row(p)
	if err != nil {
		return nil, err
	}
	r["product"] = product
	return r, nil
}

// row is a message with the columns' names; what is empty is NULL.
func row(m proto.Message) (map[string]any, error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode a row: %w", err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("encode a row: %w", err)
	}
	return out, nil
}
