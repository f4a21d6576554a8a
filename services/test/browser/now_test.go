package browser_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/auth"
)

func TestNow_ShowsWhatHappensAndActs(t *testing.T) {
	t.Parallel()
	m := newTestMesh(t)
	p := open(t, m.url(consoleName))
	p.visit("/")
	p.waitText("Sign in to Driftless")
	p.requireAccessible()
	p.signIn(m, auth.Operate)
	p.waitText("The catalog has no products.")
	m.upsert(product("mug", "Mug", 1400), product("cup", "Cup", 900))
	p.waitText("All 2 products are equal.")
	p.waitText("Calls a second")
	p.waitText("of 100")
	p.waitText("of 10,000")
	p.waitText("Scans stop at 9,000. There is no forecast yet: it needs the reads of two whole days.")
	p.requireAccessible()
	p.picture("now-equal")

	m.edit("mug", url.Values{"name": {"Mugg"}})
	p.waitText("1 differs")
	p.picture("now-drifted")
	requireOneReading(p, func() { m.edit("cup", url.Values{"name": {"Cupp"}}) })
	p.waitText("2 differ")
	p.dark()
	p.requireAccessible()
	p.picture("now-dark")
	p.phone()
	p.picture("now-phone")
	p.requireNoFaults()
}

// requireOneReading requires that two live pages show the same reading of the status after a change.
func requireOneReading(p *tab, change func()) {
	p.t.Helper()
	read := func(p *tab) string {
		return ask(p, chromedp.Evaluate[string](`document.getElementById("live").dataset.read`))
	}
	other := p.another()
	other.visit("/")
	other.waitText("1 differs")
	opened := read(other)
	require.Eventually(p.t, func() bool { return read(other) != opened }, patience, 100*time.Millisecond,
		"a page that was opened is read again once")
	change()
	require.Eventually(p.t, func() bool { return read(other) == read(p) }, patience, 100*time.Millisecond,
		"each page has a reading of its own")
}
