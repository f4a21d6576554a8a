package mapping

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/names"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// watched is an entry of catalog.watch as it is in the database.
type watched struct {
	config.WatchedTable
	oid uint32
	// table is the table's name in SQL.
	table string
	// column has the product's id. It is empty if the id is an expression or a query.
	column string
	// id is the product's id in SQL over the table's columns, empty for a query.
	id string
	// condition on the table's rows, with WHERE. It is empty if there is none.
	condition string
}

// resolve finds the watched tables. The check of the log reports a table that does not exist.
func (c *checkRun) resolve(ctx context.Context, watch []config.WatchedTable) error {
	for _, w := range watch {
		oid, err := names.Table(ctx, c.m.pool, w.Table)
		if err != nil {
			return err
		}
		if oid == 0 {
			continue
		}
		x := watched{WatchedTable: w, oid: oid}
		if err := c.m.pool.QueryRow(ctx, "SELECT $1::oid::regclass::text", oid).Scan(&x.table); err != nil {
			return fmt.Errorf("inspect watched table %s: %w", w.Table, err)
		}
		if strings.TrimSpace(w.ProductID) != "" {
			if x.column, err = names.Column(ctx, c.m.pool, oid, strings.TrimSpace(w.ProductID)); err != nil {
				return err
			}
			x.id = "(" + w.ProductID + "\n)"
			if x.column != "" {
				x.id = pgx.Identifier{x.column}.Sanitize()
			}
		}
		if strings.TrimSpace(w.Where) != "" {
			x.condition = " AND (" + w.Where + "\n)"
		}
		c.watched = append(c.watched, x)
	}
	return nil
}

