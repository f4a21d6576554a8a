package reconciliation

import (
	"context"
	"sync"
	"time"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// captureGrace is how long capture must be stopped before a notification. A restart of ingestion is shorter.
const captureGrace = time.Minute

// accountProblems knows the open problems of the account that are not in the ledger.
type accountProblems struct {
	*reconciler

	mu sync.Mutex
	// stopped is since when capture is known to be stopped, zero if it is not.
	stopped time.Time
	// halted is since when the account is known to be halted, zero if it is not.
	halted time.Time
}

// open returns the open problems, and the kinds that may be open or not, because nobody knows at the moment.
func (a *accountProblems) open(ctx context.Context) (problems []ledger.Problem, unknown []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Now()
	halted := ""
	err := a.mesh.Ready(ctx)
	if err == nil {
		halted, err = a.stores.Halted(a.Account).GetString(ctx)
	}
	switch {
	case err != nil:
		unknown = append(unknown, ledger.ProblemHalted)
	case halted == "":
		a.halted = time.Time{}
	default:
		if a.halted.IsZero() {
			a.halted = now
		}
		problems = append(problems, ledger.Problem{Kind: ledger.ProblemHalted, Since: a.halted, Reason: halted})
	}
	seen, _ := a.view.Latest()
	if seen == nil {
		return problems, append(unknown, ledger.ProblemCapture)
	}
	switch state := captureState(seen); {
	case state != "stopped" && state != "absent":
		a.stopped = time.Time{}
	case a.stopped.IsZero():
		a.stopped = now
	}
	switch {
	case a.stopped.IsZero():
	case now.Sub(a.stopped) < captureGrace:
		// After a restart of this service a problem that is known must not look like one that ended.
		unknown = append(unknown, ledger.ProblemCapture)
	default:
		reason := seen.GetCapture().GetReason()
		if captureState(seen) == "absent" {
			reason = "no ingestion reports"
		}
		problems = append(problems, ledger.Problem{Kind: ledger.ProblemCapture, Since: a.stopped, Reason: reason})
	}
	return problems, unknown
}
