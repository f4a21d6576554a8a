package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// plantedStates are planted in this order in one mesh. Webhooks are lost at first.
var plantedStates = []plantedState{
	{
		name:    "webhooks do not arrive",
		plant:   loseWebhooks,
		ask:     "driftless status",
		verdict: "equal ... NOTE: no webhook has arrived",
		remedy:  "driftless doctor ... docs/runbooks/DriftlessWebhooksMissing.md",
		equal:   true,
		alert:   "WebhooksMissing",
	},
	{
		name:    "pull's key may not read Stripe's events",
		plant:   refuseReads,
		ask:     "driftless status",
		verdict: "unknown: the poll of Stripe's events fails ... NOTE",
		remedy:  "docs/runbooks/DriftlessReadsRefused.md",
		alert:   "ReadsRefused GET /v1/events",
		beside:  []string{"EqualityUnknown"},
	},
	{
		name: "events for programs are not published",
		plant: func(m *plantedMesh) func() {
			require.NoError(m.t, m.mesh.JetStream().DeleteStream(m.t.Context(), topology.StreamEvents))
			m.sell("plate")
			return func() {
				require.NoError(m.t, topology.Apply(m.t.Context(), m.mesh.JetStream(), topology.Options{}))
				m.prometheus.waitFor("EventsNotPublished", false)
			}
		},
		alert: "EventsNotPublished",
	},
	{
		name: "a replication slot that nobody reads keeps log",
		plant: func(m *plantedMesh) func() {
			m.exec(`SELECT pg_create_physical_replication_slot('alerts_test_forgotten', true)`)
			forget := func() {
				_, err := m.pool.Exec(context.Background(), `SELECT pg_drop_replication_slot(slot_name)
					FROM pg_replication_slots WHERE slot_name = 'alerts_test_forgotten'`)
				require.NoError(m.t, err)
			}
			m.t.Cleanup(forget)
			m.exec(`CREATE TABLE alerts_test AS SELECT repeat(i::text, 500) AS text FROM generate_series(1, 5000) i`)
			return forget
		},
		alert: "InactiveSlot alerts_test_forgotten",
	},
	{
		name: "policy only reports a difference",
		plant: func(m *plantedMesh) func() {
			require.NoError(m.t, m.admin.EditProduct(m.t.Context(), "jug", url.Values{"description": {"Hot"}}))
			return func() { m.must("drift", "resolve", "jug", "--keep", "catalog", "--reason", "planted") }
		},
		ask:     "driftless why jug",
		verdict: "REPORTED",
		remedy:  "driftless drift resolve jug --keep catalog",
		alert:   "DriftReported",
	},
	{
		name: "the row is invalid",
		plant: func(m *plantedMesh) func() {
			m.exec(`UPDATE driftless.prices SET unit_amount = -5 WHERE id = 'cup-eur'`)
			return func() { m.exec(`UPDATE driftless.prices SET unit_amount = 1500 WHERE id = 'cup-eur'`) }
		},
		ask:     "driftless why cup-eur",
		verdict: "DEAD ... given up by ingestion",
		remedy:  "driftless dead show cup",
		alert:   "DeadLetters invalid_product",
	},
	{
		name: "Stripe refuses the product",
		plant: func(m *plantedMesh) func() {
			m.exec(`UPDATE driftless.products SET tax_code = 'txcd_nonsense' WHERE id = 'bowl'`)
			return func() { m.exec(`UPDATE driftless.products SET tax_code = NULL WHERE id = 'bowl'`) }
		},
		ask:     "driftless why bowl",
		verdict: "DEAD ... given up by push",
		remedy:  "driftless dead replay bowl",
		alert:   "DeadLetters refused_by_stripe",
	},
	{
		name: "the guard holds a mass deletion",
		plant: func(m *plantedMesh) func() {
			var ids []string
			for i := range 12 {
				ids = append(ids, fmt.Sprintf("old-%d", i))
			}
			m.sell(ids...)
			m.waitConverged()
			m.exec(`DELETE FROM driftless.products WHERE id LIKE 'old-%'`)
			return func() { m.must("approve", "--all", "--reason", "planted", "--yes") }
		},
		ask:     "driftless status",
		verdict: "HELD",
		remedy:  "driftless approve",
		alert:   "GuardHeld",
	},
	{
		name: "a backfill uses Stripe's rate up",
		plant: func(m *plantedMesh) func() {
			heal := m.whileFaulty(stripesim.Fault{Kind: stripesim.FaultLatency, Method: http.MethodPost, Delay: 5e9})
			m.exec(`INSERT INTO driftless.products (id, name) SELECT 'q' || n, 'Q' FROM generate_series(101, 170) n`)
			return func() { heal(); m.waitConverged() }
		},
		ask:     "driftless why q170",
		verdict: "QUEUED",
		remedy:  "Wait.",
	},
	{
		name: "Stripe refuses calls as too many",
		plant: func(m *plantedMesh) func() {
			heal := m.whileFaulty(stripesim.Fault{Kind: stripesim.FaultRateLimit, Method: http.MethodPost})
			m.exec(`UPDATE driftless.products SET name = 'R' WHERE id LIKE 'q%'`)
			return func() { heal(); m.waitConverged() }
		},
		ask:     "driftless why q170",
		verdict: "WAITING FOR RATE",
		remedy:  "docs/runbooks/DriftlessRateLimited.md",
		alert:   "RateLimited",
		beside:  []string{"ProductsFailing rate_limited"},
	},
	{
		name: "Stripe fails for one product",
		plant: func(m *plantedMesh) func() {
			heal := m.whileFaulty(stripesim.Fault{Kind: stripesim.FaultErrorBefore, Object: "mug"})
			m.exec(`UPDATE driftless.prices SET unit_amount = 1450 WHERE id = 'mug-eur'`)
			return func() { heal(); m.must("sync", "mug") }
		},
		ask:     "driftless why mug-eur",
		verdict: "FAILING",
		remedy:  "driftless sync mug",
		alert:   "ProductsFailing server_error",
	},
	{
		name: "push's key is revoked",
		plant: func(m *plantedMesh) func() {
			heal := m.whileFaulty(stripesim.Fault{Kind: stripesim.FaultKeyRevoked, Method: http.MethodPost})
			m.exec(`UPDATE driftless.products SET name = 'Cup' WHERE id = 'cup'`)
			return func() {
				heal()
				m.kill(topology.Push)
				m.start(topology.Push)
				m.waitConverged()
			}
		},
		ask:     "driftless why cup",
		verdict: "HALTED",
		remedy:  "STRIPE_API_KEY",
		alert:   "Halted",
		beside:  []string{"EqualityUnknown", "ConsumerPaused"},
		healing: []string{serviceDown(topology.Push)},
	},
	paused(topology.Push, "PAUSED ... push is paused"),
	paused(topology.Ingestion, "NOT CAPTURED ... ingestion is paused"),
	paused(topology.Pull, "UNKNOWN ... pull is paused"),
	{
		name:    "a migration locks a table that the mapping reads",
		plant:   lockTable,
		ask:     "driftless why mug",
		verdict: "UNKNOWN: capture is ... behind ... is a table locked?",
		remedy:  "docs/runbooks/DriftlessCaptureBehind.md",
		alert:   "CaptureBehind",
		beside:  []string{"EqualityUnknown"},
	},
	down(topology.Ingestion, "UNKNOWN: no ingestion runs", "Start ingestion"),
	down(topology.Push, "PUSH DOWN", "Start push"),
	down(topology.Pull, "UNKNOWN ... no pull runs", "Start pull"),
	down(topology.Reconciliation, "unknown: the control API ... does not answer", "does reconciliation run"),
	away("Postgres", (*detour).refuse),
	away("Postgres, which hangs", (*detour).hang),
	away("NATS", (*detour).refuse),
	away("NATS, which hangs", (*detour).hang),
}

