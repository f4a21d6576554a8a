package mapping

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/driftless-sync/driftless/services/internal/config"
)

// Reader reads products within the open transaction of a connection: in its snapshot, with its own changes. The
// transaction stays usable, whatever fails. Not safe for concurrent use.
type Reader struct {
	*Mapping
	conn connection
}

// NewReader checks the queries within a transaction, as New does. After an error the transaction cannot be used. The
// connection must not cache statements, because the transaction may alter tables: see pgx.QueryExecModeDescribeExec.
func NewReader(ctx context.Context, conn *pgx.Conn, m *config.Mapping) (*Reader, error) {
	within := connection{Conn: conn, inTransaction: true}
	out, err := newMapping(ctx, within, m)
	if err != nil {
		return nil, err
	}
	return &Reader{out, within}, nil
}

// IDs is Mapping.IDs within the transaction.
func (r *Reader) IDs(ctx context.Context, after string, limit int) ([]string, error) {
	return r.list(ctx, r.conn, after, limit)
}

// Read is Mapping.Read within the transaction.
func (r *Reader) Read(ctx context.Context, ids []string) (Reading, error) {
	return r.readWith(ctx, r.conn, ids)
}

// savepoint is set before each query within a transaction, because a query that fails ends what came after it.
const savepoint = "driftless_read"

// connection is what products are read with.
type connection struct {
	*pgx.Conn
	// inTransaction reports whether a transaction is open that must stay usable.
	inTransaction bool
}

// begin returns the statement that begins to read some products in one snapshot. end returns the one that ends it.
func (c connection) begin() string {
	if c.inTransaction {
		return "SAVEPOINT " + savepoint
	}
	return "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ"
}

func (c connection) end() string {
	if c.inTransaction {
		return "RELEASE SAVEPOINT " + savepoint
	}
	return "COMMIT"
}

// abandon returns the statements that end what begin began and undo it, with the settings that were made since.
func (c connection) abandon() []string {
	if !c.inTransaction {
		return []string{"ROLLBACK"}
	}
	return []string{"ROLLBACK TO SAVEPOINT " + savepoint, c.end()}
}

// undo makes the connection usable after a failure since begin. If the connection was lost, the next query fails.
func (c connection) undo(ctx context.Context) {
	for _, statement := range c.abandon() {
		_, _ = c.Exec(ctx, statement)
	}
}

// Query is pgx's. In a transaction the rows must be closed before the next query.
func (c connection) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if !c.inTransaction {
		return c.Conn.Query(ctx, sql, args...)
	}
	if _, err := c.Exec(ctx, c.begin()); err != nil {
		return nil, fmt.Errorf("set a savepoint: %w", err)
	}
	rows, err := c.Conn.Query(ctx, sql, args...)
	if err != nil {
		c.undo(ctx)
		return nil, err
	}
	return &savedRows{Rows: rows, end: func(failed bool) {
		if failed {
			c.undo(ctx)
			return
		}
		_, _ = c.Exec(ctx, c.end())
	}}, nil
}

// savedRows are rows of a query behind a savepoint, which ends when they are closed.
type savedRows struct {
	pgx.Rows

	end func(failed bool)
}

func (r *savedRows) Close() {
	r.Rows.Close()
	if r.end != nil {
		r.end(r.Err() != nil)
		r.end = nil
	}
}

// prepare returns the description of a query.
func (c connection) prepare(ctx context.Context, sql string) (*pgconn.StatementDescription, error) {
	if !c.inTransaction {
		return c.PgConn().Prepare(ctx, "", sql, nil)
	}
	if _, err := c.Exec(ctx, c.begin()); err != nil {
		return nil, fmt.Errorf("set a savepoint: %w", err)
	}
	statement, err := c.PgConn().Prepare(ctx, "", sql, nil)
	if err != nil {
		c.undo(ctx)
		return nil, err
	}
	_, err = c.Exec(ctx, c.end())
	return statement, err
}
