package cli

import (
	"context"
	"path/filepath"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local"
)

func (u *up) startPostgres(ctx context.Context) error {
	if u.DatabaseURL != "" {
		u.endpoints.Database = u.DatabaseURL.Reveal()
		if !u.DryRun {
			return nil
		}
		if err := u.shareDatabase(ctx); err != nil {
			return err
		}
	}
	pg, err := local.StartPostgres(ctx, local.PostgresConfig{
		DataDir: filepath.Join(u.dataDir, "postgres"),
		Logger:  u.logger,
	})
	if err != nil {
		return err
	}
	u.onStop(func() {
		if err := pg.Close(); err != nil {
			u.logger.Warn("could not stop Postgres", "error", err)
		}
	})
	u.postgres = pg
	if u.DryRun {
		// A dry run writes neither to the operator's database nor to the ledger of a mesh.
		u.LedgerDatabaseURL, u.LedgerDatabaseURLFile = config.Secret(pg.URL()), ""
	}
	if u.DatabaseURL == "" {
		u.endpoints.Database = pg.URL()
	}
	return nil
}
