package reconciliation

import (
	"context"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// Migrate makes the ledger's tables or brings them up to date, ahead of a service that may not. grantTo is the role of
// that service; empty for the role of the URL.
func Migrate(ctx context.Context, ledgerURL, grantTo string) error {
	return ledger.Migrate(ctx, ledgerURL, grantTo)
}
