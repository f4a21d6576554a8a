package browser_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// postForm posts a form as a page does, with the visitor's form token, and returns the status of the answer.
func (p *tab) postForm(path string, fields url.Values) int {
	p.t.Helper()
	body, err := json.Marshal(fields.Encode())
	require.NoError(p.t, err)
	return ask(p, chromedp.Evaluate[int](fmt.Sprintf(`fetch(%q, {method: "POST", redirect: "manual",
		headers: {"Content-Type": "application/x-www-form-urlencoded"},
		body: %s + "&form=" + encodeURIComponent(document.querySelector("input[name=form]").value)})
		.then((r) => r.status)`, path, body), chromedp.EvalAwaitPromise))
}

// act opens the form of an action and confirms it, with a reason if it asks for one.
func (p *tab) act(label, reason string) {
	p.t.Helper()
	p.do(chromedp.Click(fmt.Sprintf(`//button[normalize-space()=%q][@popovertarget]`, label)),
		chromedp.WaitVisible(`[popover]:popover-open`))
	if reason != "" {
		p.do(chromedp.SendKeys(`[popover]:popover-open input[name=reason]`, reason))
	}
	p.submit()
}

func TestProduct_ShowsBothSidesAndActs(t *testing.T) {
	t.Parallel()
	m := newTestMesh(t)
	mug := product("mug", "Stoneware Mug", 1400)
	mug.Description, mug.Metadata = "Holds coffee.", map[string]string{"color": "blue"}
	m.upsert(mug, product("cup", "Cup", 900))
	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Approve)

	// Any id leads to the product.
	p.visit("/")
	p.do(chromedp.SendKeys(".find input", "mug-monthly"+kb.Enter))
	p.waitVisible(".verdict")
	p.waitText("are equal")
	p.waitText("14.00 EUR")
	p.requireAccessible()
	p.picture("product-equal")
	require.Equal(t, "/products/mug#price-mug-monthly",
		read(p, chromedp.Evaluate[string](`location.pathname + location.hash`)))
	require.Contains(t, read(p, chromedp.Evaluate[string](`document.querySelector(".price a[target]").href`)),
		"https://dashboard.stripe.com/test/prices/price_")
	p.visit("/find?id=no-such-id")
	p.waitText("Nothing is known of no-such-id")
	p.requireAccessible()
	p.picture("find-nothing")

	// Somebody edits the product at the dashboard. Each difference is decided in another way.
	m.edit("mug", url.Values{"name": {"Mugg"}, "description": {"Holds tea."}, "metadata[color]": {"red"}})
	p.visit("/products/mug")
	p.waitText("changed at Stripe's dashboard")
	p.waitText("3 differences")
	p.requireAccessible()
	p.picture("product-drifted")
	p.do(chromedp.Click(`[popovertarget="always-0"]:not([popovertargetaction])`),
		chromedp.WaitVisible(`[popover]:popover-open`))
	require.Contains(t, read(p, chromedp.Text(`[popover]:popover-open`)), "{owner: stripe, action: write-back}")
	p.requireAccessible()
	p.picture("product-always")
	p.press(kb.Escape)
	p.actOnDrift("description", "Ignore")
	p.waitText("1 difference left alone until a value changes")
	p.actOnDrift("metadata.color", "Keep catalog")
	p.waitText("the catalog's values go to Stripe")
	p.actOnDrift("name", "Keep Stripe")
	p.waitText("Stripe's values go to the catalog")
	p.waitGone("metadata.color differs")
	p.visit("/products/mug")
	p.waitText("Mugg")

	// A dangerous amount waits for an approval, and is then a chain of two prices.
	m.upsert(product("cup", "Cup", 90000))
	p.visit("/products/cup")
	p.waitText("The guard holds the change")
	p.requireAccessible()
	p.picture("product-held")
	// The page showed an earlier change than the one that is held now.
	require.Equal(t, 2, ask(p, chromedp.Evaluate[int](
		`[...document.querySelectorAll("input[name=held]")].map((i) => i.value = "1").length`)))
	p.act("Approve", "The new list price")
	p.waitText("another change is held now")
	p.visit("/products/cup")
	p.waitText("The guard holds the change")
	p.act("Approve", "The new list price")
	p.waitText("the change is approved")
	p.waitText("Replaced")
	p.waitText("9.00 EUR")
	p.waitText("confirmed")
	p.picture("product-chain")

	// The story of that change.
	p.do(chromedp.Click(`section[aria-labelledby="changes-title"] tbody tr:first-child a`))
	p.waitVisible(".timeline")
	p.waitText("Confirmed by Stripe")
	p.waitText("Held by the guard")
	p.waitText("The new list price")
	p.waitText("Captured")
	p.waitText("Queued")
	p.waitText("create price cup-monthly")
	p.waitText("The event came")
	p.requireAccessible()
	p.picture("story-confirmed")

	// Back to the first price. The guard would hold that, too, and the preview says so.
	p.visit("/products/cup")
	p.click("Go back to this…")
	p.waitVisible(".plan")
	p.waitText("The guard would hold it")
	p.requireAccessible()
	p.picture("product-rollback")
	p.act("Roll back", "The old price was right")
	p.waitText("the state of version")
	p.waitText("The guard holds the change")
	p.act("Reject", "Keep the new price after all")
	p.waitText("the change is rejected")

	// Stripe refuses a change.
	fault, err := m.sim.AddFault(t.Context(), stripesim.Fault{
		Kind: stripesim.FaultRefused, Method: http.MethodPost, Object: "mug",
	})
	require.NoError(t, err)
	mug.Description = "Holds everything."
	m.upsert(mug)
	p.visit("/products/mug")
	p.waitText("Refused")
	p.requireAccessible()
	p.picture("product-refused")
	require.NoError(t, m.sim.RemoveFault(t.Context(), fault.ID))
	p.act("Try again", "")
	p.waitText("the change is tried again")
	p.waitText("are equal")
	p.act("Sync", "")
	p.waitText("the sync is ordered")
	p.act("Read from Stripe", "")
	p.waitText("the read from Stripe and the sync are ordered")
	p.act("Read the tables", "")
	p.waitText("ingestion reads the tables again")

	p.dark()
	p.requireAccessible()
	p.picture("product-dark")
	p.phone()
	p.requireAccessible()
	p.picture("product-phone")
	p.requireNoFaults()

	m.requireViewerActsNot(t)
}

