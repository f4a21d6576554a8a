package browser_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Two processes of push have different rates. The page says so, shows where each value comes from, and no secret. It
// also shows what the processes find when they check their own parts.
func TestSettings_ShowsOriginsDifferencesAndFindings(t *testing.T) {
	t.Parallel()
	pushSettings := func(rate, origin, at string) []*meshv1.Setting {
		return []*meshv1.Setting{
			{Name: "slot", Value: "driftless", Default: "driftless", Set: true, Origin: "default"},
			{Name: "stripe-api-key", Secret: true, Set: true, Origin: "secret_file", At: "/run/secrets/stripe"},
			{
				Name: "push-create", Value: "false", Default: "true", Set: true, Origin: "environment",
				At: "DRIFTLESS_PUSH_CREATE",
			},
			{Name: "stripe-rate", Value: rate, Default: "0", Set: true, Origin: origin, At: at},
		}
	}
	m := newTestMesh(t, func(m *testMesh) {
		m.selfCheck = time.Second
		m.settings = map[string][]*meshv1.Setting{
			topology.Push: pushSettings("50", "file", "driftless.yaml:3:1"),
			consoleName: {{
				Name: "control-url", Value: "http://reconciliation:8082", Default: "http://127.0.0.1:8082", Set: true,
				Origin: "flag",
			}},
		}
	})
	m.settings[topology.Push] = pushSettings("80", "flag", "")
	m.run("push-2", m.part(topology.Push, httpserver.Config{Listener: m.listen("push-2"), Logger: discard()}))

	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Read)
	p.visit("/settings")
	p.waitText("processes differ")
	p.waitText("file: driftless.yaml:3:1")
	p.waitText("set, and secret")
	p.waitText("file of its own: /run/secrets/stripe")
	p.waitText("http://reconciliation:8082")
	p.waitText("1 process does not say what its settings are")
	p.waitText("1 setting has its default")
	p.requireAccessible()
	p.picture("settings")
	p.visit("/settings?service=push&q=slot")
	p.waitText("slot")
	require.NotContains(t, p.text(), "stripe_rate")
	require.Contains(t, p.text(), "driftless settings push --all --search slot")
	p.dark()
	p.phone()
	p.visit("/settings?service=push")
	p.waitText("stripe_rate")
	p.requireAccessible()
	p.picture("settings-phone")
	p.requireNoFaults()
	requireFindings(t, m)
}
