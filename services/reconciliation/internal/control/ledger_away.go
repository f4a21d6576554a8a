package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

const (
	// slowCall is how long a call may take before the ledger's database is asked whether it answers at all.
	slowCall = 3 * time.Second
	// answerTimeout is how long the database may take to accept a connection.
	answerTimeout = 3 * time.Second
)

// requireLedger fails calls with Unavailable if the ledger's database hangs. Without it they would wait until their
// deadline. A database that is only slow does not end a call.
func requireLedger(ask func(context.Context) error, slow, timeout time.Duration) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			calling, end := context.WithCancelCause(ctx)
			defer end(nil)
			timer := time.AfterFunc(slow, func() {
				asking, cancel := context.WithTimeout(calling, timeout)
				defer cancel()
				if err := ask(asking); err != nil && calling.Err() == nil {
					end(&ledgerAwayError{err})
				}
			})
			defer timer.Stop()
			answer, err := next(calling, req)
			if away, ok := errors.AsType[*ledgerAwayError](context.Cause(calling)); ok && err != nil {
				return nil, connect.NewError(connect.CodeUnavailable, away)
			}
			return answer, err
		}
	}
}

// ledgerAwayError means that the ledger's database cannot be reached.
type ledgerAwayError struct{ cause error }

func (e *ledgerAwayError) Error() string {
	return fmt.Sprintf(
		"reconciliation cannot reach the ledger's database (see docs/runbooks/DriftlessDatabaseUnreachable.md): %v", e.cause)
}

func (e *ledgerAwayError) Unwrap() error { return e.cause }

// explainAway names the ledger's database in the error of a connection that could not be made.
func explainAway(err error) error {
	if _, ok := errors.AsType[*ledgerAwayError](err); !ok && ledger.IsAway(err) {
		return &ledgerAwayError{err}
	}
	return err
}
