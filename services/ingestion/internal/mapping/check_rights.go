package mapping

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
)

// rights refuses queries that the role may not run, with the statements that grant what it lacks. ok is false then:
// the other checks run the same queries, and would only repeat the refusal.
func (c *checkRun) rights(ctx context.Context) (ok bool, err error) {
	for _, q := range c.m.sources() {
		_, err := c.withTimeLimit(ctx, func(tx pgx.Tx) error {
			// Postgres checks the rights before it reads the first row, so no row is read.
			_, err := tx.Exec(ctx, fmt.Sprintf("SELECT FROM (%s\n) m LIMIT 0", trimQuery(q.source)))
			return err
		})
		pg, isRefused := errors.AsType[*pgconn.PgError](err)
		if !isRefused || pg.Code != codeInsufficientPrivilege {
			// The other checks report any other error.
			continue
		}
		fix, err := c.grants(ctx)
		if err != nil {
			return false, err
		}
		remedy := ""
		if fix == "" {
			remedy = hint(pg)
		}
		c.out.As(finding.Queries).Refusef(fix,
			"the role of DATABASE_URL may not run the mapping's %s query (%s), so no product could be read%s", q.name,
			pg.Message, remedy)
		for _, id := range []finding.ID{
			finding.WatchValues, finding.RowIDs, finding.Products, finding.CheckFails, finding.Violations,
		} {
			c.out.As(id).Unprovenf("the role of DATABASE_URL may not run the mapping's queries (see %s)", finding.Queries)
		}
		return false, nil
	}
	return true, nil
}

// grants returns the statements that let the role read what the queries read, "" if they are not known. Tables behind
// views are among them if the role lacks them, although a view reads with the rights of its owner.
func (c *checkRun) grants(ctx context.Context) (string, error) {
	d, err := c.m.Dependencies(ctx)
	if err != nil {
		// The finding is complete without the statements.
		return "", nil //nolint:nilerr // see above
	}
	var oids []uint32
	for _, r := range d.Relations {
		oids = append(oids, r.OID)
	}
	for _, v := range d.Views {
		oids = append(oids, v.OID)
	}
	var role string
	var schemas, tables []string
	err = c.m.pool.QueryRow(ctx, `SELECT quote_ident(current_user),
		coalesce(array_agg(DISTINCT quote_ident(n.nspname)) FILTER (WHERE NOT has_schema_privilege(n.oid, 'USAGE')), '{}'),
		coalesce(array_agg(quote_ident(n.nspname) || '.' || quote_ident(c.relname) ORDER BY n.nspname, c.relname)
			FILTER (WHERE NOT has_table_privilege(c.oid, 'SELECT')), '{}')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1::bigint[]::oid[])`, oids).
		Scan(&role, &schemas, &tables)
	if err != nil {
		return "", fmt.Errorf("read the rights of the role of DATABASE_URL: %w", err)
	}
	var out []string
	if len(schemas) > 0 {
		out = append(out, "GRANT USAGE ON SCHEMA "+strings.Join(schemas, ", ")+" TO "+role+";")
	}
	if len(tables) > 0 {
		out = append(out, "GRANT SELECT ON "+strings.Join(tables, ", ")+" TO "+role+";")
	}
	return strings.Join(out, " "), nil
}
