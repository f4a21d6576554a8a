package chart

import (
	"os"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	corev1 "k8s.io/api/core/v1"
)

// copies are the files of the repository that the chart has again. Links would make Helm warn at each installation.
var copies = []string{"alerts/driftless.rules.yaml", "grafana/driftless.json"}

// loadWithCopies compares the copies in a chart with the files of the repository, or writes them, and then loads it.
func loadWithCopies(t *testing.T, dir string, write bool) *chart.Chart {
	t.Helper()
	for _, name := range copies {
		want, err := os.ReadFile(root + "/deploy/" + name)
		require.NoError(t, err)
		if write {
			require.NoError(t, os.WriteFile(dir+"/files/"+name, want, 0o600))
		}
		have, err := os.ReadFile(dir + "/files/" + name)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "run scripts/test-helm -update")
	}
	return loadFrom(t, dir)
}

func loadFrom(t *testing.T, dir string) *chart.Chart {
	t.Helper()
	c, err := loader.Load(dir)
	require.NoError(t, err)
	return c
}

// An update is complete after its first run.
func TestLoadWithCopies_LoadsWhatItWrites(t *testing.T) {
	changed := t.TempDir()
	require.NoError(t, os.CopyFS(changed, os.DirFS(dir)))
	for _, name := range copies {
		require.NoError(t, os.WriteFile(changed+"/files/"+name, []byte("an earlier version"), 0o600))
	}
	loaded := 0
	for _, file := range loadWithCopies(t, changed, true).Files {
		if name, ok := strings.CutPrefix(file.Name, "files/"); ok && slices.Contains(copies, name) {
			want, err := os.ReadFile(root + "/deploy/" + name)
			require.NoError(t, err)
			require.Equal(t, string(want), string(file.Data), name)
			loaded++
		}
	}
	require.Len(t, copies, loaded)
}

func TestAlertsAndDashboard_EqualThoseOfRepository(t *testing.T) {
	rendered, err := renderChart(loadWithCopies(t, dir, *update), valuesOf(t, dir+"/ci/production-values.yaml"))
	require.NoError(t, err)
	var rules, dashboards int
	for _, o := range objects(t, rendered) {
		switch made := o.decoded.(type) {
		case *monitoring.PrometheusRule:
			for _, group := range made.Spec.Groups {
				rules += len(group.Rules)
			}
		case *corev1.ConfigMap:
			if made.Labels["grafana_dashboard"] == "" {
				continue
			}
			dashboards++
			want, err := os.ReadFile(root + "/deploy/grafana/driftless.json")
			require.NoError(t, err)
			require.JSONEq(t, string(want), made.Data["driftless.json"])
		}
	}
	require.Greater(t, rules, 20)
	require.Equal(t, 1, dashboards)
}
