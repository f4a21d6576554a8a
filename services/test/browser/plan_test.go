package browser_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// A price that rises too much is held. Somebody who may not approve is not offered it, and a forged form is refused.
// Somebody who may, approves one change and rejects another, with a reason.
func TestPlan_ApprovesAndRejects(t *testing.T) {
	t.Parallel()
	m := newTestMesh(t)
	m.upsert(product("mug", "Mug", 1400), product("cup", "Cup", 900), product("pot", "Pot", 5000))
	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Approve)
	p.waitText("All 3 products are equal.")
	m.upsert(product("mug", "Mug", 4200), product("cup", "Cup", 9000))
	p.waitText("2 wait for an approval.")
	p.visit("/plan?held=1")
	p.waitText("Large change of an amount.")
	p.waitText("14.00 EUR")
	p.waitText("+200%")
	p.requireAccessible()
	p.picture("plan-held")

	// The keyboard alone: select the row, open the form, say why, approve.
	p.press("j")
	p.press("x")
	p.press(".")
	p.waitText("The selected changes are made in Stripe")
	p.requireAccessible()
	p.picture("plan-decide")
	p.press("new price list")
	p.confirm("Approve")
	p.waitText("1 change is approved.")
	p.picture("plan-approved")

	p.check(`[data-row] input[value="mug"]`)
	p.click("Decide")
	p.press("a slip")
	p.confirm("Reject")
	p.waitText("1 change is rejected.")

	p.visit("/activity?failed=1")
	p.waitText("Held")
	p.visit("/activity")
	p.waitText("new price list")
	p.requireAccessible()
	p.picture("activity")

	viewer := open(t, m.url(consoleName))
	viewer.signIn(m, auth.Read)
	viewer.visit("/plan?held=1")
	viewer.waitText("wait for an approval")
	require.NotContains(t, viewer.text(), "Decide")
	viewer.forge("/plan/approve", url.Values{"id": {"cup"}, "reason": {"because"}})
	p.requireNoFaults()
}

func TestDrift_IsDecided(t *testing.T) {
	t.Parallel()
	m := newTestMesh(t)
	m.upsert(product("mug", "Mug", 1400), product("cup", "Cup", 900), product("pot", "Pot", 5000))
	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Operate)
	p.waitText("All 3 products are equal.")
	p.visit("/drift")
	p.waitText("No drift")
	p.requireAccessible()
	for _, id := range []string{"mug", "cup", "pot"} {
		m.edit(id, url.Values{"name": {strings.ToUpper(id)}})
	}
	p.waitText("MUG")
	p.waitText("POT")
	p.requireAccessible()
	p.picture("drift")
	p.phone()
	p.picture("drift-phone")
	p.requireAccessible()

	decide := func(product, label, result string) {
		p.check(`input[value^="` + product + `"]`)
		p.click("Decide")
		p.press("as agreed")
		p.confirm(label)
		p.waitText(result)
	}
	decide("mug", "Keep the catalog", "1 difference is decided: the catalog's values go to Stripe.")
	decide("cup", "Keep Stripe", "1 difference is decided: Stripe's values go to the catalog.")
	decide("pot", "Leave alone", "1 difference is left alone until one of their values changes.")
	p.visit("/drift?state=ignored")
	p.waitText("POT")
	p.visit("/scans")
	p.waitText("The account was never scanned")
	p.requireAccessible()
	p.press(".")
	p.confirm("Scan Stripe now")
	p.waitText("The latest scan ended")
	p.requireAccessible()
	p.picture("scan")
	p.visit("/settings")
	p.waitText("reconciliation")
	p.requireAccessible()
	p.picture("settings")

	p.visit("/dead")
	p.waitText("No dead letters")
	p.requireAccessible()
	_, err := m.sim.AddFault(t.Context(), stripesim.Fault{
		Kind: stripesim.FaultRefused, Method: http.MethodPost, Object: "jug", Message: "The name is not allowed.",
		Param: "name",
	})
	require.NoError(t, err)
	m.upsert(product("jug", "Jug", 2000))
	p.waitText("Stripe refuses it")
	p.waitText("The name is not allowed.")
	p.requireAccessible()
	p.picture("dead")
	require.NoError(t, m.sim.ClearFaults(t.Context()))
	p.check(`[data-row] input[value="jug"]`)
	p.click("Decide")
	p.confirm("Try again")
	p.waitText("1 dead letter is tried again.")
	p.waitText("No dead letters")

	viewer := open(t, m.url(consoleName))
	viewer.signIn(m, auth.Read)
	viewer.visit("/scans")
	require.NotContains(t, viewer.text(), "Scan Stripe now")
	for _, path := range []string{
		"/drift/keep-catalog", "/drift/keep-stripe", "/drift/ignore", "/scans/start",
		"/dead/drop",
	} {
		viewer.forge(path, url.Values{"drift": {"pot\x1fname"}})
	}
	p.requireNoFaults()
}

// forge posts a form that the page does not offer, with the visitor's own cookies and form token, and requires that it
// is refused.
func (p *tab) forge(path string, form url.Values) {
	p.t.Helper()
	form.Set("form", ask(p, chromedp.Value(`input[name="form"]`)))
	status := ask(p, chromedp.Evaluate[int](
		`fetch(`+quote(path)+`, {method: "POST", body: new URLSearchParams(`+quote(form.Encode())+
			`)}).then((r) => r.status)`,
		chromedp.EvalAwaitPromise))
	require.Equal(p.t, http.StatusForbidden, status)
}
