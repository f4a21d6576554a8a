package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/auth"
)

// stopChromium stops the browser, if it was started.
var stopChromium func()

// chromium is the browser of all tests of this process.
var chromium = sync.OnceValues(func() (context.Context, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // the tests may run as root
		chromedp.Flag("disable-dev-shm-usage", true),
		// An animation draws 60 pictures in a second.
		chromedp.Flag("force-prefers-reduced-motion", true))
	// The same browser without windows, which takes half the processor time.
	if shell, err := exec.LookPath("chromium-headless-shell"); err == nil {
		options = append(options, chromedp.ExecPath(shell))
	}
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	stopChromium = func() { _ = chromedp.Cancel(ctx) }
	return ctx, chromedp.Do(ctx)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if stopChromium != nil {
		stopChromium()
	}
	os.Exit(code)
}

// tab is a tab of the browser with cookies of its own.
type tab struct {
	t    testing.TB
	ctx  context.Context //nolint:containedctx // it stands for the tab in chromedp
	base string

	mu sync.Mutex
	// faults are the errors and warnings in the browser's console.
	faults []string
}

// open opens a tab at a console.
func open(t testing.TB, base string) *tab {
	t.Helper()
	browser, err := chromium()
	require.NoError(t, err, "these tests need chromium: apt-get install chromium")
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return newTab(ctx, t, base)
}

// another opens a tab of the same visitor.
func (p *tab) another() *tab {
	p.t.Helper()
	ctx, cancel := chromedp.NewContext(p.ctx)
	p.t.Cleanup(cancel)
	return newTab(ctx, p.t, p.base)
}

func newTab(ctx context.Context, t testing.TB, base string) *tab {
	t.Helper()
	p := &tab{t: t, ctx: ctx, base: base}
	// The tab lives as long as the context of its first call.
	require.NoError(t, chromedp.Do(ctx))
	p.do(chromedp.EmulateViewport(1280, 900))
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			p.note(m)
		}
	}()
	return p
}

func (p *tab) note(m chromedp.ConsoleMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.IsException() {
		p.faults = append(p.faults, m.String())
	}
}

// do runs actions. It fails with the text of the page, so that one sees what was there instead.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	_ = ask(p, chromedp.Steps(actions...))
}

// ask runs an action and returns its value.
func ask[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		require.NoError(p.t, err, "on the page %s", p.page())
	}
	return value
}

// read returns the value of an action that changes nothing. The action fails while the page is left for another one, as
// when the page loads itself again, so it is repeated.
func read[T any](p *tab, action chromedp.Action[T]) (value T) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	var err error
	for ctx.Err() == nil {
		if value, err = chromedp.Run(ctx, action); err == nil {
			return value
		}
	}
	require.NoError(p.t, err, "on the page %s", p.page())
	return value
}

// waitf waits until an expression is true on the page.
func (p *tab) waitf(expression, format string, args ...any) {
	p.t.Helper()
	// An evaluation fails while the page is left for another one.
	require.Eventually(p.t, func() bool {
		isTrue, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](expression))
		return err == nil && isTrue
	}, patience, 100*time.Millisecond, "%s:\n%s", fmt.Sprintf(format, args...), lazily(p.page))
}

// waitVisible waits until an element is on the page.
func (p *tab) waitVisible(selector string) {
	p.t.Helper()
	p.waitf(`!!document.querySelector(`+quote(selector)+`)?.checkVisibility()`, "%s is not on the page", selector)
}

// phone makes the tab as narrow as a phone.
func (p *tab) phone() { p.do(chromedp.EmulateViewport(390, 844)) }

// dark makes the browser ask for dark pages.
func (p *tab) dark() {
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
		})
		return err
	}))
}

// visit opens a page of the console.
func (p *tab) visit(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.base + path))
}

// signIn signs in with a role's token.
func (p *tab) signIn(m *testMesh, role auth.Role) {
	p.t.Helper()
	p.visit("/sign-in")
	p.do(chromedp.SendKeys("#token", m.tokens[role]+kb.Enter))
	p.waitVisible("header.top")
}

// text returns the text of the page's content.
func (p *tab) text() string {
	p.t.Helper()
	return read(p, chromedp.Text("main"))
}

// waitText waits until the content of the page has a text, without loading the page.
func (p *tab) waitText(text string) {
	p.t.Helper()
	// The keyboard works once the scripts have run.
	p.waitf(`document.readyState === "complete" && document.querySelector("main")?.innerText.replace(/\s+/g, " ")
		.includes(`+quote(text)+`)`, "%q is not on the page", text)
}

// page returns the address of the page and all of its text.
func (p *tab) page() string {
	text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	return text
}

// lazily makes a text when it is printed.
type lazily func() string

func (l lazily) String() string { return l() }

// click clicks the visible button or link with a text.
func (p *tab) click(text string) {
	p.t.Helper()
	p.do(chromedp.Click(fmt.Sprintf(
		`//*[self::button or self::a or self::summary][normalize-space()=%q]`, text), chromedp.NodeVisible))
}

// check selects the row of a list whose checkbox matches a selector.
func (p *tab) check(selector string) {
	p.t.Helper()
	p.waitf(`(() => { const e = document.querySelector(`+quote(selector)+`); e?.click(); return !!e?.checked; })()`,
		"%s is not on the page", selector)
}

// confirm clicks the button with a text in the form that is open.
func (p *tab) confirm(text string) {
	p.t.Helper()
	p.waitf(`(() => {
		const e = [...document.querySelectorAll(":popover-open button[type=submit]")]
			.find((b) => b.textContent.trim() === `+quote(text)+`);
		e?.click();
		return !!e;
	})()`, "no open form has %q", text)
}

// press types on the keyboard.
func (p *tab) press(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// axe is the path of axe-core's script, which scripts/test installs from npm.
const axeVariable = "DRIFTLESS_AXE"

// requireAccessible requires that axe-core finds nothing on the page.
func (p *tab) requireAccessible() {
	p.t.Helper()
	path := os.Getenv(axeVariable)
	require.NotEmpty(p.t, path, "set %s to axe.min.js of axe-core, as scripts/test does", axeVariable)
	script, err := os.ReadFile(path)
	require.NoError(p.t, err)
	// One evaluation has both, so that the page cannot be left for another one in between. A page that is scrolled has
	// links below its header, which axe takes for too small.
	found := read(p, chromedp.Evaluate[string](string(script)+`; scrollTo(0, 0); axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa",
		"best-practice"]}).then((r) => r.violations.map((v) => v.help + "\n" +
			v.nodes.map((n) => n.html + "\n" + n.failureSummary).join("\n")).join("\n\n"))`, chromedp.EvalAwaitPromise))
	require.Empty(p.t, found)
}

// requireNoFaults requires that the page has reported no error.
func (p *tab) requireNoFaults() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(p.t, p.faults)
}

// screenshots is the directory for pictures of pages. They are taken only if it is set.
const screenshotsVariable = "DRIFTLESS_SCREENSHOTS"

// picture takes a picture of the whole page, if DRIFTLESS_SCREENSHOTS is set.
func (p *tab) picture(name string) {
	p.t.Helper()
	dir := os.Getenv(screenshotsVariable)
	if dir == "" {
		return
	}
	data := read(p, chromedp.FullScreenshot(100))
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644))
}

// quote returns a text as a literal of JavaScript.
func quote(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}
