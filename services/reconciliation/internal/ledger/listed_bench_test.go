package ledger_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// benchProducts is the size of the catalog that the lists of a console must be quick for.
const benchProducts = 200_000

// stripeID returns an id as random as those of Stripe.
func stripeID(prefix string, n int) string {
	sum := sha256.Sum256([]byte(prefix + strconv.Itoa(n)))
	return prefix + hex.EncodeToString(sum[:12])
}

// benchSides returns both sides of a product with two prices, as bytes and as JSON.
func benchSides(b *testing.B, n int) (desired, observed []byte, desiredJSON, observedJSON string) {
	b.Helper()
	id, things := fmt.Sprintf("sku-%06d", n), []string{"Chair", "Table", "Lamp", "Shelf", "Desk"}
	product := &catalogv1.Product{
		Id:       id,
		Name:     fmt.Sprintf("%s %s %d", []string{"Oak", "Pine", "Steel"}[n%3], things[n%5], n/15),
		Active:   new(true),
		Metadata: map[string]string{"color": []string{"red", "green", "blue"}[n%7%3], "sku": strconv.Itoa(900000 + n)},
	}
	held := proto.CloneOf(product)
	for i, interval := range []string{"month", "year"} {
		product.Prices = append(product.Prices, &catalogv1.Price{
			Id: id + "-" + interval, Currency: "eur", UnitAmount: strconv.Itoa(1400 * (i*9 + 1)),
			LookupKey: id + "-" + interval, Recurring: &catalogv1.Recurring{Interval: interval}, Active: new(true),
		})
	}
	change := &catalogv1.ProductChange{Account: "default", ProductId: id, Version: uint64(n), Product: product}
	o := &catalogv1.Observed{
		Account: "default", ProductId: id, Version: uint64(n), StripeId: stripeID("prod_", n), Product: held,
	}
	for i, price := range product.GetPrices() {
		o.Prices = append(o.Prices, &catalogv1.ObservedPrice{StripeId: stripeID("price_", 2*n+i), Price: price})
	}
	for _, side := range []struct {
		message proto.Message
		bytes   *[]byte
		json    *string
	}{{change, &desired, &desiredJSON}, {o, &observed, &observedJSON}} {
		var err error
		*side.bytes, err = proto.Marshal(side.message)
		require.NoError(b, err)
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(side.message)
		require.NoError(b, err)
		*side.json = string(text)
	}
	return desired, observed, desiredJSON, observedJSON
}

// plantMany stores products as the ledger does, one in fifty of them with something to decide.
func plantMany(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	for from := 0; from < benchProducts; from += 5000 {
		var ids, desiredJSON, observedJSON []string
		var desired, observed [][]byte
		for n := from; n < from+5000; n++ {
			d, o, dj, oj := benchSides(b, n)
			ids, desired, observed = append(ids, fmt.Sprintf("sku-%06d", n)), append(desired, d), append(observed, o)
			desiredJSON, observedJSON = append(desiredJSON, dj), append(observedJSON, oj)
		}
		_, err := pool.Exec(b.Context(), `INSERT INTO driftless_ledger.product (account, product_id, desired, observed,
				desired_json, observed_json, state, differs_since, desired_since, held_by)
			SELECT 'default', id, d, o, dj::jsonb, oj::jsonb, CASE n % 250 WHEN 0 THEN 'drifted' WHEN 50 THEN 'pending'
				WHEN 100 THEN 'dead' WHEN 150 THEN 'held' WHEN 200 THEN 'drifted' ELSE 'in_sync' END,
				CASE WHEN n % 50 = 0 THEN now() - n * interval '1 s' END, now() - n * 3 * interval '1 s',
				CASE n % 250 WHEN 150 THEN ARRAY['amount_change'] ELSE '{}' END
			FROM (SELECT id, d, o, dj, oj, substr(id, 5)::int AS n
				FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::text[]) x(id, d, o, dj, oj)) x`,
			ids, desired, observed, desiredJSON, observedJSON)
		require.NoError(b, err)
	}
	for _, statement := range []string{
		`INSERT INTO driftless_ledger.drift
			(account, product_id, kind, field, catalog_value, stripe_value, action, since, caused_by, state)
		SELECT 'default', product_id, (ARRAY['field', 'amount', 'extra'])[1 + n % 3], 'f', '', '', 'repair', now(),
			(ARRAY['dashboard', 'api_key', 'unknown'])[1 + n % 3], 'found'
		FROM (SELECT product_id, row_number() OVER () AS n FROM driftless_ledger.product WHERE state = 'drifted') p`,
		`INSERT INTO driftless_ledger.dead_letter (id, account, product_id, service, version, letter, at, reason)
		SELECT product_id, 'default', product_id, 'push', 1, '', now(), 'stripe_refused'
		FROM driftless_ledger.product WHERE state = 'dead'`,
		`VACUUM ANALYZE driftless_ledger.product`, `VACUUM ANALYZE driftless_ledger.listed_product`,
		`VACUUM ANALYZE driftless_ledger.product_text`, `ANALYZE driftless_ledger.drift`,
	} {
		_, err := pool.Exec(b.Context(), statement)
		require.NoError(b, err)
	}
}

