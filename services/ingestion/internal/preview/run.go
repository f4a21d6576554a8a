package preview

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/driftless-sync/driftless/services/ingestion/internal/script"
)

// maxAttempts is how often a preview is tried while other sessions change the rows that the statements change.
const maxAttempts = 3

// codeSerialization and the others are SQLSTATEs.
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeLockTimeout   = "55P03"
	codeCanceled      = "57014"
	codeReadOnly      = "25006"
	codePrivilege     = "42501"
)

// Run previews. It has rolled everything back when it returns. An error of a statement names the statement.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	for attempt := 1; ; attempt++ {
		out, err := once(ctx, cfg)
		code := sqlState(err)
		if attempt < maxAttempts && (code == codeSerialization || code == codeDeadlock) {
			continue
		}
		if err == nil && attempt > 1 {
			out.Unseen = append(out.Unseen, fmt.Sprintf("the statements ran %d times, because other sessions changed the "+
				"same rows; effects outside the transaction happened as often", attempt))
		}
		return out, err
	}
}

func once(ctx context.Context, cfg Config) (_ *Result, err error) {
	conn, err := cfg.Connect(ctx)
	if err != nil {
		return nil, err
	}
	// The end of the connection rolls back, whatever else has failed.
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	c, err := newComparison(cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		c.before.close()
		if err != nil {
			c.out.Close()
		}
	}()
	if err := c.run(ctx, conn); err != nil {
		return nil, err
	}
	return c.out, nil
}

func (c *comparison) run(ctx context.Context, conn *pgx.Conn) error {
	t := &transaction{conn: conn, cfg: c.cfg}
	if err := t.begin(ctx); err != nil {
		return err
	}
	if err := c.readBefore(ctx, conn); err != nil {
		return err
	}
	if len(c.cfg.Statements) == 0 {
		if err := c.readAfter(ctx, conn); err != nil {
			return err
		}
		return t.rollback(ctx)
	}
	if err := t.prepare(ctx); err != nil {
		return err
	}
	begun := time.Now()
	for i, s := range c.cfg.Statements {
		c.cfg.report("statements", i, len(c.cfg.Statements))
		rows, err := t.run(ctx, s)
		if err != nil {
			return err
		}
		c.out.Statements = append(c.out.Statements, Ran{s.At(), rows})
	}
	if err := t.fireDeferred(ctx); err != nil {
		return err
	}
	if err := t.reset(ctx); err != nil {
		return err
	}
	if err := c.readAfter(ctx, conn); err != nil {
		return err
	}
	var err error
	if c.out.Locks, err = t.locks(ctx); err != nil {
		return err
	}
	if c.out.Unseen, err = t.unseen(ctx); err != nil {
		return err
	}
	if err := t.rollback(ctx); err != nil {
		return err
	}
	c.out.LockedFor = time.Since(begun)
	return nil
}

// transaction is the one that the statements run in.
type transaction struct {
	conn *pgx.Conn
	cfg  Config
	// id is the transaction's id. It is 0 before prepare.
	id uint64
	// tables are the OIDs of the tables that exist without the statements.
	tables []uint32
}

func (t *transaction) begin(ctx context.Context) error {
	for _, sql := range []string{
		"BEGIN ISOLATION LEVEL REPEATABLE READ",
		// A temporary table of the script must not hide one of the mapping: ingestion would not see it.
		"SELECT set_config('search_path', current_setting('search_path') || ', pg_temp', true)",
	} {
		if _, err := t.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("begin the transaction of the preview: %w", err)
		}
	}
	return nil
}

