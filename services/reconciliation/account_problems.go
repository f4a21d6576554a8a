package reconciliation

import (
	"cmp"
	"context"
	"sync"
	"time"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// captureGrace is how long capture must be idle before that counts as a problem. A restart of ingestion is shorter.
const captureGrace = time.Minute

// accountProblems finds the open problems of the account that are not in the ledger.
type accountProblems struct {
	*reconciler

	mu sync.Mutex
	// captureIdleSince is since when capture is known to be idle, zero if it is not: see isIdle.
	captureIdleSince time.Time
	// haltedSince is since when the account is known to be halted, zero if it is not.
	haltedSince time.Time
}

// open returns the open problems, and the kinds for which nobody knows at the moment whether one is open.
func (a *accountProblems) open(ctx context.Context) (problems []ledger.Problem, unknown []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Now()
	haltReason := ""
	err := a.mesh.Ready(ctx)
	if err == nil {
		haltReason, err = a.stores.Halted(a.Account).GetString(ctx)
	}
	switch {
	case err != nil:
		unknown = append(unknown, ledger.ProblemHalted)
	case haltReason == "":
		a.haltedSince = time.Time{}
	default:
		if a.haltedSince.IsZero() {
			a.haltedSince = now
		}
		problems = append(problems,
			ledger.Problem{Kind: ledger.ProblemHalted, Since: a.haltedSince, Reason: haltReason})
	}
	seen, _ := a.view.Latest()
	if seen == nil {
		return problems, append(unknown, ledger.ProblemCapture)
	}
	capture, known := a.capture(seen, now)
	switch {
	case !known:
		// After a restart of this service a problem that is known must not look like one that ended.
		unknown = append(unknown, ledger.ProblemCapture)
	case capture != nil:
		problems = append(problems, *capture)
	}
	return problems, unknown
}

// capture returns the problem that the catalog is not captured, nil if there is none, and whether that is known. Within
// the grace period it is not.
func (a *accountProblems) capture(seen *controlv1.Equality, now time.Time) (problem *ledger.Problem, known bool) {
	state := captureState(seen)
	switch {
	case !isIdle(state):
		a.captureIdleSince = time.Time{}
		return nil, true
	case a.captureIdleSince.IsZero():
		a.captureIdleSince = now
	}
	if now.Sub(a.captureIdleSince) < captureGrace {
		return nil, false
	}
	reason := seen.GetCapture().GetReason()
	if state == "absent" {
		reason = "no ingestion reports"
	}
	return &ledger.Problem{
		Kind: ledger.ProblemCapture, Since: a.captureIdleSince, Reason: cmp.Or(reason, "capture is "+state),
	}, true
}

// isIdle reports whether nothing is captured in a state of capture. "starting" is one of these states: capture starts
// for as long as its slot cannot be created.
func isIdle(state string) bool { return state == "stopped" || state == "starting" || state == "absent" }
