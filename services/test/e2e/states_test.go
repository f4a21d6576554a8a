package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// plantedState is a state of a mesh in which something is wrong, with the command that answers and the alert that
// fires.
type plantedState struct {
	// name is the state in docs/runbooks/README.md.
	name string
	// plant brings the mesh into the state. heal ends it.
	plant func(*plantedMesh) (heal func())
	// ask is the command that answers. Empty for a state that is about its alert only.
	ask string
	// verdict is in the answer, and remedy says what to do. An answer may have other words between those of "...".
	verdict, remedy string
	// equal reports that the two sides are known to be equal all the same. The exit code is then 0, not 2.
	equal bool
	// alert fires, with the label that names the cause. Empty if the state needs no alert.
	alert string
	// beside lists other alerts that may fire meanwhile, because they are true, too.
	beside []string
	// healing lists alerts that may fire for a moment when the state ends. The rules of deploy/alerts wait longer than
	// that.
	healing []string
}

// askPatience is how long a command may take to know of a state.
const askPatience = 45 * time.Second

// serviceLevels are alerts about the time that changes took. A mesh that is minutes old and in which everything is
// planted misses them soon.
var serviceLevels = []string{
	"ChangesLateFast", "ChangesLateSlow", "ConvergenceLateFast", "ConvergenceLateSlow", "ConvergenceStuck",
}

// plantedMesh is a mesh in which states are planted, and the Prometheus that observes it.
type plantedMesh struct {
	*rig

	prometheus *prometheus
	// lingering are alerts about earlier states that have not ended, because they look back for some time.
	lingering map[string]bool
}

// TestStates_AnsweredInPrometheus plants one state after the other in a mesh. It checks that one command says what is
// wrong and what to do, that a real Prometheus reports the state, and that no other alert misleads. The rules are those
// of deploy/alerts without their waiting times.
func TestStates_AnsweredInPrometheus(t *testing.T) {
	if os.Getenv("DRIFTLESS_TEST_PROMETHEUS") == "" {
		t.Skip("needs a Prometheus: scripts/test-alerts --planted")
	}
	t.Parallel()
	r := newRig(t, stripesim.Config{
		Limits: stripesim.Limits{Off: true}, Faults: []stripesim.Fault{{Kind: stripesim.FaultWebhookLost}},
	},
		withDetours("DRIFTLESS_POLICY=description=catalog:report", "DRIFTLESS_GUARD_SHARE=0.1", "DRIFTLESS_GUARD_LEAST=3"))
	m := &plantedMesh{rig: r, prometheus: startPrometheus(t, r), lingering: map[string]bool{}}
	m.prometheus.waitForScrapes(len(killable))
	for _, s := range plantedStates {
		t.Run(s.name, func(t *testing.T) {
			// The clients of the rig outlive the state.
			m.prometheus.t = t
			m.check(t, s)
		})
	}
}

func (m *plantedMesh) check(t *testing.T, s plantedState) {
	t.Helper()
	whole := m.t
	defer func() { m.t = whole }()
	m.t = t
	allowed := m.allowed(s)
	// The next state needs a mesh that is well, also if this one fails.
	heal := s.plant(m)
	defer func() {
		heal()
		for _, alert := range s.healing {
			allowed[alert] = true
		}
		m.linger(allowed)
	}()
	start := time.Now()
	if s.ask != "" {
		m.ask(s)
	}
	if s.alert != "" {
		m.prometheus.waitFor(s.alert, true)
	}
	firing := m.prometheus.settled()
	t.Logf("after %s these alerts fire: %s", time.Since(start).Round(time.Second), slices.Sorted(maps.Keys(firing)))
	for alert := range firing {
		require.True(t, allowed[alert], "%s fires beside %q", alert, s.alert)
	}
}

