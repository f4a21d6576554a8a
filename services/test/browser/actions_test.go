package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// many is more than a page of products has, and two more.
const many = 103

// mugs are the products of TestActions.
func mugs(edit func(*catalogv1.Product)) []*catalogv1.Product {
	var all []*catalogv1.Product
	for i := range many {
		p := product(fmt.Sprintf("mug-%03d", i), fmt.Sprintf("Mug %d", i), 1400)
		edit(p)
		all = append(all, p)
	}
	return all
}

// Every action of the lists is pressed: on selected rows, and on all that match.
//
//nolint:tparallel // each part goes on from the state that the one before has left
func TestActions(t *testing.T) {
	t.Parallel()
	m := newTestMesh(t)
	m.upsert(mugs(func(*catalogv1.Product) {})...)
	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Approve)
	p.visit("/products")
	p.waitText(fmt.Sprint("equal ", many))
	for _, c := range []struct {
		name string
		test func(*testing.T, *testMesh, *tab)
	}{
		{"keyboard", testKeyboardOnly},
		{"drifted", testActionsOnDrifted},
		{"refused", testActionsOnRefused},
		{"held", testActionsOnHeld},
		{"viewer", testViewerActsNot},
	} {
		if !t.Run(c.name, func(t *testing.T) { c.test(t, m, p) }) {
			return
		}
	}
	p.requireNoFaults()
}

// editAll changes the names of all products in Stripe.
func (m *testMesh) editAll(name string) {
	for i := range many {
		m.edit(fmt.Sprintf("mug-%03d", i), url.Values{"name": {fmt.Sprintf("%s %d", name, i)}})
	}
}

// testKeyboardOnly finds a product, opens it and settles its difference, from the sign-in on with keys alone.
func testKeyboardOnly(t *testing.T, m *testMesh, _ *tab) {
	t.Helper()
	m.edit("mug-007", url.Values{"name": {"Seven"}})
	p := open(t, m.url(consoleName))
	p.visit("/")
	p.waitText("Sign in to Driftless")
	p.press(m.tokens[auth.Operate] + kb.Enter)
	p.waitText("1 differs")
	p.waitScripts()
	p.key('/')
	p.press("mug-007" + kb.Enter)
	p.waitText("changed at Stripe's dashboard")
	p.waitScripts()
	p.key('j')
	p.press(kb.Enter)
	p.waitText("the catalog's value is written to Stripe")
	p.requireAccessible()
	p.picture("keyboard-form")
	p.press("a slip" + kb.Enter)
	p.waitText("mug-007: 1 difference decided, the catalog's values go to Stripe.")
	p.picture("keyboard-flash")
	p.waitText("are equal")
	p.requireNoFaults()
}

func testActionsOnDrifted(t *testing.T, m *testMesh, p *tab) {
	t.Helper()
	m.editAll("A")
	p.openList("/products?state=drifted", many)
	p.actOnAll("Ignore", "as agreed")
	p.waitText(fmt.Sprintf("Ignore: %d products.", many))
	m.editAll("B")
	p.openList("/products?state=drifted", many)
	p.actOnAll("Keep Stripe", "the shop's names")
	p.waitText(fmt.Sprintf("Keep Stripe: %d products.", many))
	p.openList("/products?state=in_sync", many)
	p.waitText("B 7")
	m.editAll("C")
	p.openList("/products?state=drifted", many)
	p.picture("actions-drifted")
	p.actOnSelected("Act on the selected", "Keep Stripe", "", "mug-000")
	p.waitText("Keep Stripe: 1 product.")
	p.actOnSelected("Act on the selected", "Keep catalog", "a slip", "mug-001", "mug-002")
	p.waitText("Keep catalog: 2 products.")

	// The list of drift decides about all that it shows at once.
	p.openList("/products?state=drifted", many-3)
	p.visit("/drift")
	p.waitText("C 7")
	p.do(chromedp.Click("#drift [data-all]"))
	p.waitText(fmt.Sprint(many-3, " selected"))
	p.click("Decide")
	p.press("a slip, too")
	p.confirm("Keep the catalog")
	p.waitText(fmt.Sprintf("%d differences are decided: the catalog's values go to Stripe.", many-3))
	p.openList("/products?state=in_sync", many)

	p.actOnSelected("Act on the selected", "Sync", "", "mug-001", "mug-002")
	p.waitText("Sync: 2 products.")
}

