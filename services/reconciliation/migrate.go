package reconciliation

import (
	"context"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// Migrate creates or upgrades the ledger's tables, for a service that lacks the right to do so. grantTo is the role of
// that service. Empty means the role of the URL.
func Migrate(ctx context.Context, ledgerURL, grantTo string) error {
	return ledger.Migrate(ctx, ledgerURL, grantTo)
}

// CheckLedger returns an error if the ledger's tables are not up to date. It changes nothing.
func CheckLedger(ctx context.Context, ledgerURL string) error { return ledger.Check(ctx, ledgerURL) }
