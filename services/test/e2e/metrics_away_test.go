package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// atOnce is the longest time that /metrics may take on a busy machine. Prometheus gives up after 10 s.
const atOnce = 2 * time.Second

// series reads the metrics of a service, and returns the value of each series. Series are named by the metric, and by
// the values of the labels that are neither component nor account.
func (r *rig) series(service string) map[string]float64 {
	r.t.Helper()
	begun := time.Now()
	resp, err := http.Get(r.url(service) + "/metrics")
	require.NoError(r.t, err)
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(r.t, err)
	require.Less(r.t, time.Since(begun), atOnce, "the metrics of %s do not wait for anything", service)
	out := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			of := name
			for _, l := range m.GetLabel() {
				if l.GetName() != "component" && l.GetName() != "account" {
					of += " " + l.GetValue()
				}
			}
			out[of] = m.GetGauge().GetValue()
		}
	}
	return out
}

// TestMetrics_AnswerAtOnceWhateverIsAway checks that no outage delays the metrics, and that they show the outage
// instead of values that are no longer known.
func TestMetrics_AnswerAtOnceWhateverIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, stripesim.Config{}, withDetours("STRIPE_READ_ALLOWANCE=1000"))
	all := []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}
	withDatabase := map[string]string{
		topology.Ingestion:      "driftless_database_reachable catalog",
		topology.Reconciliation: "driftless_database_reachable ledger",
	}
	// The loop runs in this goroutine, because a failure in testify's would end only that one.
	eventually := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !is(); <-time.After(100 * time.Millisecond) {
			require.True(t, time.Now().Before(deadline), "not yet: %s", what)
		}
	}
	show := func(nats, database float64) {
		t.Helper()
		eventually(fmt.Sprintf("every process shows NATS %v, database %v", nats, database), func() bool {
			return !slices.ContainsFunc(all, func(service string) bool {
				series := r.series(service)
				reachable, ok := series[withDatabase[service]]
				return series["driftless_nats_connected"] != nats || ok && reachable != database ||
					!ok && withDatabase[service] != ""
			})
		})
	}
	nats, postgres := r.detours["nats"], r.detours["postgres"]
	show(1, 1)
	require.Contains(t, r.series(topology.Pull), "driftless_stripe_reads_used")
	require.Contains(t, r.series(topology.Reconciliation), "driftless_consumer_pending push-live CATALOG")

	nats.hang()
	show(0, 1)
	postgres.hang()
	show(0, 0)
	require.NotContains(t, r.series(topology.Ingestion), "driftless_replication_lag_bytes", "it is not known")
	require.Zero(t, r.series(topology.Reconciliation)["driftless_equality_known"])
	// Values that were not read lately say so.
	eventually("the values are old", func() bool {
		series := r.series(topology.Reconciliation)
		return series["driftless_metrics_age_seconds streams"] > 5 &&
			series["driftless_metrics_age_seconds ledger"] > 5 &&
			r.series(topology.Pull)["driftless_metrics_age_seconds budget"] > 5
	})
	nats.refuse()
	postgres.refuse()
	show(0, 0)
	nats.restore()
	postgres.restore()
	show(1, 1)
	eventually("the values are recent", func() bool {
		series := r.series(topology.Reconciliation)
		return series["driftless_metrics_age_seconds streams"] < 6 && series["driftless_metrics_age_seconds ledger"] < 6
	})
}
