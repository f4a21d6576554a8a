// Package migrate brings a schema of a service's own in Postgres up to date, with goose.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // goose speaks database/sql
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/driftless-sync/driftless/services/config"
)

// Config of a migration.
type Config struct {
	URL string
	// Schema is made if absent; Table in it records what has been done.
	Schema, Table string
	// Files has a folder "migrations" with goose's SQL files.
	Files fs.FS
}

// Up runs what has not been run. A lock in the database keeps two processes from doing it at once. Its errors say
// what is missing and the statement that grants it.
func Up(ctx context.Context, cfg Config) error {
	if _, err := pgx.ParseConfig(cfg.URL); err != nil {
		return errors.New("the database's URL must look like postgres://user:password@host:5432/database")
	}
	db, err := sql.Open("pgx", cfg.URL)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer db.Close() //nolint:errcheck // nothing is left to write
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("cannot reach the database at %s: %w; start it, or mend its URL", config.RedactURL(cfg.URL), err)
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
	return nil
}

func ensureSchema(ctx context.Context, db *sql.DB, schema string) error {
	name := pgx.Identifier{schema}.Sanitize()
	var exists bool
	var role, base string
	if err := db.QueryRowContext(ctx, "SELECT to_regnamespace($1) IS NOT NULL, current_user, current_database()", schema).Scan(&exists, &role, &base); err != nil {
		return fmt.Errorf("look for schema %s: %w", schema, err)
	}
	if exists {
		return nil
	}
	_, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+name)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "42501":
			return fmt.Errorf("role %s may not make schema %s: run `GRANT CREATE ON DATABASE %s TO %s;`", role, schema,
				pgx.Identifier{base}.Sanitize(), pgx.Identifier{role}.Sanitize())
		case "23505", "42P06":
			// Another process made it at the same moment.
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("make schema %s: %w", schema, err)
	}
	return nil
}
