package stripeids

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/internal/migrate"
	"github.com/driftless-sync/driftless/services/internal/postgres"
)

//go:embed migrations
var migrations embed.FS

// Migrate creates or updates the table, and the schema driftless if it does not exist. It grants a role the rights to
// maintain the table. An empty role is granted nothing. Several processes may call it concurrently.
func Migrate(ctx context.Context, url, role string) error {
	return up(ctx, migrate.Config{URL: url, GrantTo: role})
}

// Check returns an error if the table is not up to date, which migrate.IsOutdated recognizes, and any other if it could
// not check. It changes nothing.
func Check(ctx context.Context, db postgres.Database) error {
	connection, err := db.Config()
	if err != nil {
		return err
	}
	return up(ctx, migrate.Config{URL: db.URL, CheckOnly: true, Connection: connection})
}

func up(ctx context.Context, cfg migrate.Config) error {
	cfg.Schema, cfg.Table, cfg.Files = "driftless", "stripe_ids_migrations", migrations
	if err := migrate.Explain(ctx, cfg, migrate.Up(ctx, cfg)); err != nil {
		return fmt.Errorf("the table driftless.stripe_ids: %w", err)
	}
	return nil
}

// CheckRights finds rights that the role of the pool lacks: on the tables, or, before they exist, to create them.
func CheckRights(ctx context.Context, pool *pgxpool.Pool) (finding.List, error) {
	var found finding.List
	for _, table := range []string{"driftless.stripe_ids", "driftless.stripe_ids_progress"} {
		var role string
		var lacking []string
		var exists bool
		if err := pool.QueryRow(ctx, `SELECT quote_ident(current_user), c.oid IS NOT NULL, array(SELECT r
				FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS r
				WHERE c.oid IS NOT NULL AND NOT has_table_privilege(c.oid, r))
			FROM (VALUES ($1)) AS t (name) LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace)
				ON n.nspname || '.' || c.relname = t.name`,
			table).Scan(&role, &exists, &lacking); err != nil {
			return nil, fmt.Errorf("read the rights on %s: %w", table, err)
		}
		if !exists {
			err := checkCreate(ctx, pool, &found, role)
			return found, err
		}
		if len(lacking) > 0 {
			rights := strings.Join(lacking, ", ")
			found.Refusef(fmt.Sprintf("GRANT USAGE ON SCHEMA driftless TO %[2]s; GRANT %[1]s ON %[3]s TO %[2]s;",
				rights,
				role, table), "role %s lacks %s on %s, which it maintains", role, rights, table)
		}
	}
	return found, nil
}

// checkCreate finds the right that a first start needs to create the tables.
func checkCreate(ctx context.Context, pool *pgxpool.Pool, found *finding.List, role string) error {
	var may, schema bool
	var database string
	if err := pool.QueryRow(ctx, `SELECT n.oid IS NOT NULL, quote_ident(current_database()), CASE
				WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
				ELSE has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE') END
			FROM (VALUES ('driftless')) AS t (name) LEFT JOIN pg_namespace n ON n.nspname = t.name`).Scan(&schema,
		&database, &may); err != nil {
		return fmt.Errorf("read the rights on schema driftless: %w", err)
	}
	fix := fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s;", database, role)
	if schema {
		fix = fmt.Sprintf("GRANT CREATE, USAGE ON SCHEMA driftless TO %s;", role)
	}
	if !may {
		found.Refusef(fix,
			"role %s may not create the table driftless.stripe_ids (or run `driftless migrate --stripe-ids` "+
				"with a role that may)", role)
	}
	return nil
}
