package mapping

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/driftless-sync/driftless/services/internal/config"
)

// checkQueryTimeout is the time limit of one query of a check. Capture waits for it.
var checkQueryTimeout = 5 * time.Second

// checkRetryDelay is how long a check rests after it failed for a reason that is not a single product's. So a check
// that exceeds its time takes a small part of capture's.
const checkRetryDelay = 30 * time.Second

// productCheck is a check of the operator, ready to read with. Postgres may refuse its query, because a check never
// stops capture. Safe for concurrent use.
type productCheck struct {
	config.ProductCheck
	id idType

	mu sync.Mutex
	// read is the query that finds the violations of some products. It is empty until Postgres accepts the query.
	read string
	// columns is the number of columns that the query returns.
	columns int
	// restsUntil is when the check may be tried again, and failure why it rests.
	restsUntil time.Time
	failure    error
}

// newProductChecks returns the checks, and has Postgres prepare each. A refused check stays, and rests. An error means
// that the database does not answer.
func newProductChecks(ctx context.Context, conn connection, checks []config.ProductCheck, id idType,
) ([]*productCheck, error) {
	if len(checks) == 0 {
		return nil, nil
	}
	out := make([]*productCheck, len(checks))
	for i, c := range checks {
		out[i] = &productCheck{ProductCheck: c, id: id}
		if _, err := out[i].query(ctx, conn); isConnectionError(ctx, conn, err) {
			return nil, fmt.Errorf("prepare check %s: %w", c.Name, err)
		}
	}
	return out, nil
}

// query returns the query to read with. It returns why the check cannot run, if it rests or Postgres refuses it.
func (c *productCheck) query(ctx context.Context, conn connection) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.restsUntil) {
		return "", c.failure
	}
	if c.read != "" {
		return c.read, nil
	}
	read, err := c.prepare(ctx, conn)
	if err != nil {
		c.restsUntil, c.failure = time.Now().Add(checkRetryDelay), err
		return "", err
	}
	c.read = read
	return read, nil
}

// rest makes the check rest because of a failure.
func (c *productCheck) rest(failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restsUntil, c.failure = time.Now().Add(checkRetryDelay), failure
}

// prepare makes the query that reads the violations of some products, and has Postgres check it.
func (c *productCheck) prepare(ctx context.Context, conn connection) (string, error) {
	// Postgres locks the tables that it prepares a query for. A table that only the check reads must not stop capture.
	if _, err := conn.Exec(ctx, conn.begin()); err != nil {
		return "", err
	}
	defer conn.undo(ctx)
	limit := fmt.Sprintf("SET LOCAL statement_timeout = %d", checkQueryTimeout.Milliseconds())
	if _, err := conn.Exec(ctx, limit); err != nil {
		return "", err
	}
	//nolint:unqueryvet // which columns there are is the question
	statement, err := conn.prepare(ctx, "SELECT * FROM ("+trimQuery(c.Query)+"\n) c")
	if err != nil {
		return "", err
	}
	if n := len(statement.Fields); n != 1 && n != 2 {
		return "", fmt.Errorf("its query returns %d columns: it must return the product's id, and a detail for the "+
			"message if you like", n)
	}
	c.columns = len(statement.Fields)
	detail := "NULL::text"
	if c.columns == 2 {
		detail = "c.detail::text"
	}
	sql := fmt.Sprintf("SELECT c.id::%s::text, %s FROM %s WHERE c.id::%s%s = ANY(%s)", c.id.name, detail, c.table(),
		c.id.name, c.collation(), c.id.array(1))
	if _, err := conn.prepare(ctx, sql); err != nil {
		return "", err
	}
	return sql, nil
}

// table returns the query of a prepared check as a table with the columns id and detail, whatever their names are.
func (c *productCheck) table() string {
	names := "id"
	if c.columns == 2 {
		names = "id, detail"
	}
	// The line break keeps a comment at the query's end from hiding the parenthesis.
	return fmt.Sprintf("(%s\n) c(%s)", trimQuery(c.Query), names)
}

// prepared returns the query as a table. It returns why the check cannot run, if it rests or Postgres refuses it.
func (c *productCheck) prepared(ctx context.Context, conn connection) (string, error) {
	if _, err := c.query(ctx, conn); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table(), nil
}

// collation returns the collation of the products' ids, if it decides which ids are equal. A collation that does not
// would keep Postgres from using an index with another one.
func (c *productCheck) collation() string {
	if c.id.isTextual {
		return ""
	}
	return c.id.collate
}

// isConnectionError reports whether an error is the connection's or the caller's, so that the check is not at fault.
func isConnectionError(ctx context.Context, conn connection, err error) bool {
	return err != nil && (ctx.Err() != nil || conn.IsClosed())
}

// describeFailure returns why a check failed, in Postgres' words and with what helps.
func describeFailure(err error) (message, code string) {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err.Error(), ""
	}
	if pg.Code == codeQueryCanceled {
		return fmt.Sprintf("%s (SQLSTATE %s): it may take %s for the products at hand; an index on the columns that "+
			"it compares helps", pg.Message, pg.Code, checkQueryTimeout), pg.Code
	}
	return fmt.Sprintf("%s (SQLSTATE %s)%s", errorText(pg), pg.Code, hint(pg)), pg.Code
}
