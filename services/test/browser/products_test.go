package browser_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

func TestProducts_FindsAndActsOnMany(t *testing.T) {
	t.Parallel()
	m := newTestMesh(t)
	var all []*catalogv1.Product
	for i := range 120 {
		all = append(all, product(fmt.Sprintf("mug-%03d", i), fmt.Sprintf("Mug %d", i), 1400))
	}
	m.upsert(all...)
	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Operate)
	p.visit("/products")
	p.waitText("All 120 products")
	p.waitText("equal 120")
	p.requireAccessible()
	p.picture("products-all")
	p.click("Next")
	p.waitText("mug-119")

	// Search, facets and saved views are addresses.
	p.visit("/products?q=mug-007")
	p.waitText("1 product")
	for _, id := range []string{"mug-001", "mug-002", "mug-003"} {
		m.edit(id, url.Values{"name": {"Edited " + id}})
	}
	p.visit("/products")
	p.click("Changed at Stripe's dashboard")
	p.waitText("3 products")
	p.waitText("drifted 3")
	p.requireAccessible()
	p.picture("products-drifted")

	// The keyboard selects a row, and the others stay as they are.
	p.press("j")
	p.press("x")
	p.waitText("1 selected")
	p.press(".")
	p.waitText("Act on the selected (1)")
	p.requireAccessible()
	p.picture("products-selected")
	p.confirm("Ignore")
	p.waitText("Ignore: 1 product.")
	p.waitText("2 products")

	// All that match are more than a page has.
	p.visit("/products?q=mug")
	p.waitText("120 products")
	p.click("Act on all 120 that match")
	p.do(chromedp.Click(`[popovertarget="act-all-0"]:not([popovertargetaction])`))
	p.waitText("Nothing is done if more match by now.")
	p.requireAccessible()
	p.confirm("Sync")
	p.waitText("Sync: 120 products.")
	p.visit("/products?q=nothing-like-this")
	p.waitText("Nothing found")
	p.dark()
	p.phone()
	p.visit("/products")
	p.waitText("All 120 products")
	p.requireAccessible()
	p.picture("products-phone")
	p.requireNoFaults()

	viewer := open(t, m.url(consoleName))
	viewer.signIn(m, auth.Read)
	viewer.visit("/products")
	viewer.waitText("All 120 products")
	require.Zero(t,
		ask(viewer, chromedp.Evaluate[int](
			`document.querySelectorAll("main input[type=checkbox], main details").length`)))
	for _, action := range []string{"sync", "keep-catalog", "keep-stripe", "ignore", "replay", "approve"} {
		require.Equal(t, http.StatusForbidden, viewer.postForm("/selected-products/"+action,
			url.Values{"id": {"mug-001"}, "reason": {"x"}}), action)
	}
}