func loseWebhooks(m *plantedMesh) func() {
	m.sell("mug", "cup", "pot", "bowl", "jug")
	return func() {
		require.NoError(m.t, m.admin.ClearFaults(m.t.Context()))
		require.NoError(m.t, m.admin.EditProduct(m.t.Context(), "pot", url.Values{"metadata[by]": {"hand"}}))
		m.prometheus.waitFor("WebhooksMissing", false)
		m.waitConverged()
	}
}

func refuseReads(m *plantedMesh) func() {
	return m.whileFaulty(stripesim.Fault{Kind: stripesim.FaultForbidden, Method: http.MethodGet, Path: "/v1/events"})
}

func lockTable(m *plantedMesh) func() {
	conn, err := pgx.Connect(m.t.Context(), m.database)
	require.NoError(m.t, err)
	_, err = conn.Exec(m.t.Context(), "BEGIN; LOCK TABLE driftless.products IN ACCESS EXCLUSIVE MODE")
	require.NoError(m.t, err)
	m.exec(`UPDATE driftless.prices SET unit_amount = unit_amount + 1 WHERE id = 'mug-eur'`)
	return func() {
		require.NoError(m.t, conn.Close(m.t.Context()))
		m.waitConverged()
	}
}

// rename changes a product in the catalog.
func (m *plantedMesh) rename() {
	m.t.Helper()
	m.exec(`UPDATE driftless.products SET name = name || '.' WHERE id = 'mug'`)
}

