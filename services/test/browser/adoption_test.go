package browser_test

import (
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

// createInStripe creates a product with a price, as somebody did before Driftless.
func (m *testMesh) createInStripe(id, name string, fields url.Values, amounts ...string) {
	m.t.Helper()
	fields.Set("id", id)
	fields.Set("name", name)
	_, err := m.sim.CreateProduct(m.t.Context(), fields)
	require.NoError(m.t, err)
	for _, amount := range amounts {
		_, err := m.sim.CreatePrice(m.t.Context(),
			url.Values{"product": {id}, "currency": {"eur"}, "unit_amount": {amount}}, false)
		require.NoError(m.t, err)
	}
}

// get reads a file of the console with the visitor's cookies.
func (p *tab) get(path string) string {
	p.t.Helper()
	return ask(p, chromedp.Evaluate[string](`fetch(`+quote(path)+`).then((r) => r.text())`,
		chromedp.EvalAwaitPromise))
}

// upload chooses a file in the field of a form.
func (p *tab) upload(name, content string) {
	p.t.Helper()
	_ = ask(p, chromedp.Evaluate[any](`(() => {
		const chosen = new DataTransfer();
		chosen.items.add(new File([`+quote(content)+`], `+quote(name)+`));
		document.querySelector("input[type=file]").files = chosen.files;
	})()`))
}

// awaitPlan waits until the live page of adoptions has a text. A plan is kept for twenty times as long as it took, and
// the page reads itself again until there is a new one.
func (p *tab) awaitPlan(text string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		return strings.Contains(strings.Join(strings.Fields(p.text()), " "), text)
	}, lookPatience, 100*time.Millisecond, lazily(p.page))
}

