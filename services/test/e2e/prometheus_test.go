package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// prometheus is a real Prometheus that scrapes a rig and evaluates deploy/alerts. scripts/test-alerts --planted
// provides its program.
type prometheus struct {
	t   *testing.T
	url string
}

const (
	scrapeInterval     = 3 * time.Second
	evaluationInterval = time.Second
)

// impatient are changes of the rules, so that a test need not wait for what takes time only.
var impatient = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(?m)^(\s+for:).*$`), "$1 0s"},
	{regexp.MustCompile(`(?m)^(\s+interval:).*$`), "$1 1s"},
	{regexp.MustCompile(`(driftless_retry_oldest_age_seconds\[5m\]\)\)) > 900`), "$1 > 5"},
	{regexp.MustCompile(`(inactive_slot_retained_bytes\)) > 1024 \* 1024 \* 1024`), "$1 > 1024 * 1024"},
	{regexp.MustCompile(`(driftless_program_event_oldest_age_seconds\)) > 300`), "$1 > 3"},
	{regexp.MustCompile(`(driftless_replication_lag_duration_seconds\)) > 60`), "$1 > 5"},
}

func startPrometheus(t *testing.T, r *rig) *prometheus {
	t.Helper()
	dir := t.TempDir()
	rules, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "alerts", "driftless.rules.yaml"))
	require.NoError(t, err)
	for _, i := range impatient {
		require.Regexp(t, i.pattern, string(rules))
		rules = i.pattern.ReplaceAll(rules, []byte(i.with))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yaml"), rules, 0o600))
	var targets []string
	for _, service := range killable {
		targets = append(targets, strings.TrimPrefix(r.url(service), "http://"))
	}
	config, err := json.Marshal(map[string]any{
		"global": map[string]string{
			"scrape_interval": scrapeInterval.String(), "scrape_timeout": scrapeInterval.String(),
			"evaluation_interval": evaluationInterval.String(),
		},
		"rule_files": []string{filepath.Join(dir, "rules.yaml")},
		"scrape_configs": []any{map[string]any{
			"job_name": "driftless", "static_configs": []any{map[string]any{"targets": targets}},
		}},
	})
	require.NoError(t, err)
	// YAML includes JSON.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), config, 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	cmd := exec.Command(os.Getenv("DRIFTLESS_TEST_PROMETHEUS"), "--config.file="+filepath.Join(dir, "config.yaml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=error")
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	return &prometheus{t: t, url: "http://" + address}
}

// firing returns the alerts that fire: their names, with the values of those labels that name the cause.
func (p *prometheus) firing() map[string]bool {
	resp, err := http.Get(p.url + "/api/v1/alerts")
	if err != nil {
		return nil // it starts
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string `json:"labels"`
				State  string            `json:"state"`
			} `json:"alerts"`
		} `json:"data"`
	}
	if json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return nil
	}
	out := map[string]bool{}
	for _, a := range answer.Data.Alerts {
		if a.State != "firing" {
			continue
		}
		name := strings.TrimPrefix(a.Labels["alertname"], "Driftless")
		for _, cause := range []string{"component", "database", "failure", "reason", "operation", "slot"} {
			if a.Labels[cause] != "" {
				name += " " + a.Labels[cause]
			}
		}
		out[name] = true
	}
	return out
}

// waitFor waits until an alert fires, or does not any more. It returns what fires then.
func (p *prometheus) waitFor(alert string, fires bool) map[string]bool {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(200 * time.Millisecond) {
		firing := p.firing()
		if firing != nil && firing[alert] == fires {
			return firing
		}
		require.True(p.t, time.Now().Before(deadline), "%s must fire: %v; these do: %v", alert, fires, firing)
	}
}

// settled returns what fires after all targets were scraped, and then all rules evaluated, from now on.
func (p *prometheus) settled() map[string]bool {
	p.t.Helper()
	scraped := time.Now()
	require.Eventually(p.t, func() bool {
		var answer struct {
			Data struct {
				ActiveTargets []struct {
					LastScrape time.Time `json:"lastScrape"`
				} `json:"activeTargets"`
			} `json:"data"`
		}
		for _, target := range get(p, "/api/v1/targets", &answer).Data.ActiveTargets {
			if !target.LastScrape.After(scraped) {
				return false
			}
		}
		return len(answer.Data.ActiveTargets) > 0
	}, patience, 200*time.Millisecond)
	// A scrape takes at most its time-out. Rules of a group use results of other groups, so they are evaluated twice.
	evaluated := time.Now().Add(2 * evaluationInterval)
	require.Eventually(p.t, func() bool {
		var answer struct {
			Data struct {
				Groups []struct {
					LastEvaluation time.Time `json:"lastEvaluation"`
				} `json:"groups"`
			} `json:"data"`
		}
		for _, group := range get(p, "/api/v1/rules", &answer).Data.Groups {
			if !group.LastEvaluation.After(evaluated) {
				return false
			}
		}
		return len(answer.Data.Groups) > 0
	}, patience, 200*time.Millisecond)
	return p.firing()
}

// waitForScrapes waits until each target was scraped. Prometheus does not see that a counter grew before.
func (p *prometheus) waitForScrapes(targets int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		resp, err := http.Get(p.url + "/api/v1/query?query=count(driftless_build_info)")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var answer struct {
			Data struct {
				Result []struct {
					Value [2]any `json:"value"`
				} `json:"result"`
			} `json:"data"`
		}
		return json.NewDecoder(resp.Body).Decode(&answer) == nil && len(answer.Data.Result) == 1 &&
			answer.Data.Result[0].Value[1] == fmt.Sprint(targets)
	}, patience, 100*time.Millisecond)
}

// get reads an answer of Prometheus. It is empty while Prometheus does not answer.
func get[T any](p *prometheus, path string, into *T) *T {
	resp, err := http.Get(p.url + path)
	if err != nil {
		return into
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(into)
	return into
}

// serviceDown returns the alert that a service does not run.
func serviceDown(service string) string { return fmt.Sprintf("ServiceDown %s", service) }
