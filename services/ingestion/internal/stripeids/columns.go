package stripeids

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// columnLockTimeout is how long a write waits for a row that another transaction holds, as in a write-back.
const columnLockTimeout = "5s"

// maxSingle is how many rows are written one by one after a statement for all of them failed.
const maxSingle = 1000

// Columns writes Stripe's ids from the table to columns of the operator's own tables.
type Columns struct {
	pool    *pgxpool.Pool
	account string
	targets []target
}

// target is a column that holds Stripe's ids.
type target struct {
	// setting is the key in the configuration.
	setting            string
	table, key, column string
	// keyText is the key as a text, which is compared with the catalog's id.
	keyText string
	// id and want are expressions over the row s of driftless.stripe_ids. isRow selects the rows.
	id, want, isRow string
}

// isPriceRow selects the row that a price of the operator's table gets. A price that moved to another product has a row
// for each: the one on sale counts, and then the latest.
const isPriceRow = `s.price_id <> '' AND NOT EXISTS (SELECT FROM driftless.stripe_ids o
	WHERE o.account = s.account AND o.price_id = s.price_id
		AND (o.active, o.since_version, o.product_id) > (s.active, s.since_version, s.product_id))`

// OpenColumns checks the columns and returns their writer. The findings refuse the start if a column cannot be written.
// The writer is nil if nothing is configured.
func OpenColumns(ctx context.Context, pool *pgxpool.Pool, account string, ids *config.WriteIDs) (
	*Columns, finding.List, error,
) {
	if ids == nil {
		return nil, nil, nil
	}
	c := &Columns{pool: pool, account: account}
	var found finding.List
	for _, t := range []struct {
		of *config.IDColumn
		target
	}{
		{ids.Products, target{
			setting: "catalog.write_ids.products", id: "s.product_id", want: "s.stripe_product_id",
			isRow: "s.price_id = ''",
		}},
		// An application must not find the id of a price that Stripe refuses to sell at.
		{ids.Prices, target{
			setting: "catalog.write_ids.prices", id: "s.price_id",
			want: "CASE WHEN s.active THEN s.stripe_price_id END", isRow: isPriceRow,
		}},
	} {
		if t.of == nil {
			continue
		}
		wrong, err := t.check(ctx, pool, t.of)
		if err != nil {
			return nil, nil, err
		}
		found.Add(wrong...)
		c.targets = append(c.targets, t.target)
	}
	return c, found, nil
}

// check resolves the names, and finds faults that keep the column from being written.
func (t *target) check(ctx context.Context, pool *pgxpool.Pool, of *config.IDColumn) (found finding.List, err error) {
	var oid uint32
	var role string
	err = pool.QueryRow(ctx, `SELECT c.oid, c.oid::regclass::text, quote_ident(current_user) FROM pg_class c
		WHERE c.oid = coalesce(to_regclass($1), to_regclass(quote_ident($1))) AND c.relkind IN ('r', 'p', 'v', 'f')`,
		of.Table).Scan(&oid, &t.table, &role)
	if errors.Is(err, pgx.ErrNoRows) {
		found.Refusef("", "%s: there is no table %s, or the role of DATABASE_URL may not see it", t.setting, of.Table)
		return found, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: look for table %s: %w", t.setting, of.Table, err)
	}
	key, err := findColumn(ctx, pool, oid, of.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.setting, err)
	}
	column, err := findColumn(ctx, pool, oid, of.Column)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.setting, err)
	}
	for name, c := range map[string]*foundColumn{of.Key: key, of.Column: column} {
		if c == nil {
			found.Refusef("", "%s: table %s has no column %s", t.setting, t.table, name)
		}
	}
	if key == nil || column == nil {
		return found, nil
	}
	t.key, t.column, t.keyText = key.name, column.name, "t."+key.name
	if !key.isText {
		t.keyText += "::text"
	}
	t.checkColumn(&found, column)
	t.checkRights(&found, key, column, role)
	return found, nil
}

func (t *target) checkColumn(found *finding.List, column *foundColumn) {
	if !column.isText {
		found.Refusef("", "%s: column %s of %s is %s, and Stripe's ids are texts such as %s: use a text column",
			t.setting, column.name, t.table, column.typeName, "price_1MoBy5LkdIwHu7ixZhnattbh")
	}
	if column.notNull && strings.HasSuffix(t.setting, "prices") {
		found.Refusef(fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL;", t.table, column.name),
			"%s: column %s of %s is NOT NULL, and a price that is not on sale has no id there", t.setting, column.name,
			t.table)
	}
	if t.key == t.column {
		found.Refusef("", "%s: key and column are both %s: Stripe's id needs a column of its own", t.setting, t.key)
	}
}