// entries reads a file of adoptions.
func entries(t *testing.T, content string) map[string]adoption.Entry {
	t.Helper()
	file := adoption.File{Name: "adopt.yaml", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
	_, err := file.Header()
	require.NoError(t, err, content)
	out := map[string]adoption.Entry{}
	for e, err := range file.Entries() {
		require.NoError(t, err, content)
		out[e.Product] = e
	}
	return out
}

// Stripe has products from before. They are matched, reviewed on the page and in a file, and adopted. Nothing is done
// if something has changed since it was looked at.
func TestAdoption_ReviewsAndAdopts(t *testing.T) {
	t.Parallel()
	m := newTestMesh(t, func(m *testMesh) { m.holdCreations = true })
	mark := func(id string) url.Values { return url.Values{"metadata[driftless_product]": {id}} }
	m.createInStripe("prod_cup", "Old cup", mark("cup"), "900")
	m.createInStripe("prod_mug", "Mug of old", mark("mug"), "1400")
	m.createInStripe("prod_jug", "Jug", url.Values{}, "2000")
	m.createInStripe("prod_pot", "Pot", url.Values{"active": {"false"}, "metadata[driftless_product]": {"pot"}}, "5000")
	m.createInStripe("prod_bowl1", "Bowl", url.Values{}, "700", "750")
	m.createInStripe("prod_bowl2", "Bowl", url.Values{}, "800")
	m.upsert(product("cup", "Cup", 900), product("mug", "Mug", 1400), product("jug", "Jug", 2000),
		product("pot", "Pot", 5000), product("bowl", "Bowl", 800), product("vase", "Vase", 3000))

	p := open(t, m.url(consoleName))
	p.signIn(m, auth.Operate)
	p.visit("/adoption")
	p.waitText("It is unknown what Stripe has: Stripe was never scanned.")
	p.requireAccessible()
	p.picture("adoption-unknown")
	p.visit("/scans")
	p.press(".")
	p.confirm("Scan Stripe now")
	p.waitText("The latest scan ended")
	p.visit("/adoption")
	p.waitText("2 of 6 products of the catalog match one of 6 in Stripe beyond doubt.")
	p.waitText("1 product matches none: push creates it once push_create is on.")
	p.requireAccessible()
	p.picture("adoption")

	// A filter, and a product that is left out. Both are in the address.
	p.click("Only the name 1")
	p.waitText("only the name is the same")
	require.NotContains(t, p.text(), "Old cup")
	p.visit("/adoption?out=mug")
	p.waitText("1 of them is left out.")
	p.waitText("Adopt all 1")
	file := p.get("/adoption/adopt.yaml?out=mug")
	exported := entries(t, file)
	require.Len(t, exported, 5)
	require.True(t, exported["cup"].Approve)
	require.False(t, exported["mug"].Approve)
	require.False(t, exported["jug"].Approve)
	require.Equal(t, []string{"name_only"}, exported["jug"].Doubts)
	require.Empty(t, exported["bowl"].Stripe)

	// Another product in Stripe is chosen, and a price. The page says what that does.
	p.visit("/adoption?q=bowl")
	p.waitText("2 candidates")
	p.do(chromedp.Click(`a[aria-label="Edit the match of bowl"]`))
	p.waitText("No product is chosen.")
	p.requireAccessible()
	p.do(chromedp.Click(`//a[normalize-space()="Bowl"][contains(@href, "prod_bowl1")]`))
	p.waitText("A new price is made for bowl-monthly: 8.00 EUR.")
	p.requireAccessible()
	_ = ask(p, chromedp.Evaluate[any](`(() => {
		const select = document.querySelector("select[name='price.bowl-monthly']");
		select.selectedIndex = 1;
		select.dispatchEvent(new Event("change", {bubbles: true}));
	})()`))
	p.waitText("is archived, and a new one is made for bowl-monthly")
	p.press(".")
	p.waitText("Push links bowl to prod_bowl1")
	p.requireAccessible()
	p.picture("adoption-match")
	p.confirm("Adopt")
	p.waitText("1 product is adopted")
	p.requireAccessible()
	p.picture("adoption-applied")

	// The jug is renamed in Stripe while its row is selected: nothing is done.
	p.visit("/adoption")
	p.waitText("only the name is the same")
	p.check(`[data-row] input[value*="prod_jug"]`)
	m.edit("prod_jug", url.Values{"name": {"Jar"}})
	viewer := open(t, m.url(consoleName))
	viewer.signIn(m, auth.Read)
	viewer.visit("/adoption")
	viewer.awaitPlan("2 products match none")
	p.click("Adopt the selected")
	p.waitText("in spite of the doubts shown")
	p.picture("adoption-selected")
	p.confirm("Adopt")
	p.waitText("nothing was done: product jug: it no longer matches prod_jug by name")
	p.picture("adoption-stale")
	p.upload("adopt.yaml", strings.ReplaceAll(file, "approve: false", "approve: true"))
	p.click("See what it does")
	p.waitText("line ")
	p.waitText("product jug: it no longer matches prod_jug by name")
	p.requireAccessible()
	p.picture("adoption-review-stale")
	m.edit("prod_jug", url.Values{"name": {"Jug"}})
	viewer.awaitPlan("1 product matches none")

	// The archived pot is adopted from its row, cup and jug from the edited file, and the rest at once.
	p.visit("/adoption?doubt=archived")
	p.waitText("archived in Stripe; it would be unarchived")
	p.check(`[data-row] input[value*="prod_pot"]`)
	p.click("Adopt the selected")
	p.confirm("Adopt")
	p.waitText("1 product is adopted")
	p.visit("/adoption")
	p.waitText("Review in a file")
	before, jug, _ := strings.Cut(file, "product: jug")
	p.upload("adopt.yaml", before+"product: jug"+strings.Replace(jug, "approve: false", "approve: true", 1))
	p.click("See what it does")
	p.waitText("Adopt 2 products")
	p.requireAccessible()
	p.picture("adoption-review")
	p.press(".")
	p.confirm("Adopt 2 products")
	p.waitText("2 products are adopted")
	p.visit("/adoption")
	p.waitText("1 match has no doubts.")
	p.act("Adopt all 1", "")
	p.waitText("1 product is adopted")
	p.visit("/adoption")
	p.waitText("No product of the catalog has the id")
	p.dark()
	p.phone()
	p.requireAccessible()
	p.picture("adoption-phone")

	require.NotContains(t, viewer.text(), "Adopt all")
	for _, path := range []string{"apply", "apply-certain", "apply-match", "apply-file"} {
		viewer.forge("/adoption/"+path, url.Values{"entry": {`{"product": "vase", "stripe": "prod_bowl2"}`}})
	}
	p.requireNoFaults()
}
