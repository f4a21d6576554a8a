package browser_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// hand does what a person does with a mouse and a keyboard, and counts it.
type hand struct {
	*tab
	steps
	began time.Time
}

// steps are what a person has to do. A word that is typed counts with its letters, and what is pasted once.
type steps struct{ clicks, keys, pastes int }

func (h *hand) click(text string) {
	h.t.Helper()
	h.clicks++
	h.tab.click(text)
}

// clickAt clicks an element by its selector.
func (h *hand) clickAt(selector string) {
	h.t.Helper()
	h.clicks++
	h.do(chromedp.Click(selector, chromedp.NodeVisible))
}

// clickInForm clicks a button of the form that is open.
func (h *hand) clickInForm(text string) {
	h.t.Helper()
	h.clicks++
	h.confirm(text)
}

// typed presses keys, one for each character.
func (h *hand) typed(text string) {
	h.t.Helper()
	h.keys += len([]rune(text))
	h.press(text)
}

func (h *hand) paste(text string) {
	h.t.Helper()
	h.pastes++
	h.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

// task does a task, and says what it took. The time is that of the console, the mesh and the browser: nobody reads or
// thinks in it.
func (h *hand) task(name string, want steps, do func()) {
	h.t.Helper()
	h.steps, h.began = steps{}, time.Now()
	do()
	h.t.Logf("%s: %d clicks, %d keys, %d pastes, %.1f s", name, h.clicks, h.keys, h.pastes,
		time.Since(h.began).Seconds())
	require.Equal(h.t, want, h.steps, "docs/console.md has the steps of: %s", name)
}

// The three tasks of docs/console.md, from the first page on, as somebody does them who has never done them before:
// with what the page offers next, and without knowing an address.
func TestTasks(t *testing.T) {
	t.Parallel()
	m := newTestMesh(t)
	m.upsert(product("mug", "Stoneware mug", 1400), product("cup", "Espresso cup", 900), product("pot", "Teapot", 5000))
	h := &hand{tab: open(t, m.url(consoleName))}
	h.signIn(m, auth.Approve)
	h.waitText("All 3 products are equal.")

	// The price was changed before, so that it has a history. Then Stripe refuses a change.
	m.upsert(product("mug", "Stoneware mug", 1600))
	h.visit("/products/mug")
	h.waitText("14.00 EUR → replaced by 16.00 EUR")
	atCheckout := ask(h.tab, chromedp.Evaluate[string](
		`document.querySelector("#price-mug-monthly [data-copy^=price_]").dataset.copy`))
	_, err := m.sim.AddFault(t.Context(), stripesim.Fault{
		Kind: stripesim.FaultRefused, Method: http.MethodPost, Object: "mug", Param: "unit_amount",
		Message: "Invalid unit_amount: prices of this account end with 99 or 49",
	})
	require.NoError(t, err)
	m.upsert(product("mug", "Stoneware mug", 1850))
	h.visit("/")
	h.waitText("1 is refused.")
	h.picture("task-now")
	h.task("find why a price at checkout is wrong", steps{clicks: 1, keys: 1, pastes: 1}, func() {
		h.clickAt(".find input")
		h.paste(atCheckout)
		h.typed(kb.Enter)
		h.waitText("prices of this account end with 99 or 49")
		h.waitText("16.00 EUR")
	})
	h.waitText("refused by Stripe. What to do")
	h.requireAccessible()
	_ = ask(h.tab, chromedp.Evaluate[int](`scrollTo(0, 0), 1`))
	h.picture("task-why")
	require.NoError(t, m.sim.ClearFaults(t.Context()))
	m.upsert(product("mug", "Stoneware mug", 1849))
	h.waitText("are equal")

	m.upsert(product("cup", "Espresso cup", 1900))
	h.visit("/")
	h.waitText("1 waits for an approval.")
	h.task("approve a held price change", steps{clicks: 4, keys: len("new list")}, func() {
		h.clickAt(`.problems a[href$="/plan"]`)
		h.waitText("+111%")
		h.clickAt(`[data-row] input[value="cup"]`)
		h.click("Decide")
		h.waitText("The selected changes are made in Stripe")
		h.typed("new list")
		h.picture("task-approve")
		h.clickInForm("Approve")
		h.waitText("1 change is approved.")
	})
	h.visit("/products/cup")
	h.waitText("9.00 EUR → replaced by 19.00 EUR")
	h.waitText("are equal")

	m.edit("pot", url.Values{"name": {"Tea pot, large"}})
	h.visit("/")
	h.waitText("1 differs")
	h.task("settle a conflict with the dashboard", steps{clicks: 4, keys: len("a slip")}, func() {
		h.clickAt(`.problems a[href$="/drift"]`)
		h.waitText("Tea pot, large")
		h.clickAt(`[data-row] input[value^="pot"]`)
		h.click("Decide")
		h.waitText("The catalog's values go to Stripe.")
		h.typed("a slip")
		h.picture("task-settle")
		h.clickInForm("Keep the catalog")
		h.waitText("1 difference is decided: the catalog's values go to Stripe.")
	})
	h.visit("/")
	h.waitText("All 3 products are equal.")
	h.requireNoFaults()
}
