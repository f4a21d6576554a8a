package cli

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/durable"
	"github.com/driftless-sync/driftless/services/internal/productfile"
)

// seed is the catalog of a first start.
//
//go:embed seed.json
var seed []byte

// seedCatalog writes the seed if the catalog is empty. It does so once: a catalog that was seeded, or was not empty at
// a start, is left alone from then on. So a catalog that somebody empties stays empty.
func (u *up) seedCatalog(ctx context.Context) error {
	marker := filepath.Join(u.dataDir, "seeded")
	if _, err := os.Stat(marker); err == nil {
		return nil
	}
	empty, err := u.isCatalogEmpty(ctx)
	if err != nil {
		return err
	}
	if empty {
		client, err := address{Ingest: u.endpoints.Ingest, Control: u.endpoints.Control}.ingest(u.cli)
		if err != nil {
			return err
		}
		products, err := productfile.Read(seed, productfile.JSON)
		if err != nil {
			return err
		}
		if _, _, err := applyProducts(ctx, client, products, localActor()); err != nil {
			return err
		}
	}
	return durable.WriteFile(marker, nil, 0o600)
}

func (u *up) isCatalogEmpty(ctx context.Context) (empty bool, err error) {
	conn, err := pgx.Connect(ctx, u.endpoints.Database)
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM driftless.products)").Scan(&empty)
	return empty, err
}
