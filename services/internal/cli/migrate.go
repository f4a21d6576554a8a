package cli

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/reconciliation"
)

// migrateCmd makes tables with a role that may, so that the services' roles need not be allowed to.
type migrateCmd struct {
	DatabaseURL       config.Secret `name:"database-url" env:"DATABASE_URL" secret:"" placeholder:"URL" help:"Where the built-in tables are to be. Not used with a mapping of your own tables."`
	LedgerDatabaseURL config.Secret `name:"ledger-database-url" env:"LEDGER_DATABASE_URL" secret:"" placeholder:"URL" help:"Where the ledger is to be; the catalog's database if not given."`
	Publication       string        `name:"publication" env:"DRIFTLESS_PUBLICATION" default:"driftless" help:"Publication of the built-in tables."`
	CatalogRole       string        `name:"catalog-role" env:"DRIFTLESS_CATALOG_ROLE" placeholder:"ROLE" help:"Role of ingestion, which is granted what it needs."`
	LedgerRole        string        `name:"ledger-role" env:"DRIFTLESS_LEDGER_ROLE" placeholder:"ROLE" help:"Role of reconciliation, which is granted what it needs."`
}

func (cmd *migrateCmd) Run(ctx context.Context, c *cli, mapping *config.Mapping) error {
	ledgerURL := cmd.LedgerDatabaseURL
	if ledgerURL == "" {
		ledgerURL = cmd.DatabaseURL
	}
	if ledgerURL == "" {
		return errors.New(
			"neither DATABASE_URL nor LEDGER_DATABASE_URL is set: give the databases in which tables are to be made")
	}
	done := []string{}
	if cmd.DatabaseURL != "" && mapping == nil {
		if err := ingestion.Migrate(ctx, cmd.DatabaseURL.Reveal(), cmd.Publication, cmd.CatalogRole); err != nil {
			return err
		}
		done = append(done, "catalog")
	}
	if err := reconciliation.Migrate(ctx, ledgerURL.Reveal(), cmd.LedgerRole); err != nil {
		return err
	}
	done = append(done, "ledger")
	if c.Output == "json" {
		return json.NewEncoder(jsonOut).Encode(map[string][]string{"up_to_date": done})
	}
	for _, what := range done {
		sayf(stdout, "the tables of the %s are up to date\n", what)
	}
	return nil
}
