package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// consoleProduct is the id of a product.
func consoleProduct(n int) string { return fmt.Sprintf("sku-%06d", n) }

// consoleID returns an id as random as those of Stripe.
func consoleID(prefix string, n int) string {
	sum := sha256.Sum256([]byte(prefix + strconv.Itoa(n)))
	return prefix + hex.EncodeToString(sum[:12])
}

// A product out of fifty is not in sync.
const (
	consoleDrifted   = 0
	consolePending   = 50
	consoleDead      = 100
	consoleHeld      = 150
	consoleDashboard = 200
	consolePeriod    = 250
)

// consoleSides returns both sides of a product with two prices.
func consoleSides(n int) (*catalogv1.ProductChange, *catalogv1.Observed) {
	id := consoleProduct(n)
	things := []string{"Chair", "Table", "Lamp", "Shelf", "Desk"}
	product := &catalogv1.Product{
		Id:          id,
		Name:        fmt.Sprintf("%s %s %d", []string{"Oak", "Pine", "Steel"}[n%3], things[n%5], n/15),
		Description: "Words about " + id + ", as a shop has them: what it is, and what it is good for.",
		Active:      proto.Bool(true),
		Metadata: map[string]string{
			"color": []string{"red", "green", "blue"}[n%7%3], "sku": strconv.Itoa(900000 + n),
		},
	}
	held := proto.CloneOf(product)
	for i, interval := range []string{"month", "year"} {
		product.Prices = append(product.Prices, &catalogv1.Price{
			Id:         id + "-" + interval,
			Currency:   "eur",
			UnitAmount: strconv.Itoa(1400 * (i*9 + 1)),
			LookupKey:  id + "-" + interval,
			Recurring:  &catalogv1.Recurring{Interval: interval},
			Active:     proto.Bool(true),
		})
	}
	observed := &catalogv1.Observed{
		Account: topology.DefaultAccount, ProductId: id, Version: uint64(n) + 1, StripeId: consoleID("prod_", n),
		Product: held, Whole: true,
	}
	for i, price := range product.GetPrices() {
		observed.Prices = append(observed.Prices, &catalogv1.ObservedPrice{
			StripeId: consoleID("price_", 2*n+i), Price: proto.CloneOf(price),
		})
	}
	desired := &catalogv1.ProductChange{
		Account: topology.DefaultAccount, ProductId: id, Version: uint64(n) + 1, Product: product,
		Operation: catalogv1.Operation_OPERATION_UPSERT, CommittedAt: timestamppb.New(time.Unix(1_750_000_000, 0)),
	}
	switch n % consolePeriod {
	case consoleDrifted, consoleDashboard:
		held.Name += " (changed)"
	case consolePending, consoleDead:
		product.Name += " (new)"
	case consoleHeld:
		product.Prices[0].UnitAmount = "140"
		observed.Hold = &catalogv1.Hold{
			Version: desired.GetVersion(), Since: timestamppb.New(time.Unix(1_760_000_000, 0)),
			Findings: []*catalogv1.Finding{{
				Rule: "amount_change", PriceId: id + "-month", Before: "14.00 EUR / month", After: "1.40 EUR / month",
				Message: "the amount of price " + id + "-month falls by 90%, more than 50%",
			}},
		}
	}
	return desired, observed
}

// fill makes the ledger's tables and fills them, unless an earlier run did.
func (b *consoleBench) fill(ctx context.Context) error {
	var found int
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM pg_tables
		WHERE schemaname = 'driftless_ledger' AND tablename = 'product'`).Scan(&found); err != nil {
		return fmt.Errorf("look for the ledger: %w", err)
	}
	if found > 0 {
		if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM driftless_ledger.product`).Scan(&b.result.Products); err != nil {
			return fmt.Errorf("count the products: %w", err)
		}
		b.Products = b.result.Products
		return nil
	}
	// Reconciliation makes the tables.
	if err := b.start(ctx, topology.Reconciliation); err != nil {
		return err
	}
	if err := b.services[topology.Reconciliation].stop(); err != nil {
		return err
	}
	for from := 0; from < b.Products; from += consoleBatch {
		if err := b.fillProducts(ctx, from, min(from+consoleBatch, b.Products)); err != nil {
			return fmt.Errorf("fill the ledger: %w", err)
		}
	}
	for _, statement := range consoleRest {
		if _, err := b.pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("fill the ledger: %w", err)
		}
	}
	return b.fillLetters(ctx)
}

// consoleBatch is how many products one statement stores.
const consoleBatch = 5000

