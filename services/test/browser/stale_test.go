package browser_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// notAnswering is on each page that needs something that is away.
const notAnswering = "The mesh does not answer"

// claims are what no page may say while it is not known.
var claims = []string{
	"products are equal", "are equal.", "equal 2", "No drift\n", "No differences\n", "No dead letters",
	"Nothing waits for an approval", "The guard holds no change", "Neither the catalog nor Stripe is known",
	"Nothing yet", "never scanned", "No products yet",
}

// While a part of the mesh is away, no page says equal or none, and an open page notices by itself. When the part is
// back, an open page shows it.
func TestPages_SayWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	var nats, ledger *gate
	m := newTestMesh(t, func(m *testMesh) {
		nats, m.controlNATS = gated(t, m.natsURL)
		ledger, m.ledgerURL = gated(t, m.database)
	})
	m.upsert(product("mug", "Mug", 1400), product("cup", "Cup", 900))
	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Approve)
	p.waitText("All 2 products are equal.")
	p.visit("/products/mug")
	p.waitText("are equal")
	story := read(p, chromedp.Evaluate[string](`document.querySelector("a[href*='/story/']").getAttribute("href")`))

	// now is a page that is never loaded again, activity another one.
	now, activity := p.another(), p.another()
	now.visit("/")
	activity.visit("/activity")
	activity.waitText("Confirmed")

	m.stops[topology.Ingestion]()
	now.waitText("It is not known whether both sides are equal now")
	p.requireUnknown("ingestion", map[string]string{
		"/products":     "was equal 2",
		"/products/mug": "Capture not known",
		"/plan":         "No differences are known",
		"/plan?held=1":  "No held change is known",
		"/drift":        "No drift is known",
		"/dead":         "No dead letter is known",
		"/find?id=none": "The ledger may be behind",
	})
	m.start(topology.Ingestion)
	now.waitText("All 2 products are equal.")

	needsAll := func(more map[string]string) map[string]string {
		all := map[string]string{
			"/": notAnswering, "/products": notAnswering, "/activity": notAnswering, "/plan": notAnswering,
			"/plan?held=1": notAnswering, "/drift": notAnswering, "/dead": notAnswering, "/scans": notAnswering,
			"/products/mug": notAnswering, story: notAnswering, "/find?id=none": notAnswering,
		}
		maps.Copy(all, more)
		return all
	}
	nats.shut()
	now.waitText(notAnswering)
	activity.waitText(notAnswering)
	p.requireUnknown("nats", needsAll(map[string]string{
		"/products/mug": "Both sides are not known",
		story:           "later entries may be missing",
		"/find?id=none": "The ledger may be behind",
	}))
	nats.open()
	now.waitText("All 2 products are equal.")
	activity.waitText("Confirmed")

	ledger.shut()
	now.waitText(notAnswering)
	activity.waitText(notAnswering)
	p.requireUnknown("ledger", needsAll(nil))
	ledger.open()
	now.waitText("All 2 products are equal.")
	activity.waitText("Confirmed")

	m.stops[topology.Reconciliation]()
	now.waitText(notAnswering)
	activity.waitText(notAnswering)
	p.requireUnknown("control", needsAll(nil))
	m.start(topology.Reconciliation)
	// What was loaded while the API was away is live again, too.
	for _, page := range []*tab{p, now, activity} {
		page.waitGone(notAnswering)
		page.waitVisible("header .visitor")
	}
	now.waitText("All 2 products are equal.")

	// The console itself goes away: the page stays, and says so.
	m.stops[consoleName]()
	now.waitText("The console does not answer. This page is as of")
	now.requireAccessible()
	now.picture("stale-console")
	m.upsert(product("pot", "Pot", 5000))
	m.start(consoleName)
	now.waitText("All 3 products are equal.")
	now.waitGone("The console does not answer")
}

// requireUnknown requires that pages have a text, and none of them a claim.
func (p *tab) requireUnknown(state string, pages map[string]string) {
	p.t.Helper()
	for path, text := range pages {
		p.visit(path)
		p.waitText(text)
		shown := p.page()
		for _, claim := range claims {
			require.NotContains(p.t, shown, claim, "%s is away, page %s", state, path)
		}
		p.requireAccessible()
		name, _, _ := strings.Cut(strings.Trim(path, "/"), "/story/")
		p.picture("stale-" + state + "-" + strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(name))
	}
}
