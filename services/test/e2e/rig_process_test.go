package e2e_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// withoutGuard switches all rules of the guard off. Random edits are dangerous, and nobody is there to approve them.
var withoutGuard = []string{
	"DRIFTLESS_GUARD_SHARE=0", "DRIFTLESS_GUARD_PRICE_SHARE=0", "DRIFTLESS_GUARD_CURRENCY_SHARE=0",
	"DRIFTLESS_GUARD_AMOUNT_CHANGE=0", "DRIFTLESS_GUARD_ZERO_AMOUNT=false",
	"DRIFTLESS_GUARD_NO_ACTIVE_PRICE=false", "DRIFTLESS_GUARD_NO_DEFAULT_PRICE=false",
}

// processes runs the rig's services as processes, with these settings in their environment in addition to the rig's
// own.
func processes(env ...string) func(*rig) {
	return func(r *rig) { r.asProcesses, r.processes = append([]string{}, env...), map[string]*os.Process{} }
}

// withDetours runs the services as processes whose connections to NATS and Postgres go through detours.
func withDetours(env ...string) func(*rig) {
	return func(r *rig) {
		processes(env...)(r)
		r.detours = map[string]*detour{}
	}
}

// via returns the URL under which the processes reach a server.
func (r *rig) via(name, server string) string {
	if r.detours == nil {
		return server
	}
	if r.detours[name] == nil {
		u, err := url.Parse(server)
		require.NoError(r.t, err)
		r.detours[name] = detourTo(r.t, u.Host)
	}
	return r.detours[name].of(r.t, server)
}

// spawn starts a service as a process. The service keeps its port.
func (r *rig) spawn(name string) {
	r.t.Helper()
	dir, err := programs()
	require.NoError(r.t, err)
	l := r.listen(name)
	require.NoError(r.t, l.Close())
	addr := l.Addr().String()
	cmd := exec.Command(filepath.Join(dir, name))
	cmd.Env = append(os.Environ(),
		"NATS_URL="+r.via("nats", r.nats(name).URL),
		"DATABASE_URL="+r.via("postgres", r.database), "LEDGER_DATABASE_URL=", "DRIFTLESS_CONFIG=",
		"DRIFTLESS_SLOT="+r.slot,
		"STRIPE_API_KEY="+key, "STRIPE_API_BASE="+r.simURL, "STRIPE_WEBHOOK_SECRET="+secret, "STRIPE_RATE=1000",
		"STRIPE_ENDPOINT_RATE=1000", "STRIPE_READ_ALLOWANCE=0",
		"DRIFTLESS_POLL_INTERVAL=1s", "DRIFTLESS_GRACE_PERIOD=1s", "DRIFTLESS_SCAN_INTERVAL=0",
		"DRIFTLESS_LOG_LEVEL=error",
		"DRIFTLESS_INGESTION_ADDR="+addr, "DRIFTLESS_PUSH_ADDR="+addr, "DRIFTLESS_PULL_ADDR="+addr,
		"DRIFTLESS_RECONCILIATION_ADDR="+addr)
	cmd.Env = append(append(cmd.Env, withoutGuard...), r.asProcesses...)
	cmd.Stderr = os.Stderr
	require.NoError(r.t, cmd.Start(), name)
	r.processes[name] = cmd.Process
	r.stops[name] = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		require.NoError(r.t, cmd.Wait(), name)
	})
}

// kill ends a service as kill -9 does.
func (r *rig) kill(name string) {
	r.t.Helper()
	p := r.processes[name]
	require.NoError(r.t, p.Kill())
	_, _ = p.Wait()
	delete(r.stops, name)
}

// killable are the services that the test may kill.
var killable = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}
