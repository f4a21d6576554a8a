package ingestion

import (
	"context"

	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/stripeids"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/ingestion/internal/watch"
)

// Migrate creates or updates the built-in tables and their publication. It is for a service whose own role may not
// create tables. grantTo is the role of that service, which is granted the rights that it needs. Empty grants nothing.
func Migrate(ctx context.Context, databaseURL, publication, grantTo string) error {
	return withSetupLock(ctx, database(databaseURL, ""),
		func() error { return makeTables(ctx, databaseURL, publication, grantTo) })
}

// MigrateStripeIDs creates or updates the table of Stripe's ids, and grants the service's role the rights to maintain
// it. An empty role is granted nothing.
func MigrateStripeIDs(ctx context.Context, databaseURL, grantTo string) error {
	return withSetupLock(ctx, database(databaseURL, ""),
		func() error { return stripeids.Migrate(ctx, databaseURL, grantTo) })
}

func makeTables(ctx context.Context, databaseURL, publication, grantTo string) error {
	if err := builtin.MigrateFor(ctx, databaseURL, grantTo); err != nil {
		return err
	}
	pool, err := connect(ctx, Config{DatabaseURL: databaseURL}, false)
	if err != nil {
		return err
	}
	defer pool.Close()
	watched, findings, err := watch.Compile(ctx, pool, builtin.Mapping().Watch)
	if err != nil {
		return err
	}
	if err := findings.Err(); err != nil {
		return err
	}
	source := wal.Source{Database: database(databaseURL, ""), Publication: publication, Tables: watched.Tables}
	_, err = source.EnsurePublication(ctx, pool)
	return err
}
