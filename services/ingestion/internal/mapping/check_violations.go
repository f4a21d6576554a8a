package mapping

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
)

// Strays returns a failure for each check that Postgres refuses, or that returns rows without a product: their id is
// NULL, or the products query does not return it. Reads cannot see such rows, because they ask for the products at
// hand. A check that takes too long for the whole catalog, or fails for a row, has none here.
func (m *Mapping) Strays(ctx context.Context) ([]CheckFailure, error) {
	out, _, err := m.strays(ctx)
	return out, err
}

// strays is Strays, and also returns the names of the checks that came to no result.
func (m *Mapping) strays(ctx context.Context) (out []CheckFailure, unproven []string, err error) {
	for _, c := range m.checks {
		failure, err := m.straysOf(ctx, c)
		switch {
		case err == nil && failure != nil:
			out = append(out, *failure)
		case err == nil:
		case code(err) == "":
			return nil, nil, fmt.Errorf("read the rows of check %s: %w", c.Name, err)
		case strings.HasPrefix(code(err), classSyntaxOrAccess):
			message, sqlState := describeFailure(err)
			out = append(out, CheckFailure{Check: c.Name, All: true, Message: message, Code: sqlState})
		default:
			unproven = append(unproven, c.Name)
		}
	}
	return out, unproven, nil
}

func (m *Mapping) straysOf(ctx context.Context, c *productCheck) (*CheckFailure, error) {
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	table, err := c.prepared(ctx, connection{Conn: conn.Conn()})
	if err != nil {
		if isConnectionError(ctx, connection{Conn: conn.Conn()}, err) {
			return nil, err
		}
		message, code := describeFailure(err)
		return &CheckFailure{Check: c.Name, All: true, Message: message, Code: code}, nil
	}
	var without, unknown int
	var example *string
	sql := fmt.Sprintf(`SELECT count(*) FILTER (WHERE c.id IS NULL),
		count(*) FILTER (WHERE c.id IS NOT NULL AND m.id IS NULL), min(c.id) FILTER (WHERE m.id IS NULL)
		FROM (SELECT c.id::%[1]s::text AS id FROM %[2]s) c
		LEFT JOIN (SELECT DISTINCT m.id FROM (%[3]s
) m) m ON m.id = c.id::%[1]s%[4]s`,
		c.id.name, table, trimQuery(m.products.source), c.collation())
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx,
			fmt.Sprintf("SET LOCAL statement_timeout = %d", checkQueryTimeout.Milliseconds())); err != nil {
			return err
		}
		return tx.QueryRow(ctx, sql).Scan(&without, &unknown, &example)
	})
	if err != nil {
		return nil, err
	}
	failure := &CheckFailure{Check: c.Name, All: true}
	switch {
	case unknown > 0:
		failure.Message = fmt.Sprintf(
			"it returns %d ids that are no products, such as %q: such rows have no effect; let "+
				"its query return ids of the products query, with the same conditions", unknown,
			abridge([]byte(*example)))
	case without > 0:
		failure.Message = fmt.Sprintf(
			"it returns %d rows whose id is NULL: such rows have no effect; let its query leave "+
				"them out, as with WHERE ... IS NOT NULL", without)
	default:
		return nil, nil
	}
	return failure, nil
}

// strays reports rows of the operator's checks without a product.
func (c *checkRun) strays(ctx context.Context) error {
	failures, unproven, err := c.m.strays(ctx)
	c.warnOfChecks(failures)
	for _, name := range unproven {
		c.out.As(finding.CheckFails).Unprovenf(
			"check %s takes longer than %s for all products, or fails for one of them", name, checkQueryTimeout)
	}
	return err
}

// warnOfChecks warns of failures of checks, once of each. A check may fail for several parts of the sample.
func (c *checkRun) warnOfChecks(failures []CheckFailure) {
	for _, f := range failures {
		text := f.Error()
		if !slices.ContainsFunc(c.out, func(known finding.Finding) bool { return known.Message == text }) {
			c.out.As(finding.CheckFails).Warnf("", "%s", text)
		}
	}
}

// violations reports what the operator's checks find in a sample.
func (c *checkRun) violations(r Reading, isSample bool) {
	of := fmt.Sprintf("%d products", len(r.States))
	if isSample {
		of = fmt.Sprintf("the first %d products", len(r.States))
	}
	c.warnOfChecks(r.CheckFailures)
	type hits struct {
		products         int
		product, message string
	}
	found := map[string]*hits{}
	for _, id := range slices.Sorted(maps.Keys(r.States)) {
		for _, v := range r.States[id].Violated {
			if found[v.Check.Name] == nil {
				found[v.Check.Name] = &hits{product: id, message: v.Message}
			}
			found[v.Check.Name].products++
		}
	}
	for _, check := range c.m.checks {
		f := found[check.Name]
		if f == nil {
			continue
		}
		effect := "their changes are held"
		if check.Refuses() {
			effect = "they become dead letters"
		}
		c.out.As(finding.Violations).Warnf("", "check %s finds %d of %s, and %s: %s (such as product %s)", check.Name, f.products, of, effect,
			f.message, f.product)
	}
}