// allowed returns the alerts that may fire in a state.
func (m *plantedMesh) allowed(s plantedState) map[string]bool {
	out := maps.Clone(m.lingering)
	for _, alert := range slices.Concat(serviceLevels, s.beside, []string{s.alert}) {
		out[alert] = true
	}
	return out
}

// linger waits for the end of the alerts about a state that was healed, and notes those that look back for longer.
func (m *plantedMesh) linger(allowed map[string]bool) {
	m.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(200 * time.Millisecond) {
		firing := m.prometheus.firing()
		for alert := range firing {
			assert.True(m.t, allowed[alert], "%s fires after the state was healed", alert)
			allowed[alert] = true
		}
		if firing != nil && len(firing) == 0 {
			m.lingering = map[string]bool{}
			return
		}
		if time.Now().After(deadline) {
			m.lingering = firing
			return
		}
	}
}

// ask repeats the command until its answer has the verdict and the remedy. The exit code must fit.
func (m *plantedMesh) ask(s plantedState) {
	m.t.Helper()
	args := strings.Fields(s.ask)[1:]
	want := 2
	if s.equal {
		want = 0
	}
	for deadline := time.Now().Add(askPatience); ; <-time.After(200 * time.Millisecond) {
		answer, code := m.driftless(m.t.TempDir(), args...)
		if code == want && says(answer, s.verdict) && says(answer, s.remedy) {
			return
		}
		require.True(m.t, time.Now().Before(deadline), "%s: exit code %d, and not %q with %q:\n%s", s.ask, code,
			s.verdict, s.remedy, answer)
	}
}

// says reports whether an answer has some words, in their order. "..." stands for any words.
func says(answer, words string) bool {
	answer = strings.Join(strings.Fields(answer), " ")
	for part := range strings.SplitSeq(words, "...") {
		_, rest, found := strings.Cut(answer, strings.TrimSpace(part))
		if !found {
			return false
		}
		answer = rest
	}
	return true
}

// whileFaulty lets Stripe fail until heal.
func (m *plantedMesh) whileFaulty(f stripesim.Fault) (heal func()) {
	m.t.Helper()
	f, err := m.admin.AddFault(m.t.Context(), f)
	require.NoError(m.t, err)
	return func() {
		m.t.Helper()
		require.NoError(m.t, m.admin.RemoveFault(m.t.Context(), f.ID))
	}
}

// must runs a command that must succeed.
func (m *plantedMesh) must(args ...string) {
	m.t.Helper()
	out, code := m.driftless(m.t.TempDir(), args...)
	require.Zero(m.t, code, out)
}

// sell adds products with one price each.
func (m *plantedMesh) sell(ids ...string) {
	m.t.Helper()
	var products []*catalogv1.Product
	for _, id := range ids {
		products = append(products, &catalogv1.Product{
			Id: id, Name: id, DefaultPrice: id + "-eur",
			Prices: []*catalogv1.Price{{Id: id + "-eur", Currency: "eur", UnitAmount: "1400"}},
		})
	}
	m.upsert(products...)
}

// TestStates_AreDocumented compares the table of the runbooks with the states that are planted.
func TestStates_AreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/runbooks/README.md")
	require.NoError(t, err)
	for _, s := range plantedStates {
		if s.ask == "" {
			continue
		}
		require.Contains(t, string(page), s.row()+"\n", "docs/runbooks/README.md must have this row")
		if name, _, _ := strings.Cut(s.alert, " "); name != "" {
			require.FileExists(t, "../../../docs/runbooks/Driftless"+name+".md")
		}
	}
}

// row is the state in the table of docs/runbooks/README.md.
func (s plantedState) row() string {
	alert := "none"
	if name, cause, _ := strings.Cut(s.alert, " "); name != "" {
		alert = fmt.Sprintf("[%s](Driftless%[1]s.md)", name)
		if cause != "" {
			alert += " `" + cause + "`"
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", s.name, "`"+s.ask+"`", "`"+s.verdict+"`",
		"`"+s.remedy+"`", alert)
}
