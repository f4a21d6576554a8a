package main

import (
	"context"
	"fmt"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// consolePaints is how often the list is opened in the browser.
const consolePaints = 20

// paintTimeout is how long the browser may take to open the list once.
const paintTimeout = 30 * time.Second

// firstPaint returns the time from the start of the navigation to the first contentful paint, in milliseconds.
const firstPaint = `new Promise((done) => new PerformanceObserver((list) => {
	for (const e of list.getEntriesByName("first-contentful-paint")) done(e.startTime);
}).observe({type: "paint", buffered: true}))`

// measurePaint opens the list of products in Chromium, with what it keeps of the console's own files.
func (b *consoleBench) measurePaint(ctx context.Context) error {
	allocator, stopBrowser := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true))...)
	defer stopBrowser()
	tab, cancel := chromedp.NewContext(allocator)
	defer cancel()
	// The browser lives as long as the context of its first call.
	if err := chromedp.Do(tab); err != nil {
		return fmt.Errorf("this needs chromium (apt-get install chromium): %w", err)
	}
	if err := inTab(tab, chromedp.Steps(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(b.url()+"/sign-in"),
		chromedp.SendKeys("#token", b.tokens[0]+kb.Enter), chromedp.WaitVisible("header.top"))); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	for _, list := range []struct {
		path string
		out  *percentiles
	}{{"/products", &b.result.Paint}, {"/products?q=sku", &b.result.PaintOfCommonWord}} {
		var took []time.Duration
		for n := range consolePaints + 1 {
			milliseconds, err := paint(tab, b.url()+list.path)
			if err != nil {
				return fmt.Errorf("open %s in Chromium: %w", list.path, err)
			}
			if n > 0 {
				took = append(took, time.Duration(milliseconds*float64(time.Millisecond)))
			}
		}
		*list.out = newPercentiles(took)
	}
	return nil
}

func paint(tab context.Context, address string) (float64, error) {
	ctx, cancel := context.WithTimeout(tab, paintTimeout)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Navigate(address)); err != nil {
		return 0, err
	}
	return chromedp.Run(ctx, chromedp.Evaluate[float64](firstPaint, chromedp.EvalAwaitPromise))
}

func inTab(tab context.Context, action chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(tab, paintTimeout)
	defer cancel()
	_, err := chromedp.Run(ctx, action)
	return err
}
