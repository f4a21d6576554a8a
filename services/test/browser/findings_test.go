package browser_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// lookPatience is how long a page may take until it shows another examination of the tables. An examination takes
// seconds on a slow machine, and at most a 20th of the time is spent on it.
const lookPatience = 10 * time.Minute

// requireFindings breaks the replica identity of a table of a mesh whose processes check their parts. The open page
// shows the finding with the statement that the process says repairs it. It goes once the statement was run. A check
// that nobody makes any more is not fine.
func requireFindings(t *testing.T, m *testMesh) {
	t.Helper()
	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Read)
	p.visit("/settings")
	p.waitText("checks are fine")
	require.NotContains(t, p.text(), "database.replica_identity")
	// Only the topology's user may read all streams, so no service makes this check.
	require.Contains(t, p.text(), "driftless doctor --only nats.stream,nats.bucket,nats.consumer")

	db, err := pgx.Connect(t.Context(), m.database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close(t.Context())) })
	_, err = db.Exec(t.Context(), "ALTER TABLE driftless.prices REPLICA IDENTITY NOTHING")
	require.NoError(t, err)
	const item = `[data-check="database.replica_identity"]`
	count := func() int { return ask(p, chromedp.Evaluate[int](`document.querySelectorAll('`+item+`').length`)) }
	require.Eventually(t, func() bool { return count() == 1 }, lookPatience, 100*time.Millisecond, lazily(p.page))
	p.waitText("found something")
	require.Contains(t, p.text(), "driftless.prices")
	p.requireAccessible()
	p.picture("settings-findings")
	fix := ask(p, chromedp.Evaluate[string](`document.querySelector('`+item+` code.wrap').textContent`))
	_, err = db.Exec(t.Context(), fix)
	require.NoError(t, err, fix)
	require.Eventually(t, func() bool { return count() == 0 }, lookPatience, 100*time.Millisecond, lazily(p.page))

	// Two processes of push make the checks. Without them, nobody does.
	m.stops[topology.Push]()
	m.stops["push-2"]()
	p.waitText("no process of push is known to run")
	p.waitText("services.running")
	p.requireAccessible()
	p.dark()
	p.phone()
	p.picture("settings-findings-phone")
	p.requireAccessible()
	p.requireNoFaults()

	// The answer of a page that cannot be made is an error in the browser's console.
	m.stops["nats"]()
	p.waitText(notAnswering)
	require.NotContains(t, p.text(), "is fine")
	require.NotContains(t, p.text(), "are fine")
}
