// Package mapping reads products from the catalog database with the operator's two queries. At start it checks that
// they return Stripe's fields in usable types. Then it converts their rows to the contract's messages. In the snapshot
// of each read it also runs the operator's checks. It does not use the write-ahead log, and writes nothing.
package mapping

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/internal/config"
)

// Mapping is a checked mapping, ready to read with. Safe for concurrent use.
type Mapping struct {
	// pool is nil if the mapping reads only within a transaction.
	pool     *pgxpool.Pool
	products query[productRow]
	prices   query[priceRow]
	// firstIDs and moreIDs list product ids in order, from the first and after a given one.
	firstIDs, moreIDs string
	unmanaged         []string
	checks            []*productCheck
	fingerprint       string
}

// New checks the queries against the database. Its errors name the query, the column and what to change.
func New(ctx context.Context, pool *pgxpool.Pool, m *config.Mapping) (*Mapping, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the catalog database: %w", err)
	}
	defer conn.Release()
	out, err := newMapping(ctx, connection{Conn: conn.Conn()}, m)
	if err != nil {
		return nil, err
	}
	out.pool = pool
	return out, nil
}

func newMapping(ctx context.Context, conn connection, m *config.Mapping) (*Mapping, error) {
	products, err := describe(ctx, conn.Conn, "products", m.Products, productColumns, "id", "name")
	if err != nil {
		return nil, err
	}
	prices, err := describe(ctx, conn.Conn, "prices", m.Prices, priceColumns, "id", "product", "currency")
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc([]string{"unit_amount", "unit_amount_decimal", "tiers", "custom_unit_amount"}, prices.has) {
		return nil, errors.New("the mapping's prices query returns no amount: " +
			"add a column unit_amount (or unit_amount_decimal, tiers or custom_unit_amount)")
	}
	out := &Mapping{}
	if out.products, err = products.queryBy(ctx, conn.Conn, "id"); err != nil {
		return nil, err
	}
	if out.prices, err = prices.queryBy(ctx, conn.Conn, "product"); err != nil {
		return nil, err
	}
	for _, c := range slices.Sorted(maps.Keys(productColumns)) {
		if !products.has(c) && !slices.Contains(alwaysManaged, c) {
			out.unmanaged = append(out.unmanaged, c)
		}
	}
	for _, c := range slices.Sorted(maps.Keys(priceColumns)) {
		// Stripe's two amount fields count as one, and a mapping returns either.
		if !prices.has(c) && !slices.Contains(alwaysManaged, c) && c != "unit_amount" && c != "unit_amount_decimal" {
			out.unmanaged = append(out.unmanaged, "prices."+c)
		}
	}
	out.firstIDs, out.moreIDs = listQueries(m.Products, out.products.id)
	out.fingerprint = fingerprint(m, products.types, prices.types)
	out.checks, err = newProductChecks(ctx, conn, m.Checks, out.products.id)
	return out, err
}

// Fingerprint changes with everything in the mapping that affects reading: the queries, the columns that they return,
// the watched tables, and the checks.
func (m *Mapping) Fingerprint() string { return m.fingerprint }

func fingerprint(m *config.Mapping, types ...map[string]string) string {
	sum := sha256.New()
	write := func(texts ...string) {
		for _, t := range texts {
			fmt.Fprintf(sum, "%d:%s", len(t), t)
		}
	}
	write(trimQuery(m.Products), trimQuery(m.Prices))
	for _, w := range m.Watch {
		write(w.Table, w.ProductID, w.Products, w.Where)
	}
	for _, c := range m.Checks {
		write("check", c.Name, trimQuery(c.Query), c.Message, c.Severity, c.OnError)
	}
	for _, of := range types {
		for _, column := range slices.Sorted(maps.Keys(of)) {
			write(column, of[column])
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Unmanaged returns the fields that the queries do not return, as ProductChange names them.
func (m *Mapping) Unmanaged() []string { return m.unmanaged }
