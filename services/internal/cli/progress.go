package cli

import (
	"fmt"
	"os"
	"strings"
)

// progress is a line at the foot of a terminal that says how far something is. Elsewhere it is not shown.
type progress struct{ width int }

func (p *progress) showf(format string, args ...any) {
	if !isTerminal(os.Stderr) {
		return
	}
	line := fmt.Sprintf(format, args...)
	sayf(os.Stderr, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

// clear takes the line away, so that something else can be printed.
func (p *progress) clear() {
	if p.width > 0 {
		sayf(os.Stderr, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

// bar draws a share of a whole: "[######....]".
func bar(done, whole int) string {
	const width = 24
	n := width
	if whole > 0 {
		n = min(done*width/whole, width)
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}
