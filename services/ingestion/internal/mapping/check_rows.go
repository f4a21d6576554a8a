package mapping

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// identities finds rows without an id, and ids that several rows have.
func (c *checkRun) identities(ctx context.Context) error {
	rowIDs := c.out.As(finding.RowIDs)
	for _, q := range []struct{ name, of, source, product string }{
		{"products", "product", c.m.products.source, "id"},
		{"prices", "price", c.m.prices.source, "product"},
	} {
		slowNulls, err := c.withTimeLimit(ctx, func(tx pgx.Tx) error {
			var noID, noProduct int
			sql := fmt.Sprintf(
				"SELECT count(*) FILTER (WHERE m.id IS NULL), count(*) FILTER (WHERE m.%s IS NULL) FROM (%s\n) m",
				q.product, trimQuery(q.source))
			if err := tx.QueryRow(ctx, sql).Scan(&noID, &noProduct); err != nil {
				return err
			}
			if noID > 0 {
				rowIDs.Warnf("", "the %s query returns %d rows whose id is NULL: they are left out", q.name, noID)
			}
			if noProduct > 0 && q.product != "id" {
				rowIDs.Warnf("", "the %s query returns %d rows whose product is NULL: they are left out", q.name,
					noProduct)
			}
			return nil
		})
		if err := c.warnOfError(finding.RowIDs, "ids of the "+q.name+" query", err); err != nil {
			return err
		}
		slow, err := c.withTimeLimit(ctx, func(tx pgx.Tx) error {
			var ids, rows int
			var example, first, last *string
			sql := fmt.Sprintf(`SELECT count(*), coalesce(sum(n), 0), (array_agg(id::text ORDER BY id))[1],
				(array_agg(a ORDER BY id))[1], (array_agg(b ORDER BY id))[1]
				FROM (SELECT m.id, count(*) AS n, min(m.%[1]s::text) AS a, max(m.%[1]s::text) AS b FROM (%[2]s
				) m WHERE m.id IS NOT NULL GROUP BY m.id HAVING count(*) > 1) d`, q.product, trimQuery(q.source))
			if err := tx.QueryRow(ctx, sql).Scan(&ids, &rows, &example, &first, &last); err != nil || ids == 0 {
				return err
			}
			where := ""
			if *first != *last && q.product != "id" {
				where = fmt.Sprintf(", for products %q and %q", *first, *last)
			}
			rowIDs.Warnf("", "the %s query returns %d ids more than once, in %d rows, such as %q%s: "+
				"each %s needs an id of its own; a join with a table that has several rows for each %s is the usual "+
				"cause",
				q.name, ids, rows, *example, where, q.of, q.of)
			return nil
		})
		if err := c.warnOfError(finding.RowIDs, "ids of the "+q.name+" query", err); err != nil {
			return err
		}
		if slow || slowNulls {
			rowIDs.Unprovenf("a check of the ids of the %s query takes longer than %s", q.name, checkTimeout)
		}
	}
	return nil
}

// minAllFailing is the number of products that must all fail for one reason before the mapping counts as wrong.
const minAllFailing = 50

// sample reads and validates products, and reports their faults grouped by reason.
func (c *checkRun) sample(ctx context.Context, validate func(*catalogv1.Product) []catalog.Violation) error {
	ids, err := c.m.IDs(ctx, "", sampleSize)
	if err != nil {
		return c.warnOfError(finding.Products, "products", err)
	}
	if len(ids) == 0 {
		return nil
	}
	reading, err := c.m.Read(ctx, ids)
	if code(err) != "" && !slices.Contains(serverErrorClasses, code(err)[:2]) {
		c.out.As(finding.Products).Refusef("", "no product can be read: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	c.violations(reading, len(ids) == sampleSize)
	groups := map[string]*group{}
	for _, id := range slices.Sorted(maps.Keys(reading.States)) {
		reasons := reading.States[id].Reasons(validate)
		for kind, message := range reasons {
			if groups[kind] == nil {
				groups[kind] = &group{example: id, message: message}
			}
			groups[kind].products++
		}
	}
	all := len(reading.States)
	of := fmt.Sprintf("%d products", all)
	if len(ids) == sampleSize {
		of = fmt.Sprintf("the first %d products", all)
	}
	for _, g := range slices.SortedFunc(maps.Values(groups), func(a, b *group) int {
		if a.products != b.products {
			return b.products - a.products
		}
		return strings.Compare(a.message, b.message)
	}) {
		if g.products == all && all >= minAllFailing {
			c.out.As(finding.Products).Refusef("", "the first %d products all fail, so the mapping is wrong: %s (product %s)",
				all, g.message, g.example)
			continue
		}
		c.out.As(finding.Products).Warnf("", "%d of %s: %s (such as product %s)", g.products, of, g.message, g.example)
	}
	return nil
}

// group has the products of a sample that are wrong for one reason, with the message for one of them.
type group struct {
	products         int
	example, message string
}

// Reasons returns why ingestion would refuse the product, by kind of reason. Faults of one kind differ only in ids and
// values. It is empty for a product that would be published.
func (s State) Reasons(validate func(*catalogv1.Product) []catalog.Violation) map[string]string {
	out := map[string]string{}
	if s.Failure != nil {
		out[reasonKey(s.Failure.Query, s.Failure.Message)] = s.Failure.Error()
		return out
	}
	for _, f := range s.Violations(validate) {
		kind := reasonKey(priceOf.ReplaceAllString(f.Field, "prices."), f.Message)
		if out[kind] == "" {
			out[kind] = f.String()
		}
	}
	return out
}

var (
	priceOf = regexp.MustCompile(`^prices\[("(?:[^"\\]|\\.)*"|[0-9]+)\]\.`)
	// values matches what differs in messages of one kind: quoted texts and numbers.
	values = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|[0-9][0-9.]*`)
)

// reasonKey returns the part that faults of one reason have in common, without the field's value and the numbers in the
// message.
func reasonKey(field, message string) string {
	message, _, _ = strings.Cut(message, ", not ")
	return field + ": " + values.ReplaceAllString(message, "#")
}
