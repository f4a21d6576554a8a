// Package names finds the tables and columns that the configuration names. It reads a name as SQL does, so that an
// unquoted name is in lower case. If nothing has that name, it takes the name exactly as it is written. So "productId"
// with quotes and productId without can be the same column.
package names

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Querier is a connection, a transaction or a pool.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const (
	codeInvalidName           = "42602"
	codeInsufficientPrivilege = "42501"
)

// Table returns the OID of the table, view or other relation with a name, 0 if there is none.
func Table(ctx context.Context, db Querier, name string) (uint32, error) {
	for _, spelling := range []string{name, pgx.Identifier(strings.Split(name, ".")).Sanitize()} {
		var oid uint32
		err := db.QueryRow(ctx, "SELECT coalesce(to_regclass($1)::oid, 0)", spelling).Scan(&oid)
		pg, refused := errors.AsType[*pgconn.PgError](err)
		switch {
		case refused && pg.Code == codeInvalidName:
			continue
		case refused && pg.Code == codeInsufficientPrivilege:
			// The role may not use the schema, but the system catalog still has the table.
			err = db.QueryRow(ctx,
				`SELECT coalesce((SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE (n.nspname, c.relname) = ((parse_ident($1))[1], (parse_ident($1))[2])), 0)`, spelling).Scan(&oid)
		}
		if err != nil {
			return 0, fmt.Errorf("find table %s: %w", name, err)
		}
		if oid != 0 {
			return oid, nil
		}
	}
	return 0, nil
}

// Column returns the name of a table's column as Postgres has it. It is empty if there is none, as for an expression.
func Column(ctx context.Context, db Querier, table uint32, name string) (string, error) {
	spellings := []string{strings.ToLower(name), name}
	if inner, ok := unquoted(name); ok {
		spellings = []string{inner}
	}
	for _, spelling := range spellings {
		var found string
		err := db.QueryRow(ctx, `SELECT attname FROM pg_attribute
			WHERE attrelid = $1 AND attname = $2 AND attnum > 0 AND NOT attisdropped`, table, spelling).Scan(&found)
		switch {
		case err == nil:
			return found, nil
		case !errors.Is(err, pgx.ErrNoRows):
			return "", fmt.Errorf("find column %s: %w", name, err)
		}
	}
	return "", nil
}

// unquoted returns the text between the quotes of a quoted name.
func unquoted(name string) (string, bool) {
	if len(name) < 3 || name[0] != '"' || name[len(name)-1] != '"' {
		return "", false
	}
	inner := strings.ReplaceAll(name[1:len(name)-1], `""`, "\x00")
	if strings.Contains(inner, `"`) {
		return "", false
	}
	return strings.ReplaceAll(inner, "\x00", `"`), true
}
