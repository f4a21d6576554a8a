package main

import (
	"fmt"
	"strings"
)

// The ceilings of the console.
const (
	maxPageMillis  = 100.0
	maxPaintMillis = 300.0
	maxConsoleMB   = 50.0
)

// percentiles are times in milliseconds.
type percentiles struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
	// CPU is the processor time of everything for one call: the services, Postgres, NATS and the caller. On a machine
	// that does other work as well it says more than the other times. 0 if it was not measured.
	CPU float64 `json:"cpu_ms"`
}

type pageTimes struct {
	Name string `json:"name"`
	percentiles
}

type consoleResult struct {
	Products int `json:"products"`
	// Bare is a read of 100 products by their primary key, and Empty a page of the console that asks nobody.
	Bare  percentiles `json:"bare"`
	Empty percentiles `json:"empty"`
	Pages []pageTimes `json:"pages"`
	// Paint is the first contentful paint of the list of products, and PaintOfCommonWord that of a search.
	Paint             percentiles `json:"paint"`
	PaintOfCommonWord percentiles `json:"paint_of_common_word"`
	// ResidentMB is the console's memory after all of that, and PeakMB its maximum.
	ResidentMB             float64 `json:"resident_mb"`
	ResidentWithVisitorsMB float64 `json:"resident_with_visitors_mb"`
	PeakMB                 float64 `json:"peak_mb"`
	// WithVisitors is the first page while visitors read it again at each event, ReadAgain times in all.
	Visitors     int         `json:"visitors"`
	ReadAgain    int         `json:"read_again"`
	WithVisitors percentiles `json:"with_visitors"`
}

func (r *consoleResult) text() string {
	var b strings.Builder
	line := func(name string, t percentiles, ceiling float64) {
		verdict := ""
		if ceiling > 0 && t.P99 > ceiling {
			verdict = fmt.Sprintf("  MISSED: at most %.0f", ceiling)
		}
		fmt.Fprintf(&b, "%-36s %7.1f %7.1f %7.1f %7.1f %7.1f%s\n", name, t.P50, t.P99, t.Max, t.P99/r.Bare.P99, t.CPU, verdict)
	}
	fmt.Fprintf(&b, "%d products in the ledger; milliseconds\n", r.Products)
	fmt.Fprintf(&b, "%-36s %7s %7s %7s %7s %7s\n", "", "p50", "p99", "max", "x bare", "cpu")
	line("bare: 100 rows by primary key", r.Bare, 0)
	line("empty: the page to sign in", r.Empty, 0)
	for _, p := range r.Pages {
		line(p.Name, p.percentiles, maxPageMillis)
	}
	line(fmt.Sprintf("Now, with %d visitors", r.Visitors), r.WithVisitors, maxPageMillis)
	line("first paint of Products", r.Paint, maxPaintMillis)
	line("first paint, search by a common word", r.PaintOfCommonWord, maxPaintMillis)
	for _, m := range []struct {
		name string
		mb   float64
	}{
		{"after the pages", r.ResidentMB},
		{fmt.Sprintf("after %d visitors", r.Visitors), r.ResidentWithVisitorsMB},
		{"at most", r.PeakMB},
	} {
		verdict := ""
		if m.mb > maxConsoleMB {
			verdict = fmt.Sprintf("  MISSED: at most %.0f", maxConsoleMB)
		}
		fmt.Fprintf(&b, "memory of the console %-14s %7.1f MB%s\n", m.name, m.mb, verdict)
	}
	fmt.Fprintf(&b, "the visitors read the page again %d times\n", r.ReadAgain)
	return b.String()
}
