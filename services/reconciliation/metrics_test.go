package reconciliation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// noon is the time of everything.
var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(noon.Add(-d)) }

// TestMetrics_ReportEquality checks that metrics report equality, and none of it if it was not updated lately.
func TestMetrics_ReportEquality(t *testing.T) {
	collect := func(seen *controlv1.Equality, converged map[string]time.Time) map[string]float64 {
		t.Helper()
		out := map[string]float64{}
		reportEquality(func(g metrics.Gauge, value float64, labels ...metrics.Attribute) {
			name := g.Name
			for _, l := range labels {
				name += " " + l.Value.AsString()
			}
			out[name] = value
		}, seen, converged)
		return out
	}
	require.Equal(t, map[string]float64{"driftless.equality.known": 0}, collect(nil, nil))
	seen := &controlv1.Equality{
		At: timestamppb.New(noon),
		Capture: &meshv1.CaptureReport{
			At:           ago(time.Second),
			State:        meshv1.CaptureState_CAPTURE_STATE_READING,
			CapturedUpTo: ago(2 * time.Second),
		},
		TablesComparedAt: ago(8 * time.Hour),
		UnwatchedTables:  []string{"category"},
	}
	converged := map[string]time.Time{"live": noon}
	got := collect(seen, converged)
	require.InDelta(t, 1, got["driftless.equality.known"], 0)
	require.InDelta(t, noon.Unix(), got["driftless.converged.timestamp live"], 0)
	require.InDelta(t, noon.Unix()-2, got["driftless.captured.timestamp"], 0)
	require.InDelta(t, noon.Add(-8*time.Hour).Unix(), got["driftless.tables.compared.timestamp"], 0)
	require.InDelta(t, 1, got["driftless.capture.status reading"], 0)
	require.InDelta(t, 0, got["driftless.capture.status absent"], 0)
	require.InDelta(t, 1, got["driftless.capture.unwatched_tables"], 0)
	require.NotContains(t, got, "driftless.converged.timestamp bulk")

	seen.Capture.At, seen.Unknown = ago(time.Minute), "no ingestion runs"
	got = collect(seen, converged)
	require.InDelta(t, 1, got["driftless.capture.status absent"], 0)
	require.InDelta(t, 0, got["driftless.equality.known"], 0)
	require.Equal(t,
		map[string]float64{"driftless.equality.known": 0, "driftless.converged.timestamp live": float64(noon.Unix())},
		collect(nil, converged))
}

func TestMetrics_KnowEveryRuleOfTheGuard(t *testing.T) {
	var rules []string
	for _, r := range guard.Rules() {
		rules = append(rules, string(r))
	}
	require.Equal(t, rules, metrics.GuardRule.Values)
}

func TestMetrics_ReportHeldProductsByRule(t *testing.T) {
	l, err := ledger.Open(t.Context(), localtest.Postgres(t), ledger.Config{Account: "default"})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	f := &accountMetrics{&reconciler{ledger: l}}
	held := func() map[string]float64 {
		t.Helper()
		show, err := f.held(t.Context())
		require.NoError(t, err)
		out := map[string]float64{}
		show(func(_ metrics.Gauge, value float64, labels ...metrics.Attribute) {
			out[labels[0].Value.AsString()] = value
		})
		return out
	}
	before := held()
	require.Len(t, before, len(guard.Rules()), "an alert must see that a rule holds nothing")
	require.Zero(t, before["check"])
	require.NoError(t, l.Apply(t.Context(),
		ledger.DesiredChange(&catalogv1.ProductChange{
			ProductId: "mug", Version: 2, Product: &catalogv1.Product{Id: "mug", Name: "Mug"},
		}, ledger.Position{Sequence: 1, Stored: noon}, ledger.Entry{}),
		ledger.ObservedChange(&catalogv1.Observed{ProductId: "mug", Hold: &catalogv1.Hold{
			Version: 2,
			Findings: []*catalogv1.Finding{
				{Rule: "check:margin"}, {Rule: "check:price list"}, {Rule: "amount_change"},
			},
		}}, ledger.Position{Sequence: 1, Stored: noon})))
	after := held()
	require.InDelta(t, 1, after["check"], 0, "a product counts once, and the checks have no label of their own")
	require.InDelta(t, 1, after["amount_change"], 0)
	require.Len(t, after, len(before))
}

func TestReportRetries_ReportsLongestFailureOfEachClass(t *testing.T) {
	got := map[string]float64{}
	reportRetries(func(_ metrics.Gauge, value float64, labels ...metrics.Attribute) {
		got[labels[0].Value.AsString()] = value
	}, []*meshv1.Retry{
		{ProductId: "mug", Failure: "server_error", FailingSince: ago(time.Minute)},
		{ProductId: "cup", Failure: "server_error", FailingSince: ago(time.Hour)},
		{ProductId: "pot", Failure: "of a later version", FailingSince: ago(time.Second)},
		{ProductId: "held for creation"},
	}, noon)
	require.Equal(t, map[string]float64{
		"server_error": 3600, "other": 1, "no_answer": 0, "rate_limited": 0, "refused": 0,
	}, got, "an alert must see that a class has none")
}
