package e2e_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// TestAlerts_FireInPrometheus plants one state after the other in a mesh. It checks that a real Prometheus reports the
// state, and no other one that would mislead. The rules are those of deploy/alerts without their waiting times.
func TestAlerts_FireInPrometheus(t *testing.T) {
	if os.Getenv("DRIFTLESS_TEST_PROMETHEUS") == "" {
		t.Skip("needs a Prometheus: scripts/test-alerts --planted")
	}
	t.Parallel()
	r := newRig(t, stripesim.Config{Faults: []stripesim.Fault{{Kind: stripesim.FaultWebhookLost}}}, withDetours())
	p := startPrometheus(t, r)
	p.waitForScrapes(len(killable))
	plant := func(f stripesim.Fault) (heal func()) {
		t.Helper()
		f, err := r.admin.AddFault(t.Context(), f)
		require.NoError(t, err)
		return func() { require.NoError(t, r.admin.RemoveFault(t.Context(), f.ID)) }
	}
	insert := func(id string) {
		t.Helper()
		r.exec(`INSERT INTO driftless.products (id, name) VALUES ($1, $1)`, id)
	}
	// Each state may follow from what was planted before, so one that heals ends before the next begins.
	check := func(alert string, silent ...string) {
		t.Helper()
		firing := p.waitFor(alert, true)
		for _, s := range silent {
			require.NotContains(t, firing, s, "while %s fires", alert)
		}
	}

	for _, id := range []string{"mug", "cup", "pot", "bowl", "jug"} {
		insert(id)
	}
	check("WebhooksMissing", serviceDown(topology.Pull), "EventsNotRead")
	require.NoError(t, r.admin.ClearFaults(t.Context()))
	require.NoError(t, r.admin.EditProduct(t.Context(), "mug", url.Values{"metadata[by]": {"hand"}}))
	p.waitFor("WebhooksMissing", false)
	r.waitConverged()

	heal := plant(stripesim.Fault{Kind: stripesim.FaultErrorBefore, Object: "mug"})
	r.exec(`UPDATE driftless.products SET name = 'Mug' WHERE id = 'mug'`)
	check("ProductsFailing server_error", "StripeDown", "Halted")
	heal()

	insert("refused")
	r.exec(`UPDATE driftless.products SET tax_code = 'txcd_nonsense' WHERE id = 'refused'`)
	check("DeadLetters refused_by_stripe")

	heal = plant(stripesim.Fault{Kind: stripesim.FaultForbidden, Method: http.MethodGet, Path: "/v1/events"})
	check("ReadsRefused GET /v1/events", "Halted", serviceDown(topology.Pull))
	heal()
	p.waitFor("ReadsRefused GET /v1/events", false)

	heal = plant(stripesim.Fault{Kind: stripesim.FaultKeyRevoked, Method: http.MethodPost})
	r.exec(`UPDATE driftless.products SET name = 'Cup' WHERE id = 'cup'`)
	check("Halted", "ReadsRefused GET /v1/events")
	heal()

	for _, service := range []string{topology.Ingestion, topology.Push, topology.Pull} {
		_, err := r.control.Pause(t.Context(), connect.NewRequest(&controlv1.PauseRequest{Services: []string{service}}))
		require.NoError(t, err)
		check("Paused "+service, "CaptureStopped", "EventsNotRead", serviceDown(service))
		_, err = r.control.Resume(t.Context(),
			connect.NewRequest(&controlv1.ResumeRequest{Services: []string{service}}))
		require.NoError(t, err)
		p.waitFor("Paused "+service, false)
		// Capture takes a moment to continue.
		p.waitFor("CaptureStopped", false)
	}

	r.exec(`SELECT pg_create_physical_replication_slot('alerts_test_forgotten', true)`)
	forget := func() {
		_, err := r.pool.Exec(context.WithoutCancel(t.Context()),
			`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'alerts_test_forgotten'`)
		require.NoError(t, err)
	}
	t.Cleanup(forget)
	r.exec(`CREATE TABLE alerts_test AS SELECT repeat(i::text, 500) AS text FROM generate_series(1, 5000) i`)
	check("InactiveSlot alerts_test_forgotten", "LogRetained")
	forget()
	p.waitFor("InactiveSlot alerts_test_forgotten", false)

	r.detours["postgres"].hang()
	check("DatabaseUnreachable ingestion catalog", serviceDown(topology.Ingestion),
		serviceDown(topology.Reconciliation), "NatsDown ingestion")
	check("DatabaseUnreachable reconciliation ledger", serviceDown(topology.Ingestion),
		serviceDown(topology.Reconciliation))
	r.detours["postgres"].restore()
	p.waitFor("DatabaseUnreachable ingestion catalog", false)
	p.waitFor("DatabaseUnreachable reconciliation ledger", false)

	r.detours["nats"].hang()
	for _, service := range killable {
		check("NatsDown "+service, serviceDown(topology.Pull), serviceDown(topology.Reconciliation),
			serviceDown(topology.Push), serviceDown(topology.Ingestion))
	}
	check("CaptureStopped")
	r.detours["nats"].restore()
	for _, service := range killable {
		p.waitFor("NatsDown "+service, false)
	}

	r.kill(topology.Pull)
	check(serviceDown(topology.Pull), serviceDown(topology.Push), "NatsDown pull")
	r.start(topology.Pull)
	p.waitFor(serviceDown(topology.Pull), false)
}