func testActionsOnRefused(t *testing.T, m *testMesh, p *tab) {
	t.Helper()
	refuse := func(object, field string) {
		_, err := m.sim.AddFault(t.Context(), stripesim.Fault{
			Kind: stripesim.FaultRefused, Method: http.MethodPost, Object: object, Message: "Not allowed.",
			Param: field,
		})
		require.NoError(t, err)
	}
	refuse("", "description")
	m.upsert(mugs(func(p *catalogv1.Product) { p.Description = "Holds coffee." })...)
	p.openList("/products?state=dead", many)
	require.NoError(t, m.sim.ClearFaults(t.Context()))
	p.actOnSelected("Act on the selected", "Try again", "", "mug-000")
	p.waitText("Try again: 1 product.")
	p.visit("/dead")
	p.actOnSelected("Decide", "Drop", "nobody needs it", "mug-001")
	p.waitText("1 dead letter is dropped.")
	p.openList("/products?state=dead", many-2)
	p.actOnAll("Try again", "")
	p.waitText(fmt.Sprintf("Try again: %d products.", many-2))
	p.visit("/dead")
	p.waitText("No dead letters")

	// A group is of a reason and a field. What is done to all of one leaves the others.
	refuse("mug-010", "name")
	refuse("mug-011", "description")
	m.upsert(product("mug-010", "Ten", 1400), product("mug-011", "Eleven", 1400))
	p.visit("/dead")
	p.waitText("2 letters, by reason and field")
	require.NoError(t, m.sim.ClearFaults(t.Context()))
	group := "/dead?service=push&reason=refused_by_stripe&field="
	p.visit(group + "name")
	p.waitText("and the field name, also those that are not shown")
	p.picture("actions-group")
	p.act("Try all of them again", "fixed")
	p.waitText("1 dead letter is tried again.")
	p.waitText("1 letter, by reason and field")
	p.visit(group + "description")
	p.act("Drop all of them", "nobody needs it")
	p.waitText("1 dead letter is dropped.")
	p.waitText("No dead letters")
}

func testActionsOnHeld(_ *testing.T, m *testMesh, p *tab) {
	priced := func(amount int64, n int) {
		var all []*catalogv1.Product
		for i := range n {
			all = append(all, product(fmt.Sprintf("mug-%03d", i), fmt.Sprintf("Mug %d", i), amount))
		}
		m.upsert(all...)
	}
	priced(4200, many)
	p.openList("/products?state=held", many)
	p.visit("/plan?held=1")
	p.waitText(fmt.Sprintf("This page has 50 of %d.", many))
	p.requireAccessible()
	p.picture("actions-held")
	p.act(fmt.Sprint("Reject all ", many), "a slip")
	p.waitText(fmt.Sprintf("%d changes are rejected.", many))
	// No amount is written back, so they stay held until the catalog changes.
	p.waitText(fmt.Sprintf("The catalog stays as it is for %d products", many))
	priced(1400, many)
	p.openList("/products?state=in_sync", many)

	priced(4300, many)
	p.openList("/products?state=held", many)
	p.actOnSelected("Act on the selected", "Approve", "new list", "mug-000")
	p.waitText("Approve: 1 product.")
	p.openList("/products?state=held", many-1)
	p.actOnAll("Approve", "new list")
	p.waitText(fmt.Sprintf("Approve: %d products.", many-1))
	p.openList("/products?state=in_sync", many)

	priced(9900, 52)
	p.openList("/products?state=held", 52)
	p.visit("/plan?held=1")
	p.act("Approve all 52", "new list")
	p.waitText("52 changes are approved.")
	p.openList("/products?state=in_sync", many)

	priced(1400, 2)
	p.openList("/products?state=held", 2)
	p.visit("/plan?held=1")
	p.act("Reject all that this rule holds", "a slip")
	p.waitText("2 changes are rejected.")
	priced(9900, 2)
	p.openList("/products?state=in_sync", many)
	priced(1500, 2)
	p.openList("/products?state=held", 2)
	p.visit("/plan?held=1")
	p.act("Approve all that only this rule holds", "a sale")
	p.waitText("2 changes are approved.")
	p.openList("/products?state=in_sync", many)
}

