package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// scraped are the metrics that the services of a mesh expose: by service, by Prometheus' name.
type scraped map[string]map[string]*dto.MetricFamily

func (p *meshProcess) addresses() map[string]string {
	return map[string]string{
		topology.Ingestion:      p.At.Ingest,
		topology.Push:           p.At.Push,
		topology.Pull:           p.At.Webhook,
		topology.Reconciliation: p.At.Control,
	}
}

func (p *meshProcess) scrape() scraped {
	p.t.Helper()
	out := scraped{}
	for service, address := range p.addresses() {
		resp, err := http.Get(address + "/metrics")
		require.NoError(p.t, err)
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(resp.Body)
		resp.Body.Close()
		require.NoError(p.t, err)
		out[service] = families
	}
	return out
}

// busyMesh returns a mesh in which every event that a metric counts has happened.
func busyMesh(t *testing.T) *meshProcess {
	t.Helper()
	p := up(t, dataDir(t), func(cmd *exec.Cmd) {
		cmd.Args = append(cmd.Args, "--no-seed")
		cmd.Env = append(cmd.Env, "STRIPE_READ_ALLOWANCE=100000")
	})
	sim := stripesim.Admin{BaseURL: p.At.Stripe}
	p.ask(`INSERT INTO driftless.products (id, name) VALUES ('plain', 'Plain') RETURNING id`)
	for _, fault := range []stripesim.Fault{
		{Kind: stripesim.FaultRateLimit, Object: "limited", Count: 1},
		{Kind: stripesim.FaultUnavailable, Object: "unlucky", Count: 1},
		{Kind: stripesim.FaultReset, Object: "unlucky", Skip: 1, Count: 1},
	} {
		_, err := sim.AddFault(t.Context(), fault)
		require.NoError(t, err)
	}
	p.ask(`INSERT INTO driftless.products (id, name) VALUES ('limited', 'Limited'), ('unlucky', 'Unlucky'), ('edited', 'Edited') RETURNING ''`)
	// Stripe has no such tax code, so the product becomes a dead letter.
	p.ask(`INSERT INTO driftless.products (id, name, tax_code) VALUES ('refused', 'Refused', 'txcd_nonsense') RETURNING ''`)
	for range 20 {
		p.ask(`UPDATE driftless.products SET name = name || '.' WHERE id = 'plain' RETURNING ''`)
	}
	// The request is not one of Stripe's.
	resp, err := http.Post(p.At.Webhook+pull.WebhookPath, "application/json", strings.NewReader("{}"))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.NoError(t, p.command("scan").Run())
	require.Eventually(t, func() bool {
		return sim.EditProduct(t.Context(), "edited", url.Values{"name": {"By hand"}}) == nil
	}, patience, tick)
	require.Eventually(t, func() bool {
		out, err := p.command("history", "edited").Output()
		return err == nil && strings.Contains(string(out), "repaired")
	}, patience, 100*time.Millisecond)
	return p
}

// The test compares the services' real metrics with the table, in both directions.
func TestMetrics_ExposedEqualsDeclared(t *testing.T) {
	t.Parallel()
	p := busyMesh(t)
	declared := map[string]metrics.Metric{}
	for _, m := range metrics.All() {
		name, err := m.Prometheus()
		require.NoError(t, err)
		declared[name] = m
	}
	// The private Postgres has no limit for the log's size, so it has no headroom.
	missing := map[string]bool{"driftless_replication_headroom_bytes": true}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		families := p.scrape()
		for name, m := range declared {
			for _, service := range m.Services {
				if !missing[name] && !optional(m, service) {
					assert.NotNil(c, families[service][name], "%s does not expose %s", service, name)
				}
			}
		}
	}, patience, time.Second)

	for service, families := range p.scrape() {
		for name, family := range families {
			if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || name == "target_info" {
				continue
			}
			m, ok := declared[name]
			require.True(t, ok, "%s of %s is not declared", name, service)
			require.Contains(t, m.Services, service, name)
			require.Equal(t, string(m.Kind), strings.ToLower(family.GetType().String()), name)
			for _, series := range family.GetMetric() {
				checkLabels(t, m, service, series.GetLabel())
			}
		}
	}
}

