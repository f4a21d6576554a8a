package cli

import (
	"context"
	"errors"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/reconciliation"
)

// migrateCmd creates the tables with a role that may do so. The services' roles then need no such privilege.
type migrateCmd struct {
	DatabaseURL       config.Secret `name:"database-url" env:"DATABASE_URL" secret:"" placeholder:"URL" help:"Database of the catalog. With a mapping of your own tables only driftless.stripe_ids is created in it."`
	LedgerDatabaseURL config.Secret `name:"ledger-database-url" env:"LEDGER_DATABASE_URL" secret:"" placeholder:"URL" help:"Database of the ledger. Defaults to the catalog's database."`
	Publication       string        `name:"publication" env:"DRIFTLESS_PUBLICATION" default:"driftless" help:"Publication of the built-in tables."`
	CatalogRole       string        `name:"catalog-role" env:"DRIFTLESS_CATALOG_ROLE" placeholder:"ROLE" help:"Role of ingestion, which gets the privileges that it needs."`
	StripeIDs         bool          `name:"stripe-ids" env:"DRIFTLESS_STRIPE_IDS" help:"Also create the table driftless.stripe_ids. It is created whenever catalog.write_ids is set."`
	LedgerRole        string        `name:"ledger-role" env:"DRIFTLESS_LEDGER_ROLE" placeholder:"ROLE" help:"Role of reconciliation, which gets the privileges that it needs."`
}

func (cmd *migrateCmd) Run(ctx context.Context, c *cli, mapping *config.Mapping) error {
	ledgerURL := cmd.LedgerDatabaseURL
	if ledgerURL == "" {
		ledgerURL = cmd.DatabaseURL
	}
	if ledgerURL == "" {
		return errors.New(
			"neither DATABASE_URL nor LEDGER_DATABASE_URL is set: set the databases in which to create the tables")
	}
	done := []string{}
	if cmd.DatabaseURL != "" && mapping.IsBuiltIn() {
		if err := ingestion.Migrate(ctx, cmd.DatabaseURL.Reveal(), cmd.Publication, cmd.CatalogRole); err != nil {
			return err
		}
		done = append(done, "catalog")
	}
	if cmd.DatabaseURL != "" && (cmd.StripeIDs || mapping != nil && mapping.WriteIDs != nil) {
		if err := ingestion.MigrateStripeIDs(ctx, cmd.DatabaseURL.Reveal(), cmd.CatalogRole); err != nil {
			return err
		}
		done = append(done, "stripe ids")
	}
	if err := reconciliation.Migrate(ctx, ledgerURL.Reveal(), cmd.LedgerRole); err != nil {
		return err
	}
	done = append(done, "ledger")
	if c.Output == "json" {
		return printJSON(migrateAnswer{UpToDate: done})
	}
	for _, what := range done {
		sayf(stdout, "the tables of the %s are up to date\n", what)
	}
	return nil
}