// testViewerActsNot requires that each role is offered what it may do only, and that the API refuses the rest.
func testViewerActsNot(t *testing.T, m *testMesh, p *tab) {
	t.Helper()
	_, err := m.sim.AddFault(t.Context(), stripesim.Fault{
		Kind: stripesim.FaultRefused, Method: http.MethodPost, Object: "jug",
	})
	require.NoError(t, err)
	m.upsert(product("jug", "Jug", 2000), product("mug-000", "Mug 0", 9000))
	p.openList("/products?state=dead", 1)
	p.openList("/products?state=held", 1)
	m.edit("mug-050", url.Values{"name": {"Fifty"}})
	p.openList("/products?state=drifted", 1)
	form := url.Values{
		"id": {"mug-000"}, "drift": {"mug-050\x1fname"}, "reason": {"because"}, "all": {"1"}, "group": {"1"},
		"keep": {"catalog"}, "field": {"*"},
	}
	approvals := []string{"/plan/approve", "/plan/reject", "/selected-products/approve"}
	decisions := []string{
		"/drift/keep-catalog", "/drift/keep-stripe", "/drift/ignore", "/dead/replay", "/dead/drop",
		"/selected-products/sync", "/selected-products/keep-catalog", "/selected-products/keep-stripe",
		"/selected-products/ignore", "/selected-products/replay",
	}
	viewer := open(t, m.url(consoleName))
	viewer.signIn(m, auth.Read)
	for path, text := range map[string]string{
		"/products": "mug-050", "/drift": "Fifty", "/dead": "jug", "/plan?held=1": "Large change of an amount",
		"/dead?service=push&reason=refused_by_stripe": "jug",
	} {
		viewer.visit(path)
		viewer.waitText(text)
		require.Zero(t, ask(viewer, chromedp.Evaluate[int](
			`document.querySelectorAll("main button.act, main input[type=checkbox], main [type=submit]:not(.filters *)").length`)),
			path)
		viewer.requireAccessible()
	}
	for _, path := range append(append([]string(nil), approvals...), decisions...) {
		require.Equal(t, http.StatusForbidden, viewer.postForm(path, form), path)
	}
	operator := open(t, m.url(consoleName))
	operator.signIn(m, auth.Operate)
	operator.visit("/plan?held=1")
	operator.waitText("Large change of an amount")
	require.Zero(t, ask(operator, chromedp.Evaluate[int](`document.querySelectorAll("main button.act").length`)))
	operator.visit("/products")
	operator.waitText("mug-050")
	require.Zero(t, ask(operator, chromedp.Evaluate[int](
		`[...document.querySelectorAll("main button")].filter((b) => b.textContent.trim() === "Approve").length`)))
	for _, path := range approvals {
		require.Equal(t, http.StatusForbidden, operator.postForm(path, form), path)
	}
}

// key presses a key as a keyboard does: a page that handles it keeps its character from being typed. press types in any
// case.
func (p *tab) key(r rune) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for _, event := range kb.Encode(r) {
			if event.Type == kb.KeyChar {
				continue
			}
			if event.Type == kb.KeyDown {
				event.Text = string(r)
			}
			if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, *event); err != nil {
				return err
			}
		}
		return nil
	}))
}

// waitScripts waits until the page that a form led to has its scripts, which read the keyboard.
func (p *tab) waitScripts() {
	p.t.Helper()
	p.waitf(`document.readyState === "complete"`, "the scripts do not load")
}

// openList opens a list of products, and waits until it has so many.
func (p *tab) openList(path string, n int) {
	p.t.Helper()
	p.visit(path)
	noun := "products"
	if n == 1 {
		noun = "product"
	}
	p.waitText(fmt.Sprint(n, " ", noun))
}

// actOnSelected selects rows of a list, and confirms one of the actions on them.
func (p *tab) actOnSelected(button, label, reason string, ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		p.check(`[data-row] input[value="` + id + `"]`)
	}
	p.click(button)
	if reason != "" {
		p.press(reason)
	}
	p.confirm(label)
}

// actOnAll confirms an action on all products that match.
func (p *tab) actOnAll(label, reason string) {
	p.t.Helper()
	p.do(
		chromedp.Click(`#matching summary`),
		chromedp.Click(fmt.Sprintf(
			`//details[@id="matching"]//button[normalize-space()=%q][@popovertarget][not(@popovertargetaction)]`,
			label),
			chromedp.NodeVisible),
		chromedp.WaitVisible(`[popover]:popover-open`),
	)
	if reason != "" {
		p.do(chromedp.SendKeys(`[popover]:popover-open input[name=reason]`, reason))
	}
	p.submit()
}
