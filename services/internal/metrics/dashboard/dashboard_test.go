package dashboard_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/metrics/dashboard"
)

var update = flag.Bool("update", false, "write deploy/grafana/driftless.json")

var root = filepath.Join("..", "..", "..", "..")

func TestJSON_IsFresh(t *testing.T) {
	path := filepath.Join(root, "deploy", "grafana", "driftless.json")
	want, err := dashboard.JSON()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(path, want, 0o600))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "write it again with: go test ./internal/metrics/dashboard -update")
	require.True(t, json.Valid(have))
}

// rules is deploy/alerts/driftless.rules.yaml.
type rules struct {
	Groups []struct {
		Rules []struct {
			Record      string            `yaml:"record"`
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func readRules(t *testing.T) (out rules) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "deploy", "alerts", "driftless.rules.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, &out))
	require.NotEmpty(t, out.Groups)
	return out
}

// knownLabels returns what a query may use: the labels of each series, and their values if all are known.
func knownLabels(t *testing.T) map[string][]metrics.Label {
	t.Helper()
	out := map[string][]metrics.Label{}
	for _, m := range metrics.All() {
		name, err := m.Prometheus()
		require.NoError(t, err)
		with := append([]metrics.Label{metrics.Component, metrics.Account}, m.Labels...)
		if m.Kind != metrics.KindHistogram {
			out[name] = with
			continue
		}
		out[name+"_count"], out[name+"_sum"] = with, with
		out[name+"_bucket"] = append(slices.Clone(with), metrics.Label{Name: "le"})
	}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				out[r.Record] = []metrics.Label{metrics.Account}
				if strings.HasPrefix(r.Record, "driftless:not_converged") {
					out[r.Record] = append(out[r.Record], metrics.Lane)
				}
			}
		}
	}
	return out
}

// check parses a query and checks it against known. It returns the names of the series that it uses.
func check(t *testing.T, expr string, known map[string][]metrics.Label) (asked []string) {
	t.Helper()
	expr = strings.NewReplacer("$__rate_interval", "5m", "$account", ".+").Replace(expr)
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	require.NoError(t, err, expr)
	var allowed []string
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		with, ok := known[selector.Name]
		require.True(t, ok, "%s asks for %s, which no service exposes", expr, selector.Name)
		asked = append(asked, selector.Name)
		for _, l := range with {
			allowed = append(allowed, l.Name)
		}
		for _, m := range selector.LabelMatchers {
			if m.Name != model.MetricNameLabel {
				checkMatcher(t, expr, m, with)
			}
		}
		return nil
	})
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		var names []string
		switch n := node.(type) {
		case *parser.AggregateExpr:
			names = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				names = n.VectorMatching.MatchingLabels
			}
		}
		for _, name := range names {
			require.Contains(t, allowed, name, "%s groups by a label that its series have not", expr)
		}
		return nil
	})
	return asked
}

func checkMatcher(t *testing.T, expr string, m *labels.Matcher, with []metrics.Label) {
	t.Helper()
	i := slices.IndexFunc(with, func(l metrics.Label) bool { return l.Name == m.Name })
	require.GreaterOrEqual(t, i, 0, "%s: the series has no label %s", expr, m.Name)
	if values := with[i].Values; values != nil {
		// A matcher that matches all values, or none, is a mistake.
		n := 0
		for _, v := range values {
			if m.Matches(v) {
				n++
			}
		}
		require.Positive(t, n, "%s: no value of %s matches %s", expr, m.Name, m)
		require.Less(t, n, len(values), "%s: every value of %s matches %s", expr, m.Name, m)
	}
}

func TestRows_QueryExposedMetrics(t *testing.T) {
	known := knownLabels(t)
	var asked []string
	for _, row := range dashboard.Rows {
		for _, p := range row.Panels {
			require.NotEmpty(t, p.Queries, p.Title)
			for _, q := range p.Queries {
				asked = append(asked, check(t, q.Expr, known)...)
			}
		}
	}
	// A metric that is not shown need not exist.
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			asked = append(asked, check(t, r.Expr, known)...)
		}
	}
	for _, m := range metrics.All() {
		name, err := m.Prometheus()
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(asked, func(a string) bool {
			return a == name || strings.TrimSuffix(strings.TrimSuffix(a, "_bucket"), "_count") == name
		}),
			"neither dashboard nor rules ask for %s", name)
	}
}

func TestCheck_DetectsWrongQuery(t *testing.T) {
	known := map[string][]metrics.Label{"driftless_halted": {metrics.Account}}
	_, err := parser.NewParser(parser.Options{}).ParseExpr("sum(")
	require.Error(t, err)
	require.Equal(t, []string{"driftless_halted"},
		check(t, `max by (account) (driftless_halted{account=~"$account"})`, known))
}

func TestAlerts_HaveRunbooks(t *testing.T) {
	const at = "https://github.com/driftless-sync/driftless/blob/main/docs/runbooks/"
	parts := []string{"Meaning", "Impact", "Diagnosis", "Resolution", "Verification"}
	pages := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "*.md"))
	require.NoError(t, err)
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".md"); name != "README" {
			pages[name] = true
		}
	}
	index, err := os.ReadFile(filepath.Join(root, "docs", "runbooks", "README.md"))
	require.NoError(t, err)
	tests, err := os.ReadFile(filepath.Join(root, "deploy", "alerts", "driftless.rules_test.yaml"))
	require.NoError(t, err)
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			require.True(t, pages[r.Alert], "docs/runbooks/%s.md is missing", r.Alert)
			delete(pages, r.Alert)
			page, err := os.ReadFile(filepath.Join(root, "docs", "runbooks", r.Alert+".md"))
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(page), "# "+r.Alert+"\n"), "the title of %s.md", r.Alert)
			require.Equal(t, parts, headings(string(page)), r.Alert)
			require.Contains(t, string(index), "("+r.Alert+".md)")
			require.Contains(t, []string{"critical", "warning", "info"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			require.NotEmpty(t, r.Annotations["description"], r.Alert)
			require.Equal(t, at+r.Alert+".md", r.Annotations["runbook_url"])
			require.Contains(t, string(tests), `alertname="`+r.Alert+`"`, "no test has it fire")
		}
	}
	require.Empty(t, pages, "pages of alerts that there are not")
}

// headings returns the second-level headings of a page.
func headings(page string) (out []string) {
	for line := range strings.Lines(page) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			out = append(out, strings.TrimSpace(heading))
		}
	}
	return out
}
