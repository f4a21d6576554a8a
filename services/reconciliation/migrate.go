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
