package cli

import (
	"context"
	"path/filepath"

	"github.com/driftless-sync/driftless/services/internal/local"
)

func (u *up) startPostgres(ctx context.Context) error {
	if u.DatabaseURL != "" {
		u.endpoints.Database = u.DatabaseURL.Reveal()
		return nil
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
	u.endpoints.Database, u.postgres = pg.URL(), pg
	return nil
}