func (t *target) checkRights(found *finding.List, key, column *foundColumn, role string) {
	var lacking []string
	if !key.readable || !column.readable {
		lacking = append(lacking, "SELECT")
	}
	if !column.writable {
		lacking = append(lacking, "UPDATE ("+column.name+")")
	}
	if len(lacking) > 0 {
		rights := strings.Join(lacking, ", ")
		found.Refusef(fmt.Sprintf("GRANT %s ON %s TO %s;", rights, t.table, role),
			"%s: role %s lacks %s on %s", t.setting, role, rights, t.table)
	}
}

// foundColumn is a column as it is in the database. name is quoted where SQL needs it.
type foundColumn struct {
	name, typeName     string
	isText, notNull    bool
	readable, writable bool
}

// findColumn returns a column by its name, as SQL reads it or else exactly as it is written. It returns nil if there is
// none.
func findColumn(ctx context.Context, pool *pgxpool.Pool, table uint32, name string) (*foundColumn, error) {
	c := &foundColumn{}
	err := pool.QueryRow(ctx, `SELECT quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
			a.atttypid IN ('text'::regtype, 'varchar'::regtype), a.attnotnull,
			has_column_privilege(a.attrelid, a.attnum, 'SELECT'), has_column_privilege(a.attrelid, a.attnum, 'UPDATE')
		FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
			AND (quote_ident(a.attname) = $2 OR a.attname = lower($2) OR a.attname = $2)
		ORDER BY a.attname = lower($2) DESC LIMIT 1`, table, name).Scan(&c.name, &c.typeName, &c.isText, &c.notNull,
		&c.readable, &c.writable)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // no column is no error
	}
	if err != nil {
		return nil, fmt.Errorf("read column %s: %w", name, err)
	}
	return c, nil
}

// Write writes the ids of products to the columns where they differ; nil means all products. If a statement fails, it
// writes the rows one by one, so that one row does not block the others. It returns how many rows it wrote. The error
// joins what failed; a later call tries it again.
func (c *Columns) Write(ctx context.Context, products []string) (written int64, err error) {
	for _, t := range c.targets {
		n, failed := c.writeTarget(ctx, t, products)
		written += n
		err = errors.Join(err, failed)
	}
	return written, err
}

func (c *Columns) writeTarget(ctx context.Context, t target, products []string) (int64, error) {
	n, err := c.update(ctx, t, "$2::text[] IS NULL OR s.product_id = ANY($2)", products)
	if err == nil || ctx.Err() != nil {
		return n, err
	}
	wrong, listErr := c.different(ctx, t, products)
	if listErr != nil {
		return 0, errors.Join(fmt.Errorf("%s: %w", t.setting, err), listErr)
	}
	var failed error
	for _, id := range wrong {
		one, err := c.update(ctx, t, t.id+" = $2", id)
		n += one
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: write Stripe's id of %s to column %s of %s: %w", t.setting, id, t.column, t.table,
				err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return n, failed
}

// update writes the ids of the rows s that a condition with the parameter $2 selects.
func (c *Columns) update(ctx context.Context, t target, condition string, parameter any) (n int64, err error) {
	err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", columnLockTimeout); err != nil {
			return err
		}
		// Capture reads the products that the statement touches, and finds that nothing changed.
		if _, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, $1, '')", wal.OwnPrefix); err != nil {
			return err
		}
		// Two processes would otherwise write ids that they read at different times, in any order.
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
			"driftless.stripe_ids "+c.account); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "UPDATE "+t.table+" t SET "+t.column+" = "+t.want+" "+t.source(condition), c.account,
			parameter)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// different returns the catalog's ids of the rows that do not have Stripe's id.
func (c *Columns) different(ctx context.Context, t target, products []string) ([]string, error) {
	rows, err := c.pool.Query(ctx, "SELECT "+t.id+" FROM "+t.table+" t, driftless.stripe_ids s "+
		t.where("$2::text[] IS NULL OR s.product_id = ANY($2)")+fmt.Sprintf(" ORDER BY random() LIMIT %d", maxSingle), c.account,
		products)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.setting, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (t *target) source(condition string) string {
	return "FROM driftless.stripe_ids s " + t.where(condition)
}

func (t *target) where(condition string) string {
	return "WHERE s.account = $1 AND " + t.isRow + " AND (" + condition + ") AND " + t.keyText + " = " + t.id +
		" AND t." + t.column + " IS DISTINCT FROM " + t.want
}
