// Package builtin owns the catalog's built-in tables, driftless.products and driftless.prices, and the mapping that
// reads them. They are used where no mapping of the operator's own tables is configured.
package builtin

import (
	"context"
	"embed"
	"fmt"

	"github.com/driftless-sync/driftless/services/config"
	"github.com/driftless-sync/driftless/services/migrate"
)

//go:embed migrations
var migrations embed.FS

// Migrate makes the tables or brings them up to date. Several processes may call it at once.
func Migrate(ctx context.Context, url string) error {
	if err := migrate.Up(ctx, migrate.Config{URL: url, Schema: "driftless", Table: "ingestion_migrations", Files: migrations}); err != nil {
		return fmt.Errorf("the catalog's built-in tables: %w", err)
	}
	return nil
}

// Mapping reads the built-in tables.
func Mapping() *config.Mapping {
	return &config.Mapping{
		Products: `SELECT id, name, active, description, images, marketing_features, metadata, package_dimensions, shippable,
			statement_descriptor, tax_code, unit_label, url, default_price FROM driftless.products`,
		Prices: `SELECT id, product, active, currency, unit_amount, unit_amount_decimal, billing_scheme, recurring, tiers, tiers_mode,
			transform_quantity, currency_options, custom_unit_amount, tax_behavior, lookup_key, nickname, metadata FROM driftless.prices`,
		Watch: []config.WatchedTable{
			{Table: "driftless.products", ProductID: "id"},
			{Table: "driftless.prices", ProductID: "product"},
		},
	}
}
