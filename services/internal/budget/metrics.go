package budget

import "github.com/driftless-sync/driftless/services/internal/metrics"

// Observe reports the account's limit until the returned function is called.
func (b *Budget) Observe() (stop func()) {
	return metrics.Observe(func(report metrics.Report) {
		report(metrics.StripeBudgetLimit, b.limits.PerSecond)
	}, metrics.StripeBudgetLimit)
}