// optional reports whether a service may not have a value for a metric yet.
func optional(m metrics.Metric, service string) bool {
	switch m.Name {
	case metrics.MessageDuration.Name:
		return service == topology.Ingestion
	case metrics.Redeliveries.Name, metrics.StripeRateLimited.Name:
		return service != topology.Push
	case metrics.Refused.Name:
		return true
	case metrics.CheckFailures.Name, metrics.InactiveSlotRetained.Name:
		// The mesh has no checks, and no other slots.
		return true
	default:
		return false
	}
}

func checkLabels(t *testing.T, m metrics.Metric, service string, labels []*dto.LabelPair) {
	t.Helper()
	want := append([]metrics.Label{metrics.Component, metrics.Account}, m.Labels...)
	require.Len(t, labels, len(want), "%s: %v", m.Name, labels)
	for _, pair := range labels {
		i := slices.IndexFunc(want, func(l metrics.Label) bool { return l.Name == pair.GetName() })
		require.GreaterOrEqual(t, i, 0, "%s has an undeclared label %s", m.Name, pair.GetName())
		if want[i].Values != nil {
			require.Contains(t, want[i].Values, pair.GetValue(), "%s: %s", m.Name, pair.GetName())
		}
		switch pair.GetName() {
		case metrics.Component.Name:
			require.Equal(t, service, pair.GetValue(), m.Name)
		case metrics.Account.Name:
			require.Equal(t, "default", pair.GetValue(), m.Name)
		}
	}
}

var exemplar = regexp.MustCompile(
	`(?m)^driftless_change_applied_duration_seconds_bucket\{.*\} \d+ # \{.*trace_id="([0-9a-f]{32})".*\}`)

// The histogram's exemplar is the trace of a change, and the change's history names the same trace.
func TestMetrics_ExemplarsLeadToTraces(t *testing.T) {
	t.Parallel()
	// Only traces with a collector are sampled.
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(collector.Close)
	p := up(t, dataDir(t), func(cmd *exec.Cmd) {
		cmd.Args = append(cmd.Args, "--no-seed")
		cmd.Env = append(cmd.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL)
	})
	p.ask(`INSERT INTO driftless.products (id, name) VALUES ('plain', 'Plain') RETURNING id`)
	require.NoError(t, p.command("plan", "--wait-converged", "60s").Run())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.At.Push+"/metrics", nil)
	require.NoError(t, err)
	// Prometheus with exemplar storage sends this header.
	req.Header.Set("Accept",
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, resp.Header.Get("Content-Type"), "application/openmetrics-text")
	found := exemplar.FindSubmatch(body)
	require.NotNil(t, found, string(body))
	history, err := p.command("history", "plain").Output()
	require.NoError(t, err)
	require.Contains(t, string(history), string(found[1]))
}

// At level info no line is written per message.
func TestLogs_DoNotGrowWithChanges(t *testing.T) {
	t.Parallel()
	p := up(t, dataDir(t), func(cmd *exec.Cmd) {
		cmd.Args = append(cmd.Args, "--no-seed", "--service-log-level", "info")
		cmd.Env = append(cmd.Env, "STRIPE_RATE=2000", "STRIPE_ENDPOINT_RATE=2000")
	})
	require.NoError(t, stripesim.Admin{BaseURL: p.At.Stripe}.SetLimits(t.Context(), stripesim.Limits{Off: true}))
	p.ask(`WITH made AS (INSERT INTO driftless.products (id, name) SELECT 'p' || i, 'Product ' || i FROM generate_series(1, 1000) i RETURNING id)
		SELECT count(*)::text FROM made`)
	require.NoError(t, p.command("plan", "--wait-converged", "120s").Run())
	require.Equal(t, "1000", p.ask(countProducts))
	written := p.log.String()
	require.Contains(t, written, `"msg":"push is running"`, "info is shown, as JSON")
	require.Less(t, strings.Count(written, "\n"), 60, written)
}
