package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

const (
	// scanBarWidth is the width of the progress bar in characters.
	scanBarWidth = 24
	// lineInterval is the interval between lines of progress where there is no terminal.
	lineInterval = 5 * time.Second
)

// scanProgress shows the progress of a scan: as a bar on a terminal, else as a line every few seconds.
type scanProgress struct {
	out             io.Writer
	terminal, quiet bool
	isDrawn         bool
	lastWritten     time.Time
}

// isTerminal reports whether a file is a terminal. Other devices, such as /dev/null, are none.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

func (p *scanProgress) show(r *meshv1.ScanReport) {
	switch {
	case p.quiet || r.GetFinishedAt() != nil:
	case p.terminal:
		p.isDrawn = true
		sayf(p.out, "\r\x1b[K%s", scanLine(r))
	case p.lastWritten.IsZero():
		// A short scan has only its result.
		p.lastWritten = time.Now()
	case time.Since(p.lastWritten) >= lineInterval:
		p.lastWritten = time.Now()
		say(p.out, scanLine(r))
	}
}

// end removes the bar and prints the result of the scan.
func (p *scanProgress) end(r *meshv1.ScanReport, err error) {
	if p.isDrawn {
		sayf(p.out, "\r\x1b[K")
	}
	if p.quiet || err != nil || r == nil {
		return
	}
	took := r.GetFinishedAt().AsTime().Sub(r.GetStartedAt().AsTime())
	sayf(p.out, "%s; %s, %s, in %s\n", scanSummary(r), countOf(r.GetListCalls(), "list call", "list calls"),
		countOf(r.GetReads(), "read", "reads"),
		took.Round(time.Millisecond))
	if n := r.GetUnconfirmed(); n > 0 {
		sayf(p.out, "%s neither listed nor read, because the read allowance did not suffice, Stripe did not answer, or "+
			"too many changed: the next scan continues there\n", countOf(n, "known object was", "known objects were"))
	}
	if n := r.GetFailed(); n > 0 {
		sayf(p.out, "%s could not be processed: `driftless dead` has those of the catalog, and pull's log names them\n",
			countOf(n, "object", "objects"))
	}
}

// scanSummary describes the result of a scan so far.
func scanSummary(r *meshv1.ScanReport) string {
	return fmt.Sprintf("%s, %s, %d corrected, %s and %s missing", countOf(r.GetProducts(), "product", "products"),
		countOf(r.GetPrices(), "price", "prices"), r.GetCorrected(), countOf(r.GetMissing(), "product", "products"),
		countOf(r.GetMissingPrices(), "price", "prices"))
}

// scanLine describes the progress of a scan in one line.
func scanLine(r *meshv1.ScanReport) string {
	what, done, all := "listing", r.GetProducts()+r.GetPrices(), r.GetExpected()
	switch r.GetPhase() {
	case meshv1.ScanPhase_SCAN_PHASE_COMPARING:
		what, done, all = "comparing", r.GetCompared(), r.GetEntries()
	case meshv1.ScanPhase_SCAN_PHASE_CONFIRMING:
		what, done, all = "confirming", r.GetCompared(), r.GetEntries()
	case meshv1.ScanPhase_SCAN_PHASE_UNSPECIFIED, meshv1.ScanPhase_SCAN_PHASE_LISTING:
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s ", what)
	if all > 0 {
		share := min(float64(done)/float64(all), 1)
		filled := int(share * scanBarWidth)
		fmt.Fprintf(&b, "[%s%s] %3.0f%%  %d of %d", strings.Repeat("#", filled),
			strings.Repeat(".", scanBarWidth-filled), share*100, done, max(all, done))
	} else {
		b.WriteString(countOf(done, "object", "objects"))
	}
	if r.GetPerSecond() > 0 {
		fmt.Fprintf(&b, ", %.0f/s", r.GetPerSecond())
	}
	if left := r.GetRemaining(); left != nil {
		fmt.Fprintf(&b, ", %s left", left.AsDuration().Round(time.Second))
	}
	return b.String()
}
