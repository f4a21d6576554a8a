package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// whyMesh is a mesh on which a test plants faults, and asks why.
type whyMesh struct {
	*testMesh
}

// command runs a command on the mesh.
func (m whyMesh) command(args ...string) (string, int) {
	m.t.Helper()
	// TestMain is the program.
	program, err := os.Executable()
	require.NoError(m.t, err)
	cmd := exec.CommandContext(m.t.Context(), program)
	cmd.Args = append(append([]string{"driftless"}, args...), "--control", m.url(topology.Reconciliation),
		"--ingest", m.url(topology.Ingestion), "--token", scriptToken, "--data-dir", m.t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		_, isExit := errors.AsType[*exec.ExitError](err)
		require.True(m.t, isExit, "%v", err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (m whyMesh) must(args ...string) {
	m.t.Helper()
	out, code := m.command(args...)
	require.Zero(m.t, code, "%s: %s", args, out)
}

// why asks until the answer begins with a verdict and has some words. The exit code must fit the verdict.
func (m whyMesh) why(id, verdict string, words ...string) string {
	m.t.Helper()
	var out string
	for end := time.Now().Add(scriptTimeout); ; time.Sleep(100 * time.Millisecond) {
		var code int
		out, code = m.command("why", id)
		found := regexp.MustCompile(`(?m)^`+verdict+`( for \S+)?: `).MatchString(out) &&
			(code == 0) == (verdict == "EQUAL") &&
			code != 1
		// The width of a column depends on the values.
		shown := strings.Join(strings.Fields(out), " ")
		for _, w := range words {
			found = found && strings.Contains(shown, w)
		}
		if found {
			return out
		}
		require.True(m.t, time.Now().Before(end), "why %s: exit code %d, and not %s with %q:\n%s", id, code, verdict,
			words, out)
	}
}

func (m whyMesh) eventually(condition func() bool, what string) {
	m.t.Helper()
	require.Eventually(m.t, condition, scriptTimeout, 20*time.Millisecond, what)
}

// requests returns how many messages of a consumer services have asked for.
func (m whyMesh) requests(c topology.Consumer) (n int) {
	m.t.Helper()
	client, err := mesh.Connect(m.t.Context(), m.client("test"))
	require.NoError(m.t, err)
	defer client.Close()
	all, err := client.Consumers(m.t.Context())
	require.NoError(m.t, err)
	for _, s := range all {
		if s.Consumer == c {
			n += s.Waiting
		}
	}
	return n
}

func (m whyMesh) sql(statement string) {
	m.t.Helper()
	require.NoError(m.t, m.exec(statement))
}

func (m whyMesh) fault(f stripesim.Fault) {
	m.t.Helper()
	_, err := m.sim.AddFault(m.t.Context(), f)
	require.NoError(m.t, err)
}

var whyProducts = []string{"mug", "cup", "bowl", "plate", "jug", "fork"}

// newWhyMesh starts a mesh whose products are equal on both sides.
func newWhyMesh(t *testing.T) whyMesh {
	t.Helper()
	m := whyMesh{newTestMesh(t, []string{"guard", "report description"})}
	var products []string
	for _, id := range whyProducts {
		products = append(products, fmt.Sprintf(`{"id": %q, "name": %[1]q, "default_price": "%[1]s-eur", "prices": [
			{"id": "%[1]s-eur", "currency": "eur", "unit_amount": "1400", "lookup_key": "best-%[1]s"}]}`, id))
	}
	file := filepath.Join(t.TempDir(), "products.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"products": [`+strings.Join(products, ",")+`]}`), 0o600))
	m.must("apply", file)
	m.must("plan", "--wait-converged", "1m")
	return m
}

// TestWhy plants the states of a mesh in which a price may be wrong, one after the other, and asks with one command.
func TestWhy(t *testing.T) {
	t.Parallel()
	m := newWhyMesh(t)
	m.testIDs()
	m.testProducts()
	m.testQueue()
	m.testServices()
	m.testReads()
	m.testAway()
}

// testIDs asks by each kind of id.
func (m whyMesh) testIDs() {
	out := m.why("mug", "EQUAL", "14.00 EUR", "read now")
	require.NotContains(m.t, out, "differs")
	history, code := m.command("history", "mug")
	require.Zero(m.t, code)
	ids := []string{"mug-eur", "best-mug", regexp.MustCompile(`price_\w+`).FindString(out + history)}
	for _, pattern := range []string{`req_\w+`, `evt_\w+`} {
		ids = append(ids, regexp.MustCompile(pattern).FindString(history))
	}
	for _, id := range ids {
		require.NotEmpty(m.t, id, history)
		require.True(m.t, strings.HasPrefix(m.why(id, "EQUAL"), `mug "mug"`), id)
		out, code := m.command("history", id)
		require.Zero(m.t, code, id)
		require.Contains(m.t, out, "product mug\n", id)
	}
	trace := regexp.MustCompile(`trace (\w{32})`).FindStringSubmatch(history)
	if trace != nil {
		out, code := m.command("why", trace[1])
		require.Zero(m.t, code, out)
		require.Contains(m.t, out, `mug "mug"`)
	}
	for _, command := range []string{"why", "history"} {
		_, code := m.command(command, "nosuch")
		require.Equal(m.t, 1, code, command)
	}
}

// testProducts plants what concerns one product, all at once: each has its own verdict.
func (m whyMesh) testProducts() {
	m.fault(stripesim.Fault{Kind: stripesim.FaultErrorBefore, Method: http.MethodPost, Object: "mug"})
	require.NoError(m.t, m.refuse([]string{"bowl"}))
	m.sql(`UPDATE driftless.prices SET unit_amount = 1450 WHERE id = 'mug-eur'`)
	m.sql(`UPDATE driftless.prices SET unit_amount = -5 WHERE id = 'cup-eur'`)
	m.sql(`UPDATE driftless.products SET name = 'Bowl' WHERE id = 'bowl'`)
	m.sql(`UPDATE driftless.prices SET unit_amount = 14 WHERE id = 'plate-eur'`)
	require.NoError(m.t, m.dashboard("edit", "jug", []string{"description=Hot"}))

	m.why("mug-eur", "FAILING", "14.50 EUR 14.50 EUR 14.00 EUR", "req_", "next try in", "driftless sync mug")
	m.why("cup-eur", "DEAD", "given up by ingestion", "unit_amount", "driftless dead show cup")
	m.why("bowl", "DEAD", "given up by push", "The name of the product is not allowed.", "driftless dead replay bowl")
	m.why("best-plate", "HELD", "0.14 EUR", "amount_change", "driftless approve plate")
	m.why("jug", "REPORTED", "Hot", "changed in Stripe by the dashboard, evt_",
		"driftless drift resolve jug --keep catalog")
	m.why("fork", "EQUAL")

	var out string
	second := regexp.MustCompile(
		`(?s)failed  version \d+  attempt 2 .*next attempt at .*failed  version \d+  attempt 1 `)
	m.eventually(func() bool {
		history, code := m.command("history", "mug")
		out = history
		return code == 0 && second.MatchString(history)
	}, "failed attempts are in the history")
	request := regexp.MustCompile(`attempt 1  (req_\w+)`).FindStringSubmatch(out)
	require.NotNil(m.t, request, out)
	m.why(request[1], "FAILING")

	require.NoError(m.t, m.sim.ClearFaults(m.t.Context()))
	m.must("sync", "mug")
	m.why("mug", "EQUAL")
}

// testQueue makes Stripe slow while many products arrive. Push works on 32 of them at once.
func (m whyMesh) testQueue() {
	m.fault(stripesim.Fault{Kind: stripesim.FaultLatency, Method: http.MethodPost, Delay: 5 * time.Second})
	m.sql(`INSERT INTO driftless.products (id, name) SELECT 'q' || n, 'Q' FROM generate_series(101, 170) n`)
	m.why("q170", "QUEUED", "waits in the live lane among")
	require.NoError(m.t, m.sim.ClearFaults(m.t.Context()))
	m.why("q170", "EQUAL")
}

// testServices stops one service after the other.
func (m whyMesh) testServices() {
	m.must("pause", "push")
	m.eventually(func() bool { return m.requests(topology.PushLive) == 0 }, "push asks for no more messages")
	m.sql(`UPDATE driftless.products SET name = 'Fork 1' WHERE id = 'fork'`)
	m.why("fork-eur", "PAUSED", "Fork 1", "driftless resume push")
	m.must("resume", "push")
	m.why("fork", "EQUAL")

	m.must("pause", "ingestion")
	m.eventually(func() bool {
		out, _ := m.command("status", "-o", "json")
		return strings.Contains(out, "CAPTURE_STATE_PAUSED")
	}, "nothing is captured")
	m.sql(`UPDATE driftless.products SET name = 'Fork 2' WHERE id = 'fork'`)
	m.why("fork", "NOT CAPTURED", "ingestion is paused", "Fork 2", "Fork 1", "driftless resume ingestion")
	m.sql(`INSERT INTO driftless.products (id, name) VALUES ('spoon', 'Spoon')`)
	m.why("spoon", "NOT CAPTURED")
	m.must("resume", "ingestion")
	m.why("fork", "EQUAL")

	m.stop(topology.Push)
	m.sql(`UPDATE driftless.products SET name = 'Fork 3' WHERE id = 'fork'`)
	m.why("fork", "PUSH DOWN", "Fork 3")
	// Stripe refuses the key of the push that starts.
	m.fault(stripesim.Fault{Kind: stripesim.FaultKeyRevoked, Method: http.MethodPost})
	m.start(topology.Push)
	m.why("fork", "HALTED", "STRIPE_API_KEY")
	m.stop(topology.Push)
	require.NoError(m.t, m.sim.ClearFaults(m.t.Context()))
	m.start(topology.Push)
	m.why("fork", "EQUAL")

	m.stop(topology.Pull)
	m.why("fork", "UNKNOWN", "not known what Stripe holds now")
	m.start(topology.Pull)
	m.why("fork", "EQUAL")

	m.testLockedTable()

	m.stop(topology.Ingestion)
	m.why("fork", "UNKNOWN", "UNKNOWN: no ingestion runs", "your row was not looked at",
		"docs/runbooks/DriftlessServiceDown.md")
	m.start(topology.Ingestion)
	m.why("fork", "EQUAL")
}

// testLockedTable locks a table that the mapping reads, as a migration may.
func (m whyMesh) testLockedTable() {
	conn, err := pgx.Connect(m.t.Context(), m.database)
	require.NoError(m.t, err)
	defer conn.Close(m.t.Context())
	_, err = conn.Exec(m.t.Context(), "BEGIN; LOCK TABLE driftless.products IN ACCESS EXCLUSIVE MODE")
	require.NoError(m.t, err)
	m.sql(`UPDATE driftless.prices SET unit_amount = 1500 WHERE id = 'fork-eur'`)
	m.why("fork", "UNKNOWN", "UNKNOWN: capture is", "behind", "is a table locked?")
	_, err = conn.Exec(m.t.Context(), "COMMIT")
	require.NoError(m.t, err)
	m.why("fork", "EQUAL", "15.00 EUR")
}

// status asks for the status until it has some words.
func (m whyMesh) status(words ...string) {
	m.t.Helper()
	for end := time.Now().Add(scriptTimeout); ; time.Sleep(100 * time.Millisecond) {
		out, _ := m.command("status")
		found := true
		for _, w := range words {
			found = found && strings.Contains(out, w)
		}
		if found {
			return
		}
		require.True(m.t, time.Now().Before(end), "status without %q:\n%s", words, out)
	}
}

// testReads plants what keeps pull from seeing Stripe. It polls when it starts, and then only once an hour.
func (m whyMesh) testReads() {
	m.stop(topology.Pull)
	m.fault(stripesim.Fault{Kind: stripesim.FaultWebhookLost})
	for _, id := range []string{"mug", "cup", "bowl", "plate"} {
		require.NoError(m.t, m.dashboard("edit", id, []string{"url=https://shop.example/" + id}))
	}
	m.start(topology.Pull)
	m.status("NOTE: no webhook has arrived for", "Run `driftless doctor`.",
		"See docs/runbooks/DriftlessWebhooksMissing.md.")
	require.NoError(m.t, m.sim.ClearFaults(m.t.Context()))

	m.stop(topology.Pull)
	m.fault(stripesim.Fault{Kind: stripesim.FaultForbidden, Method: http.MethodGet, Path: "/v1/events"})
	m.start(topology.Pull)
	m.status("NOTE: Stripe's events could not be read", "See docs/runbooks/DriftlessReadsRefused.md.")
	require.NoError(m.t, m.sim.ClearFaults(m.t.Context()))
}

// testAway takes away what answers.
func (m whyMesh) testAway() {
	m.stop("nats")
	m.why("fork-eur", "UNKNOWN", "NATS cannot be reached", "the ledger knew at", "the two sides were equal",
		"15.00 EUR")
	m.why("plate", "UNKNOWN", "the guard holds the change")
	out, code := m.command("history", "fork")
	require.Equal(m.t, 2, code)
	require.Contains(m.t, out, "catalog_change")
	require.Contains(m.t, out, "unknown: later entries may be missing, because NATS cannot be reached")
	_, code = m.command("why", "nosuch")
	require.Equal(m.t, 1, code)

	m.stop(topology.Reconciliation)
	out, code = m.command("why", "fork")
	require.Equal(m.t, 2, code)
	require.Contains(m.t, out, "unknown: the control API")
}
