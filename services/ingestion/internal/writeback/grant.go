package writeback

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// targetTables finds the tables that a statement writes. PostgreSQL's error does not say which right on which schema's
// table is missing.
var targetTables = regexp.MustCompile(
	`(?i)\b(insert\s+into|update|delete\s+from|merge\s+into)\s+(?:only\s+)?((?:"(?:[^"]|"")+"|[a-z_][\w$]*)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[a-z_][\w$]*))?)`)

// onConflictUpdate finds an INSERT that may update.
var onConflictUpdate = regexp.MustCompile(`(?is)\bon\s+conflict\b.*\bdo\s+update\b`)

// missingGrants returns the statements that grant the role of a connection what a statement needs. It uses its own
// connection, because a failed transaction accepts no more queries.
func missingGrants(ctx context.Context, cfg *pgx.ConnConfig, sql string) string {
	const unknown = "GRANT the role of DATABASE_URL what the statement does to the tables that it names"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return unknown
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var role string
	if err := conn.QueryRow(ctx, "SELECT quote_ident(current_user)").Scan(&role); err != nil {
		return unknown
	}
	var out []string
	for _, found := range targetTables.FindAllStringSubmatch(sql, -1) {
		if strings.EqualFold(found[2], "set") || strings.EqualFold(found[2], "of") {
			continue // of DO UPDATE SET and FOR UPDATE OF
		}
		rights := []string{"SELECT", strings.ToUpper(strings.Fields(found[1])[0])}
		switch {
		case rights[1] == "MERGE":
			rights = []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
		case rights[1] == "INSERT" && onConflictUpdate.MatchString(sql):
			rights = append(rights, "UPDATE")
		}
		out = append(out, missing(ctx, conn, role, found[2], rights)...)
	}
	if len(out) == 0 {
		return unknown
	}
	return "run `" + strings.Join(out, " ") + "`"
}

func missing(ctx context.Context, conn *pgx.Conn, role, table string, rights []string) (out []string) {
	schema, mayUse := "", true
	err := conn.QueryRow(ctx, `SELECT quote_ident(n.nspname), has_schema_privilege(n.oid, 'USAGE')
		FROM pg_namespace n WHERE cardinality(parse_ident($1)) = 2 AND n.nspname = (parse_ident($1))[1]`, table).Scan(
		&schema, &mayUse)
	if err == nil && !mayUse {
		out = append(out, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", schema, role))
	}
	var lacking []string
	for _, right := range rights {
		var has bool
		// It asks the system catalog, because a name in a schema that the role may not use cannot be resolved.
		if err := conn.QueryRow(ctx,
			`SELECT coalesce(bool_or(has_table_privilege(c.oid, $2)), false) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE CASE cardinality(parse_ident($1)) WHEN 2 THEN (n.nspname, c.relname) = ((parse_ident($1))[1], (parse_ident($1))[2])
				ELSE c.relname = (parse_ident($1))[1] AND pg_table_is_visible(c.oid) END`, table, right).Scan(
			&has); err != nil || !has {
			lacking = append(lacking, right)
		}
	}
	if len(lacking) > 0 {
		out = append(out, fmt.Sprintf("GRANT %s ON %s TO %s;", strings.Join(lacking, ", "), table, role))
	}
	return out
}