// submit submits the open form, and waits for the page with its result.
func (p *tab) submit() {
	p.t.Helper()
	_ = read(p, chromedp.Evaluate[int](`document.querySelectorAll(".flash").forEach((e) => e.remove()); 1`))
	p.do(chromedp.Click(`[popover]:popover-open button[type=submit]`))
	p.waitVisible(".flash")
}

// actOnDrift decides about the difference of a field.
func (p *tab) actOnDrift(field, label string) {
	p.t.Helper()
	p.do(chromedp.Click(
		fmt.Sprintf(`//tr[contains(@class, "differs")][.//code=%q]//button[normalize-space()=%q][@popovertarget]`,
			field, label), chromedp.NodeVisible), chromedp.WaitVisible(`[popover]:popover-open`))
	p.submit()
}

// waitGone waits until the content of the page no longer has a text.
func (p *tab) waitGone(text string) {
	p.t.Helper()
	p.waitf(`document.querySelector("main")?.innerText.replace(/\s+/g, " ").includes(`+quote(text)+`) === false`,
		"%q stays on the page", text)
}

// requireViewerActsNot requires that a viewer is offered no action of the product's page, and that forged ones are
// refused.
func (m *testMesh) requireViewerActsNot(t *testing.T) {
	t.Helper()
	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Read)
	p.visit("/products/mug")
	p.waitText("Mugg")
	require.Empty(t, read(p, chromedp.Evaluate[string](
		`[...document.querySelectorAll("main form[method=post]")].map((f) => f.action).join(" ")`)))
	for _, action := range []string{
		"sync", "reread", "resolve", "ignore", "replay", "drop", "rollback", "approve", "reject",
	} {
		require.Equal(t, http.StatusForbidden, p.postForm("/products/mug/"+action,
			url.Values{"keep": {"catalog"}, "reason": {"x"}, "to": {"1"}, "expected": {"1"}}), action)
	}
}