// prepare makes the transaction ready for the statements.
func (t *transaction) prepare(ctx context.Context) error {
	rows, err := t.conn.Query(ctx, "SELECT oid FROM pg_class WHERE relkind IN ('r', 'p', 'm', 'f', 'v')")
	if err == nil {
		t.tables, err = pgx.CollectRows(rows, pgx.RowTo[uint32])
	}
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	for name, value := range map[string]string{
		"standard_conforming_strings": "on",
		"row_security":                "on",
		// The role or the database may have lower ones.
		"lock_timeout":      milliseconds(t.cfg.LockTimeout),
		"statement_timeout": milliseconds(t.cfg.StatementTimeout),
	} {
		if _, err := t.conn.Exec(ctx, "SELECT set_config($1, $2, true)", name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	t.id, err = t.currentID(ctx, "txid_current()")
	if sqlState(err) == codeReadOnly {
		return errors.New("the catalog database is read only, perhaps a standby: statements can be previewed only on " +
			"the primary")
	}
	return err
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

func (t *transaction) currentID(ctx context.Context, function string) (id uint64, err error) {
	if err := t.conn.QueryRow(ctx, "SELECT coalesce("+function+", 0)").Scan(&id); err != nil {
		return 0, fmt.Errorf("read the id of the transaction: %w", err)
	}
	return id, nil
}

// wrapper runs a statement where Postgres refuses every command that would end the transaction: BEGIN, COMMIT,
// ROLLBACK, and a CALL of a procedure with one of them
// (https://www.postgresql.org/docs/current/plpgsql-transactions.html).
const wrapper = `DO $driftless$
DECLARE n bigint;
BEGIN
	EXECUTE pg_catalog.current_setting('driftless.statement');
	GET DIAGNOSTICS n = ROW_COUNT;
	PERFORM pg_catalog.set_config('driftless.rows', n::pg_catalog.text, true);
END
$driftless$`

// limit gives a setting the preview's limit in milliseconds, unless a statement has set a lower one. 0 means no limit.
// current_setting has a unit, as in "2s".
const limit = `SELECT pg_catalog.set_config($1, $2 || 'ms', true) WHERE $2::pg_catalog.int8 > 0 AND
	NOT EXTRACT(epoch FROM pg_catalog.current_setting($1)::pg_catalog.interval) * 1000 BETWEEN 1 AND $2::pg_catalog.int8`

// enforceLimits keeps a statement from waiting or running longer than allowed, whatever the statements before have set.
func (t *transaction) enforceLimits(ctx context.Context) error {
	for name, value := range t.cfg.limits() {
		if _, err := t.conn.Exec(ctx, limit, name, strconv.FormatInt(value.Milliseconds(), 10)); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// idleTimeout is how long the transaction keeps its locks while the preview itself stalls.
const idleTimeout = time.Minute

func (cfg Config) limits() map[string]time.Duration {
	return map[string]time.Duration{
		"lock_timeout":                        cfg.LockTimeout,
		"statement_timeout":                   cfg.StatementTimeout,
		"idle_in_transaction_session_timeout": idleTimeout,
	}
}

// run runs a statement, and returns how many rows it concerned.
func (t *transaction) run(ctx context.Context, s script.Statement) (rows int64, err error) {
	if err := t.enforceLimits(ctx); err != nil {
		return 0, fmt.Errorf("%s: %w", s.At(), err)
	}
	if s.Savepoint.Verb != "" {
		_, err = t.conn.Exec(ctx, s.Savepoint.Verb+" "+pgx.Identifier{s.Savepoint.Name}.Sanitize())
	} else {
		_, err = t.conn.Exec(ctx, "SELECT pg_catalog.set_config('driftless.statement', $1, true)", s.Text)
		if err == nil {
			_, err = t.conn.Exec(ctx, wrapper)
		}
	}
	if lost := t.check(ctx, err != nil); lost != nil {
		return 0, fmt.Errorf("%s: %w", s.At(), lost)
	}
	if err != nil {
		return 0, &statementError{s, err}
	}
	if s.Savepoint.Verb == "" {
		const read = "SELECT coalesce(nullif(pg_catalog.current_setting('driftless.rows', true), ''), '0')::pg_catalog.int8"
		if err := t.conn.QueryRow(ctx, read).Scan(&rows); err != nil {
			return 0, fmt.Errorf("%s: read the number of rows: %w", s.At(), err)
		}
	}
	return rows, nil
}

// errNotRolledBack means that the preview cannot promise that nothing was committed.
var errNotRolledBack = errors.New("the statement ended the transaction of the preview, and what came before it may " +
	"have been committed: look at the tables")

// check returns an error unless the transaction is still the same one.
func (t *transaction) check(ctx context.Context, failed bool) error {
	switch status := t.conn.PgConn().TxStatus(); {
	case failed && (status == 'E' || t.conn.IsClosed()):
		return nil
	case status != 'T':
		return errNotRolledBack
	}
	id, err := t.currentID(ctx, "txid_current_if_assigned()")
	if err != nil {
		return err
	}
	if id != t.id {
		return errNotRolledBack
	}
	return nil
}

// fireDeferred runs the constraints and triggers that wait for the commit.
func (t *transaction) fireDeferred(ctx context.Context) error {
	_, err := t.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
	if lost := t.check(ctx, err != nil); lost != nil {
		return lost
	}
	if err != nil {
		return fmt.Errorf("the statements would fail at their commit: %w", err)
	}
	return nil
}

// reset undoes settings of the statements, so that the mapping is read as ingestion reads it.
func (t *transaction) reset(ctx context.Context) error {
	for _, sql := range []string{
		"RESET SESSION AUTHORIZATION", "RESET ROLE", "RESET ALL",
		"SELECT set_config('search_path', current_setting('search_path') || ', pg_temp', true)",
	} {
		if _, err := t.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("undo the settings of the statements: %w", err)
		}
	}
	return nil
}

func (t *transaction) rollback(ctx context.Context) error {
	if t.id != 0 {
		if err := t.check(ctx, false); err != nil {
			return err
		}
	}
	if _, err := t.conn.Exec(ctx, "ROLLBACK"); err != nil {
		return fmt.Errorf("roll back: %w; Postgres rolls back when the connection ends", err)
	}
	return nil
}

func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// statementError is the failure of a statement.
type statementError struct {
	statement script.Statement
	cause     error
}

func (e *statementError) Unwrap() error { return e.cause }

func (e *statementError) Error() string {
	pg, ok := errors.AsType[*pgconn.PgError](e.cause)
	if !ok {
		return fmt.Sprintf("%s: %v", e.at(0), e.cause)
	}
	position := int32(0)
	if pg.InternalQuery == e.statement.Text {
		position = pg.InternalPosition
	}
	message := fmt.Sprintf("%s: %s (SQLSTATE %s)", e.at(position), pg.Message, pg.Code)
	if pg.Detail != "" {
		message += "; " + pg.Detail
	}
	return message + e.remedy(pg)
}

// at returns the place of a character of the statement, from 1. 0 is the beginning.
func (e *statementError) at(position int32) string {
	before := []rune(e.statement.Text)
	before = before[:min(max(int(position)-1, 0), len(before))]
	return fmt.Sprintf("%s:%d", e.statement.Source, e.statement.Line+strings.Count(string(before), "\n"))
}

func (e *statementError) remedy(pg *pgconn.PgError) string {
	switch pg.Code {
	case codeLockTimeout:
		return "; other sessions use the table: try again later, or wait longer with --lock-timeout"
	case codeCanceled:
		return "; allow more with --statement-timeout"
	case codeSerialization, codeDeadlock:
		return "; other sessions change the same rows: try again"
	case codePrivilege:
		return "; preview with the role that will run the statements: set DATABASE_URL"
	case "2D000", "0A000":
		if strings.Contains(pg.Message, "transaction") {
			return "; a preview must never commit, so nothing in it may end the transaction"
		}
	}
	if pg.Hint != "" {
		return " (" + pg.Hint + ")"
	}
	return ""
}
