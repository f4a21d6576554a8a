// Package migrate brings a service's own Postgres schema up to date, with goose.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib" // goose speaks database/sql
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/driftless-sync/driftless/services/internal/redact"
)

// Config configures a migration.
type Config struct {
	URL string
	// Connection says how to connect. Defaults to what URL says.
	Connection *pgx.ConnConfig
	// Schema is created if it does not exist. Table in it records the applied migrations.
	Schema, Table string
	// Files has a folder "migrations" with goose's SQL files.
	Files fs.FS
	// CheckOnly changes nothing and returns an error if a migration is missing. It is for roles that may not create
	// tables.
	CheckOnly bool
	// GrantTo is a role that gets the rights to work with the schema's tables. Empty grants nothing.
	GrantTo string
}

// outdatedError says what a check found.
type outdatedError struct{ reason string }

func (e outdatedError) Error() string { return e.reason }

// IsOutdated reports whether a check found that the schema lacks something. Any other error of a check means that it
// could not be made.
func IsOutdated(err error) bool {
	_, ok := errors.AsType[outdatedError](err)
	return ok
}

// connection returns how to connect.
func (c Config) connection() (*pgx.ConnConfig, error) {
	if c.Connection != nil {
		return c.Connection, nil
	}
	return pgx.ParseConfig(c.URL)
}

// Up applies the missing migrations. A lock in the database lets one process at a time do it. Its errors say what is
// missing and which statement grants it.
func Up(ctx context.Context, cfg Config) error {
	connection, err := cfg.connection()
	if err != nil {
		return errors.New("the database's URL must look like postgres://user:password@host:5432/database")
	}
	db := stdlib.OpenDB(*connection)
	defer db.Close() //nolint:errcheck // nothing is left to write
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("cannot reach the database at %s: %w; start it, or correct its URL",
			redact.URL(cfg.URL),
			err)
	}
	if cfg.CheckOnly {
		return check(ctx, db, cfg)
	}
	if err := ensureSchema(ctx, db, cfg.Schema); err != nil {
		return err
	}
	files, err := fs.Sub(cfg.Files, "migrations")
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	store, err := database.NewStore(database.DialectPostgres, cfg.Schema+"."+cfg.Table)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	provider, err := goose.NewProvider("", db, files, goose.WithStore(store), goose.WithSessionLocker(locker),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema %s: %w", cfg.Schema, err)
	}
	return grant(ctx, db, cfg)
}

// check returns an error if a migration is missing. A later schema is no error: the previous version works without what
// a version adds.
func check(ctx context.Context, db *sql.DB, cfg Config) error {
	want, err := latestVersion(cfg.Files)
	if err != nil {
		return err
	}
	table := cfg.Schema + "." + cfg.Table
	exists, readable := true, false
	err = db.QueryRowContext(ctx, `SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
		cfg.Schema, cfg.Table).Scan(&readable)
	if errors.Is(err, sql.ErrNoRows) {
		exists = false
	} else if err != nil {
		return fmt.Errorf("look for schema %s: %w", cfg.Schema, err)
	}
	var have int64
	switch {
	case !exists:
	case !readable:
		return outdatedError{fmt.Sprintf(
			"the role may not read %s: run `driftless migrate` with this role as the one that gets the rights", table)}
	default:
		if err := db.QueryRowContext(ctx,
			"SELECT coalesce(max(version_id) FILTER (WHERE is_applied), 0) FROM "+
				pgx.Identifier{cfg.Schema, cfg.Table}.Sanitize()).Scan(&have); err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
	}
	if have < want {
		return outdatedError{fmt.Sprintf(
			"schema %s is at version %d, and this program needs %d: run `driftless migrate` of this version first",
			cfg.Schema, have, want)}
	}
	return nil
}

// latestVersion returns the version of the last file.
func latestVersion(files fs.FS) (int64, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, errors.Join(errors.New("there are no migrations"), err)
	}
	version, err := goose.NumericComponent(slices.Max(names))
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	return version, nil
}

// grant gives a role the rights to work with all tables of the schema, and with later ones.
func grant(ctx context.Context, db *sql.DB, cfg Config) error {
	if cfg.GrantTo == "" {
		return nil
	}
	schema, role := pgx.Identifier{cfg.Schema}.Sanitize(), pgx.Identifier{cfg.GrantTo}.Sanitize()
	for _, statement := range []string{
		"GRANT USAGE ON SCHEMA " + schema + " TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + schema + " TO " + role,
		"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA " + schema + " TO " + role,
		"ALTER DEFAULT PRIVILEGES IN SCHEMA " + schema + " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO " + role,
		"ALTER DEFAULT PRIVILEGES IN SCHEMA " + schema + " GRANT USAGE, SELECT ON SEQUENCES TO " + role,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Explain returns the error of Up with the statement that grants the role its rights in a schema that another role
// created, if that is what failed. Other errors, and nil, are returned as they are.
func Explain(ctx context.Context, cfg Config, err error) error {
	const insufficientPrivilege = "42501"
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refused.Code != insufficientPrivilege {
		return err
	}
	connection, connErr := cfg.connection()
	if connErr != nil {
		return refused
	}
	conn, connErr := pgx.ConnectConfig(ctx, connection)
	if connErr != nil {
		return refused
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var role string
	var mayCreate bool
	if conn.QueryRow(ctx,
		"SELECT current_user, has_schema_privilege($1, 'CREATE') AND has_schema_privilege($1, 'USAGE')",
		cfg.Schema).Scan(&role, &mayCreate) != nil {
		return refused
	}
	missing := "CREATE, USAGE ON SCHEMA "
	if mayCreate {
		missing = "ALL ON ALL TABLES IN SCHEMA "
	}
	return fmt.Errorf("role %s lacks a right (%s): run `GRANT %s%s TO %s;`", role, refused.Message, missing,
		pgx.Identifier{cfg.Schema}.Sanitize(), pgx.Identifier{role}.Sanitize())
}

func ensureSchema(ctx context.Context, db *sql.DB, schema string) error {
	name := pgx.Identifier{schema}.Sanitize()
	var exists bool
	var role, base string
	if err := db.QueryRowContext(ctx, "SELECT to_regnamespace($1) IS NOT NULL, current_user, current_database()",
		schema).Scan(&exists, &role, &base); err != nil {
		return fmt.Errorf("look for schema %s: %w", schema, err)
	}
	if exists {
		return nil
	}
	_, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+name)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "42501":
			return fmt.Errorf("role %s may not create schema %s: run `GRANT CREATE ON DATABASE %s TO %s;`", role,
				schema,
				pgx.Identifier{base}.Sanitize(), pgx.Identifier{role}.Sanitize())
		case "23505", "42P06":
			// Another process created it at the same moment.
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("create schema %s: %w", schema, err)
	}
	return nil
}
