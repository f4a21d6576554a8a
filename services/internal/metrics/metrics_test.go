package metrics_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/driftless-sync/driftless/services/internal/metrics"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

var (
	metricName = regexp.MustCompile(`^driftless(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)+$`)
	labelName  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	// taken lists the labels that Prometheus and its operator add themselves.
	taken = []string{"instance", "job", "service", "endpoint", "namespace", "pod", "container", "le", "quantile"}
)

func TestAll_DeclaresValidMetrics(t *testing.T) {
	names := map[string]string{}
	for _, m := range metrics.All() {
		require.Regexp(t, metricName, m.Name)
		require.NotEmpty(t, m.Services, m.Name)
		require.True(t, strings.HasSuffix(m.Meaning, "."), "%s: the meaning is a sentence", m.Name)
		prometheus, err := m.Prometheus()
		require.NoError(t, err)
		require.Empty(t, names[prometheus], "%s and %s have one name in Prometheus", m.Name, names[prometheus])
		names[prometheus] = m.Name
		switch m.Kind {
		case metrics.KindCounter:
			require.True(t, strings.HasSuffix(prometheus, "_total"), prometheus)
		case metrics.KindHistogram:
			require.NotEmpty(t, m.Buckets, m.Name)
			require.True(t, slices.IsSorted(m.Buckets), m.Name)
		case metrics.KindGauge:
		}
		require.Equal(t, m.Unit == "s", strings.HasSuffix(prometheus, "_seconds"), prometheus)
		require.Equal(t, m.Unit == "By", strings.HasSuffix(prometheus, "_bytes"), prometheus)
		var labels []string
		for _, l := range append([]metrics.Label{metrics.Component, metrics.Account}, m.Labels...) {
			require.Regexp(t, labelName, l.Name, m.Name)
			require.NotContains(t, taken, l.Name, m.Name)
			require.NotContains(t, labels, l.Name, m.Name)
			require.NotEmpty(t, l.Meaning, l.Name)
			labels = append(labels, l.Name)
		}
	}
}

// The service level needs its limit among the bounds.
func TestChangeApplied_HasBucketOfServiceLevel(t *testing.T) {
	require.Contains(t, metrics.ChangeApplied.Buckets, 5.0)
}

func TestInstruments_Record(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	metrics.ChangeSuperseded.Add(t.Context(), 3)
	metrics.ChangeApplied.Record(t.Context(), 0.3, metrics.Lane.With("live"))
	stop := metrics.Observe(func(report metrics.Report) {
		report(metrics.Products, 7, metrics.State.With("in_sync"))
	}, metrics.Products, metrics.GuardHeld)
	collected := func() map[string]metricdata.Aggregation {
		var all metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &all))
		out := map[string]metricdata.Aggregation{}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				out[m.Name] = m.Data
			}
		}
		return out
	}
	got := collected()
	require.EqualValues(t, 3, got["driftless.change.superseded"].(metricdata.Sum[int64]).DataPoints[0].Value)
	require.EqualValues(t, 1,
		got["driftless.change.applied.duration"].(metricdata.Histogram[float64]).DataPoints[0].Count)
	require.InDelta(t, 7, got["driftless.products"].(metricdata.Gauge[float64]).DataPoints[0].Value, 0)
	require.NotContains(t, got, "driftless.guard.held", "an unknown value is absent")
	stop()
	require.NotContains(t, collected(), "driftless.products")
}

// TestDocument_IsFresh checks that docs/metrics.md matches the declarations.
func TestDocument_IsFresh(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "metrics.md")
	want := document(t)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "write it again with: go test ./internal/metrics -update")
}

func document(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Metrics\n\n" +
		"Every service serves these at `/metrics`, for Prometheus to scrape. In the OpenMetrics format, which Prometheus asks\n" +
		"for, histograms carry exemplars: the trace ids of sampled changes and calls. Prometheus stores them if it runs with\n" +
		"`--enable-feature=exemplar-storage`. Names are OpenTelemetry's; Prometheus' are beside them. Histograms have `_bucket`,\n" +
		"`_sum` and `_count`. The runtime's own metrics (`go_*`, `process_*`) are there too.\n\n" +
		"Every series has the labels `component` (the service: ingestion, push, pull, reconciliation or console) and `account`.\n" +
		"\"All\" are the first four; the console has only `driftless_build_info` and the runtime's metrics. No label holds a\n" +
		"product's id: exemplars and `driftless history` lead to single products. Replicas report the same value for something\n" +
		"that they share (ledger, streams, the account): take `max by (account)` of it, never `sum`.\n\n" +
		"The dashboard is [deploy/grafana/driftless.json](../deploy/grafana/driftless.json), rules and alerts are\n" +
		"[deploy/alerts/driftless.rules.yaml](../deploy/alerts/driftless.rules.yaml), and each alert has a page in [runbooks](runbooks).\n\n" +
		"| OpenTelemetry | Prometheus | kind | unit | from | labels | meaning |\n|---|---|---|---|---|---|---|\n")
	type documented struct {
		metrics.Label
		of []string
	}
	labels := []*documented{}
	for _, m := range metrics.All() {
		name, err := m.Prometheus()
		require.NoError(t, err)
		from := strings.Join(m.Services, ", ")
		if len(m.Services) == 4 {
			from = "all"
		}
		var of []string
		for _, l := range m.Labels {
			of = append(of, "`"+l.Name+"`")
			i := slices.IndexFunc(labels, func(x *documented) bool { return x.Meaning == l.Meaning })
			if i < 0 {
				i, labels = len(labels), append(labels, &documented{Label: l})
			}
			labels[i].of = append(labels[i].of, "`"+m.Name+"`")
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s | %s |\n", m.Name, name, m.Kind, m.Unit, from,
			strings.Join(of, ", "), m.Meaning)
	}
	b.WriteString("\n| label | of | meaning | values |\n|---|---|---|---|\n")
	for _, l := range labels {
		of := strings.Join(l.of, ", ")
		if len(l.of) > 4 {
			of = fmt.Sprintf("%d metrics", len(l.of))
		}
		values := ""
		if len(l.Values) > 0 {
			values = "`" + strings.Join(l.Values, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", l.Name, of, l.Meaning, values)
	}
	return b.String()
}