// paused is a state in which an operator has paused a service.
func paused(service, verdict string) plantedState {
	return plantedState{
		name: service + " is paused",
		plant: func(m *plantedMesh) func() {
			m.must("pause", service, "--reason", "planted")
			// The service may be at work for a moment.
			m.prometheus.waitFor("Paused "+service, true)
			m.rename()
			return func() { m.must("resume", service); m.waitConverged() }
		},
		ask:     "driftless why mug",
		verdict: verdict,
		remedy:  "driftless resume " + service,
		alert:   "Paused " + service,
		beside:  []string{"EqualityUnknown"},
		healing: []string{"CaptureStopped", "CaptureBehind"},
	}
}

// down is a state in which a service was killed.
func down(service, verdict, remedy string) plantedState {
	return plantedState{
		name: "no " + service + " runs",
		plant: func(m *plantedMesh) func() {
			m.kill(service)
			m.rename()
			return func() { m.start(service); m.waitConverged() }
		},
		ask:     "driftless why mug",
		verdict: verdict,
		remedy:  remedy,
		alert:   serviceDown(service),
		beside:  []string{"EqualityUnknown", "CaptureStopped"},
	}
}

// away is a state in which the services do not reach a server.
func away(server string, cut func(*detour)) plantedState {
	s := plantedState{name: "the services do not reach " + server, ask: "driftless why mug"}
	kind, _, _ := strings.Cut(strings.ToLower(server), ",")
	s.plant = func(m *plantedMesh) func() {
		cut(m.detours[kind])
		return func() { m.detours[kind].restore(); m.waitConverged() }
	}
	s.beside = []string{"EqualityUnknown", "CaptureStopped"}
	switch kind {
	case "nats":
		s.verdict, s.remedy = "UNKNOWN: NATS cannot be reached", "docs/runbooks/DriftlessNatsDown.md"
		for _, service := range killable {
			s.beside = append(s.beside, "NatsDown "+service)
		}
		s.alert = s.beside[2]
	case "postgres":
		s.verdict, s.remedy = "unknown: ... cannot reach the ledger's database",
			"docs/runbooks/DriftlessDatabaseUnreachable.md"
		s.alert = "DatabaseUnreachable reconciliation ledger"
		s.beside = append(s.beside, "DatabaseUnreachable ingestion catalog")
	}
	return s
}
