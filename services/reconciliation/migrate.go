package reconciliation

import (
	"context"

	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// Migrate creates or upgrades the ledger's tables, for a service that lacks the right to do so. grantTo is the role of
// that service. Empty means the role of the URL.
func Migrate(ctx context.Context, ledgerURL, grantTo string) error {
	return ledger.Migrate(ctx, ledgerURL, grantTo)
}

// CheckLedger returns an error if the ledger's tables are not up to date, which migrate.IsOutdated recognizes, and any
// other if it could not check. It changes nothing.
func CheckLedger(ctx context.Context, db postgres.Database) error { return ledger.Check(ctx, db) }
