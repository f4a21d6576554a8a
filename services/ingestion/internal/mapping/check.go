package mapping

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// checkTimeout is the time limit of each query of a check, so that a start does not wait for a scan of large tables. A
// query that takes longer proves nothing.
const checkTimeout = 5 * time.Second

// Check checks the tables and their rows, and returns all faults of the mapping at once. It refuses only faults that
// would make capture wrong. An error means that it could not check everything.
func (m *Mapping) Check(
	ctx context.Context, watch []config.WatchedTable, validate func(*catalogv1.Product) []catalog.Violation,
) (finding.List, error) {
	c := checkRun{m: m}
	if err := c.resolve(ctx, watch); err != nil {
		return nil, err
	}
	if ok, err := c.rights(ctx); err != nil || !ok {
		return c.out, err
	}
	for _, run := range []func(context.Context) error{
		c.dependencies,
		c.watchedValues,
		c.identities,
		c.strays,
		func(ctx context.Context) error { return c.sample(ctx, validate) },
	} {
		if err := run(ctx); err != nil {
			return c.out, err
		}
	}
	return c.out, nil
}

// checkRun is one call of Check.
type checkRun struct {
	m       *Mapping
	watched []watched
	out     finding.List
}

// withTimeLimit runs read-only queries in a transaction with a time limit. outOfTime reports whether they exceeded it.
func (c *checkRun) withTimeLimit(ctx context.Context, run func(pgx.Tx) error) (outOfTime bool, err error) {
	err = pgx.BeginTxFunc(ctx, c.m.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx,
			fmt.Sprintf("SET LOCAL statement_timeout = %d", checkTimeout.Milliseconds())); err != nil {
			return err
		}
		return run(tx)
	})
	if code(err) == codeQueryCanceled {
		return true, nil
	}
	return false, err
}

// warnOfError turns an error of a query into a warning, and returns any other error. One query that fails must not
// prevent the other checks.
func (c *checkRun) warnOfError(id finding.ID, what string, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !isRowError(err) {
		return err
	}
	c.out.As(id).Warnf("", "%s could not be checked: %s (SQLSTATE %s)", what, pg.Message, pg.Code)
	return nil
}

// dependencies warns of relations that the queries read but whose changes are not captured.
func (c *checkRun) dependencies(ctx context.Context) error {
	d, err := c.m.Dependencies(ctx)
	if err != nil {
		return c.warnOfError(finding.Unwatched, "what the queries read", err)
	}
	covered, err := c.covered(ctx)
	if err != nil {
		return err
	}
	unwatched := c.out.As(finding.Unwatched)
	for _, r := range d.Relations {
		if covered[r.OID] {
			continue
		}
		const seen = "a change there is seen only when the tables are compared (see compare_every)"
		reader := "the queries read"
		if r.OfChecks {
			reader = "the checks read"
		}
		switch r.Kind {
		case 'm':
			unwatched.Warnf("", "%s the materialized view %s, and the log does not have its refreshes: %s", reader,
				r.Name,
				seen)
		case 'f':
			unwatched.Warnf("",
				"%s the foreign table %s, and the log of this database has none of its changes: %s", reader, r.Name,
				seen)
		default:
			line, err := c.suggestion(ctx, r)
			if err != nil {
				return err
			}
			unwatched.Warnf("", "%s %s, and catalog.watch does not name it: %s%s", reader, r.Name, seen, line)
		}
	}
	if len(d.Functions) > 0 {
		var functions []string
		for _, f := range d.Functions {
			functions = append(functions, f.Name)
		}
		unwatched.Warnf("",
			"the queries or checks call %s, and Postgres does not know which tables a function reads if its body is a string: "+
				"changes of tables that catalog.watch does not name are seen only when the tables are compared",
			strings.Join(functions, ", "))
	}
	if !d.Complete && len(d.Functions) == 0 {
		var database, role string
		err := c.m.pool.QueryRow(ctx, "SELECT quote_ident(current_database()), quote_ident(current_user)").Scan(
			&database, &role)
		if err != nil {
			return fmt.Errorf("read the role of DATABASE_URL: %w", err)
		}
		unwatched.Warnf("GRANT TEMPORARY ON DATABASE "+database+" TO "+role+";",
			"the tables that the queries read through views and functions are not known, because role %s may not "+
				"create a temporary view", role)
	}
	return nil
}