// p99 returns the time that 99 of 100 calls take at most.
func p99(b *testing.B, call func(n int) error) time.Duration {
	b.Helper()
	times := make([]time.Duration, b.N)
	for n := range times {
		start := time.Now()
		require.NoError(b, call(n))
		times[n] = time.Since(start)
	}
	slices.Sort(times)
	return times[(len(times)*99-1)/100]
}

// BenchmarkLists measures what a console asks for, on 200,000 products, against a bare read of 100 rows by their
// primary key. Run it with -benchtime 300x: p99-ms is that of all runs, and x-bare how many bare reads it is.
func BenchmarkLists(b *testing.B) {
	url := localtest.Postgres(b)
	l := open(b, b.Context(), url, "default")
	b.Cleanup(l.Close)
	pool := localtest.Pool(b, url)
	plantMany(b, pool)
	var bare time.Duration
	b.Run("bare", func(b *testing.B) {
		bare = p99(b, func(n int) error { return readBare(b.Context(), pool, n) })
		b.ReportMetric(bare.Seconds()*1000, "p99-ms")
	})
	drifted := ledger.ProductFilter{States: []ledger.State{ledger.Drifted}}
	amounts := ledger.ProductFilter{DriftKinds: []string{"amount"}, Causes: []string{"api_key"}}
	filters := []struct {
		name   string
		filter func(n int) ledger.ProductFilter
	}{
		{"all", func(int) ledger.ProductFilter { return ledger.ProductFilter{} }},
		{"state", func(int) ledger.ProductFilter { return drifted }},
		{"drift", func(int) ledger.ProductFilter { return amounts }},
		{"id", func(n int) ledger.ProductFilter {
			return ledger.ProductFilter{Search: stripeID("price_", n*613%benchProducts)}
		}},
		{"words", func(n int) ledger.ProductFilter {
			return ledger.ProductFilter{Search: fmt.Sprintf("table oak %d", n*7%1000)}
		}},
		{"wide", func(int) ledger.ProductFilter { return ledger.ProductFilter{Search: "sku"} }},
		{"wide-drifted", func(int) ledger.ProductFilter {
			return ledger.ProductFilter{Search: "color:red", States: drifted.States}
		}},
	}
	for _, f := range filters {
		for _, sort := range []ledger.Sort{
			ledger.SortID, ledger.SortName, ledger.SortDiffersSince,
			ledger.SortChangedAt,
		} {
			b.Run("page/"+f.name+"/"+string(sort), func(b *testing.B) {
				report(b, bare, func(n int) error {
					_, _, err := l.Page(b.Context(), f.filter(n), ledger.Page{
						Sort:       sort,
						Descending: n%2 == 0,
						Limit:      100,
					})
					return err
				})
			})
		}
		b.Run("count/"+f.name, func(b *testing.B) {
			report(b, bare, func(n int) error {
				_, err := l.CountProducts(b.Context(), f.filter(n))
				return err
			})
		})
		b.Run("facets/"+f.name, func(b *testing.B) {
			report(b, bare, func(n int) error {
				_, err := l.CountFacets(b.Context(), f.filter(n))
				return err
			})
		})
	}
	b.Run("page/deep", func(b *testing.B) {
		report(b, bare, func(n int) error {
			_, _, err := l.Page(b.Context(), ledger.ProductFilter{}, ledger.Page{
				Sort: ledger.SortName, Limit: 100, Backwards: n%2 == 0,
				From: &ledger.Place{Key: "pine desk 7000", ID: "sku-105004"},
			})
			return err
		})
	})
}

// readBare reads 100 rows of products by the primary key, anywhere in the table.
func readBare(ctx context.Context, pool *pgxpool.Pool, n int) error {
	rows, err := pool.Query(ctx, `SELECT product_id, state, desired, observed FROM driftless_ledger.product
		WHERE account = 'default' AND product_id > $1 ORDER BY product_id LIMIT 100`,
		fmt.Sprintf("sku-%06d", n*7919%benchProducts))
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return rows.Err()
}

func report(b *testing.B, bare time.Duration, call func(n int) error) {
	b.Helper()
	t := p99(b, call)
	b.ReportMetric(t.Seconds()*1000, "p99-ms")
	b.ReportMetric(t.Seconds()/bare.Seconds(), "x-bare")
}