func (b *consoleBench) fillProducts(ctx context.Context, from, to int) error {
	var ids, desiredJSON, observedJSON []string
	var desired, observed [][]byte
	asJSON := protojson.MarshalOptions{UseProtoNames: true}
	for n := from; n < to; n++ {
		d, o := consoleSides(n)
		db, err := proto.Marshal(d)
		if err != nil {
			return err
		}
		ob, err := proto.Marshal(o)
		if err != nil {
			return err
		}
		ids, desired, observed = append(ids, consoleProduct(n)), append(desired, db), append(observed, ob)
		desiredJSON, observedJSON = append(desiredJSON, asJSON.Format(d)), append(observedJSON, asJSON.Format(o))
	}
	_, err := b.pool.Exec(ctx, `INSERT INTO driftless_ledger.product (account, product_id, desired, observed,
			desired_json, observed_json, state, differs, unsettled, differs_since, desired_since, observed_since, held_by,
			held_since, desired_version, observed_version, dead_version, open_drift)
		SELECT $6, id, d, o, dj::jsonb, oj::jsonb,
			CASE r WHEN 0 THEN 'drifted' WHEN 50 THEN 'pending' WHEN 100 THEN 'dead' WHEN 150 THEN 'held'
				WHEN 200 THEN 'drifted' ELSE 'in_sync' END,
			r % 50 = 0, r % 50 = 0, CASE WHEN r % 50 = 0 THEN now() - n * interval '1 s' END,
			now() - n * 3 * interval '1 s', now() - n * 3 * interval '1 s',
			CASE r WHEN 150 THEN ARRAY['amount_change'] ELSE '{}' END, CASE r WHEN 150 THEN now() - interval '1 h' END,
			n + 1, CASE WHEN r IN (50, 100, 150) THEN n ELSE n + 1 END, CASE r WHEN 100 THEN n + 1 END,
			CASE WHEN r IN (0, 200) THEN 1 ELSE 0 END
		FROM (SELECT id, d, o, dj, oj, substr(id, 5)::int AS n, substr(id, 5)::int % 250 AS r
			FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::text[]) x(id, d, o, dj, oj)) x`,
		ids, desired, observed, desiredJSON, observedJSON, topology.DefaultAccount)
	return err
}

// consoleRest fills the other tables from the products: drift, and three entries of history for each.
var consoleRest = []string{
	`INSERT INTO driftless_ledger.drift (account, product_id, kind, field, catalog_value, stripe_value, action, since,
		caused_by, state)
	SELECT account, product_id, 'field', 'name', desired_json -> 'product' ->> 'name',
		observed_json -> 'product' ->> 'name', 'report', differs_since,
		CASE substr(product_id, 5)::int % 250 WHEN 200 THEN 'dashboard' ELSE 'api_key' END, 'found'
	FROM driftless_ledger.product WHERE state = 'drifted'`,
	`INSERT INTO driftless_ledger.history (event_id, account, product_id, at, kind, version, detail, trace_id, data)
	SELECT e.kind || ':' || product_id, account, product_id, desired_since + e.after, e.kind, desired_version, '',
		md5(product_id), e.data::jsonb
	FROM driftless_ledger.product, (VALUES
		('catalog_change', interval '0 s', '{"changes": [{"field": "name", "new": "Oak Chair"}]}'),
		('applied', interval '1 s',
			'{"steps": [{"step": "create_product", "stripe_request_id": "req_1"}]}'),
		('confirmed', interval '2 s', '{}')) e(kind, after, data)`,
}

func (b *consoleBench) fillLetters(ctx context.Context) error {
	for n := consoleDead; n < b.Products; n += consolePeriod {
		id, now := consoleProduct(n), timestamppb.Now()
		letter, err := proto.Marshal(&meshv1.DeadLetter{
			Id: "letter-" + id, Service: topology.Push, Account: topology.DefaultAccount, ProductId: id,
			Version: uint64(n) + 1, Reason: "refused_by_stripe", Message: "Invalid url: must be an https URL",
			Field: "url", StripeCode: "url_invalid", StripeRequestId: "req_1", Step: "update_product", Attempts: 1,
			FirstAt: now, LastAt: now,
		})
		if err != nil {
			return fmt.Errorf("encode a dead letter: %w", err)
		}
		if _, err := b.pool.Exec(ctx, `INSERT INTO driftless_ledger.dead_letter
				(id, account, product_id, service, version, letter, at, reason, field)
			VALUES ($1, $2, $3, 'push', $4, $5, now(), 'refused_by_stripe', 'url')`,
			"letter-"+id, topology.DefaultAccount, id, n+1, letter); err != nil {
			return fmt.Errorf("fill the ledger: %w", err)
		}
	}
	return nil
}

// settle waits until reconciliation has stored the ids of all products, which it does once for those that it did not
// store itself. The tables are then as after weeks of work.
func (b *consoleBench) settle(ctx context.Context) error {
	for left := 1; left > 0; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
		if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM driftless_ledger.product WHERE
			identified_desired <> desired_sequence OR identified_observed <> observed_revision`).Scan(&left); err != nil {
			return fmt.Errorf("count the products without ids: %w", err)
		}
	}
	for _, table := range []string{"product", "listed_product", "product_text", "history", "drift", "identifier"} {
		if _, err := b.pool.Exec(ctx, "VACUUM (ANALYZE) driftless_ledger."+table); err != nil {
			return fmt.Errorf("vacuum the ledger: %w", err)
		}
	}
	return nil
}
