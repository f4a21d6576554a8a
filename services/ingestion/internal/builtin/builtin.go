// Package builtin owns the catalog's built-in tables, driftless.products and driftless.prices, and the mapping that
// reads them. They are used if no mapping of the operator's own tables is configured.
package builtin

import (
	"context"
	"embed"
	"fmt"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/migrate"
	"github.com/driftless-sync/driftless/services/internal/postgres"
)

//go:embed migrations
var migrations embed.FS

// Migrate creates or updates the tables. Several processes may call it concurrently.
func Migrate(ctx context.Context, url string) error { return MigrateFor(ctx, url, "") }

// Check returns an error if the tables are not up to date, which migrate.IsOutdated recognizes, and any other if it
// could not check. It changes nothing.
func Check(ctx context.Context, db postgres.Database) error {
	connection, err := db.Config()
	if err != nil {
		return err
	}
	return up(ctx, db.URL, migrate.Config{CheckOnly: true, Connection: connection})
}

// MigrateFor does the same as Migrate, and grants a role the rights that it needs for the tables. An empty role is
// granted nothing.
func MigrateFor(ctx context.Context, url, role string) error {
	return up(ctx, url, migrate.Config{GrantTo: role})
}

func up(ctx context.Context, url string, cfg migrate.Config) error {
	cfg.URL, cfg.Schema, cfg.Table, cfg.Files = url, schema, "ingestion_migrations", migrations
	if err := migrate.Explain(ctx, cfg, migrate.Up(ctx, cfg)); err != nil {
		return fmt.Errorf("the catalog's built-in tables: %w", err)
	}
	return nil
}

const schema = "driftless"

// Mapping returns the mapping that reads the built-in tables and writes back to them.
func Mapping() *config.Mapping {
	return &config.Mapping{
		Products: "SELECT " + ProductColumns.List("") + ", archive_after FROM driftless.products",
		Prices:   "SELECT " + PriceColumns.List("") + " FROM driftless.prices",
		Watch: []config.WatchedTable{
			{Table: "driftless.products", ProductID: "id"},
			{Table: "driftless.prices", ProductID: "product"},
		},
		WriteBack: config.WriteBack{
			Product: "UPDATE driftless.products SET " + ProductColumns.Assignments("id") + " WHERE id = @id",
			Price: "UPDATE driftless.prices SET " + PriceColumns.Assignments("id", "product") +
				" WHERE id = @id AND product = @product",
			ImportProduct: "INSERT INTO driftless.products (" + ProductColumns.List("") + ") VALUES (" +
				ProductColumns.List("@") + ")",
			ImportPrice: "INSERT INTO driftless.prices (" + PriceColumns.List("") + ") VALUES (" + PriceColumns.List(
				"@") + ")",
		},
	}
}

// With returns the mapping of the built-in tables, with the checks and intervals of the operator's. It may be nil.
func With(own *config.Mapping) *config.Mapping {
	m := Mapping()
	if own != nil {
		m.Checks, m.CompareEvery, m.RereadEvery = own.Checks, own.CompareEvery, own.RereadEvery
	}
	return m
}