// covered returns the tables whose changes are captured: the watched ones, their partitions and their children.
func (c *checkRun) covered(ctx context.Context) (map[uint32]bool, error) {
	oids := make([]uint32, len(c.watched))
	for i, w := range c.watched {
		oids[i] = w.oid
	}
	rows, err := c.m.pool.Query(ctx, `WITH RECURSIVE t(oid) AS (
			SELECT unnest($1::oid[]) UNION SELECT i.inhrelid FROM t JOIN pg_inherits i ON i.inhparent = t.oid
		) SELECT oid FROM t`, oids)
	if err != nil {
		return nil, fmt.Errorf("find the watched tables: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return nil, fmt.Errorf("find the watched tables: %w", err)
	}
	out := map[uint32]bool{}
	for _, oid := range all {
		out[oid] = true
	}
	return out, nil
}

// suggestion returns the entry of catalog.watch for a table that a foreign key connects to a watched one. It is empty
// if there is no such key.
func (c *checkRun) suggestion(ctx context.Context, r Relation) (string, error) {
	for _, w := range c.watched {
		if w.id == "" {
			continue
		}
		var name, own, other string
		var outgoing bool
		// The foreign key has one column, and refers from the table to the watched one or the other way.
		err := c.m.pool.QueryRow(ctx,
			`SELECT k.r::regclass::text, quote_ident(o.attname), quote_ident(w.attname), k.outgoing
			FROM (SELECT oid, conrelid AS r, confrelid AS w, conkey AS own, confkey AS other, true AS outgoing
					FROM pg_constraint WHERE contype = 'f'
				UNION ALL SELECT oid, confrelid, conrelid, confkey, conkey, false FROM pg_constraint WHERE contype = 'f') k
			JOIN pg_attribute o ON o.attrelid = k.r AND o.attnum = k.own[1]
			JOIN pg_attribute w ON w.attrelid = k.w AND w.attnum = k.other[1]
			WHERE k.r = $1 AND k.w = $2 AND array_length(k.own, 1) = 1 ORDER BY k.outgoing DESC, k.oid LIMIT 1`,
			r.OID, w.oid).Scan(&name, &own, &other, &outgoing)
		switch {
		case err == pgx.ErrNoRows: //nolint:errorlint // pgx returns it as it is
			continue
		case err != nil:
			return "", fmt.Errorf("read the foreign keys of %s: %w", r.Name, err)
		case outgoing && w.column != "" && pgx.Identifier{w.column}.Sanitize() == quotedAlways(other):
			return fmt.Sprintf("; add {table: %s, product_id: %s}", name, own), nil
		}
		query := fmt.Sprintf("SELECT %s FROM %s WHERE %s = @%s",
			strings.TrimSpace(w.ProductID), w.table, other, strings.Trim(own, `"`))
		return fmt.Sprintf("; add {table: %s, products: %q}", name, query), nil
	}
	return "", nil
}

// quotedAlways quotes a name, even if SQL needs no quotes for it.
func quotedAlways(name string) string {
	if strings.HasPrefix(name, `"`) {
		return name
	}
	return `"` + name + `"`
}

// sampleSize is the number of values that are compared.
const sampleSize = 1000

// watchedValues checks whether the watched columns have ids of products. It compares samples in both directions first,
// and all values only if the samples have nothing in common.
func (c *checkRun) watchedValues(ctx context.Context) error {
	ids, err := c.m.IDs(ctx, "", sampleSize)
	if err != nil {
		return c.warnOfError(finding.WatchValues, "whether the watched columns hold product ids", err)
	}
	if len(ids) == 0 {
		return nil
	}
	for _, w := range c.watched {
		if w.id == "" {
			continue
		}
		if err := c.values(ctx, w, ids); err != nil {
			if err := c.warnOfError(finding.WatchValues, "product_id of watched table "+w.table, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checkRun) values(ctx context.Context, w watched, ids []string) error {
	from := fmt.Sprintf("FROM %s WHERE %s IS NOT NULL%s", w.table, w.id, w.condition)
	var values []string
	slow, err := c.withTimeLimit(ctx, func(tx pgx.Tx) error {
		sql := fmt.Sprintf("SELECT DISTINCT v FROM (SELECT %s::text AS v %s LIMIT %d) x", w.id, from, sampleSize)
		rows, err := tx.Query(ctx, sql)
		if err != nil {
			return err
		}
		values, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	common := slices.ContainsFunc(values, func(v string) bool { return slices.Contains(ids, v) })
	if err != nil || common || !slow && len(values) == 0 {
		return err
	}
	t := c.m.products.id
	held, _, err := t.partition(ctx, c.m.pool, values)
	if err != nil {
		return err
	}
	// The queries compare the samples in both directions, and then everything. The last one fails if the type cannot
	// hold a value.
	certain, meets := false, false
	products := trimQuery(c.m.products.source)
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{fmt.Sprintf("SELECT EXISTS (SELECT FROM (%s\n) m WHERE m.id = ANY(%s))", products, t.array(1)), []any{held}},
		{fmt.Sprintf("SELECT EXISTS (SELECT %s AND %s::text = ANY($1::text[]))", from, w.id), []any{ids}},
		{fmt.Sprintf(
			"SELECT EXISTS (SELECT FROM (SELECT DISTINCT %s::text::%s AS v %s) w JOIN (%s\n) m ON m.id = w.v%s)",
			w.id, t.name, from, products, t.collate), nil},
	} {
		slow, err = c.withTimeLimit(ctx,
			func(tx pgx.Tx) error { return tx.QueryRow(ctx, q.sql, q.args...).Scan(&meets) })
		switch {
		case meets || err != nil && !isRowError(err):
			return err
		case slow || err != nil:
		case q.args == nil:
			certain = true
		}
	}
	hold := "product_id of watched table " + w.table
	if len(values) > 0 {
		hold = fmt.Sprintf("watched table %s, whose product_id %s has values like %q",
			w.table, strings.TrimSpace(w.ProductID), values[0])
	}
	remedy := fmt.Sprintf("ids of the products query are like %q; "+
		"set product_id to an SQL expression that returns them%s, or set the query products instead",
		ids[0], suggestExpression(w, values, ids))
	found := c.out.As(finding.WatchValues)
	switch {
	case certain:
		found.Refusef("", "no product has an id that is in %s, so no change there would concern any product: %s", hold,
			remedy)
	case slow:
		found.Warnf("",
			"%s: no value among the first %d is a product's id, and a check of all takes longer than %s: %s",
			hold, sampleSize, checkTimeout, remedy)
	default:
		found.Warnf("", "%s: no value among the first %d is a product's id: %s", hold, sampleSize, remedy)
	}
	return nil
}

// suggestExpression suggests an expression that puts a prefix before the column, if that returns ids.
func suggestExpression(w watched, values, ids []string) string {
	if w.column == "" {
		return ""
	}
	for _, v := range values {
		for _, id := range ids {
			if prefix, ok := strings.CutSuffix(id, v); ok && prefix != "" && v != "" {
				if last := prefix[len(prefix)-1]; last == '-' || last == '_' || last == ':' || last == '.' ||
					last == '/' {
					return fmt.Sprintf(`, as "'%s' || %s"`, strings.ReplaceAll(prefix, "'", "''"),
						strings.TrimSpace(w.ProductID))
				}
			}
		}
	}
	return ""
}
