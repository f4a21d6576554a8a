package cli

import (
	"fmt"
	"os"
	"strings"
)

// progress is a status line at the bottom of a terminal. It is not shown elsewhere.
type progress struct{ width int }

func (p *progress) showf(format string, args ...any) {
	if !isTerminal(os.Stderr) {
		return
	}
	line := fmt.Sprintf(format, args...)
	sayf(os.Stderr, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

// clear removes the line, so that something else can be printed.
func (p *progress) clear() {
	if p.width > 0 {
		sayf(os.Stderr, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

// bar draws a share as a bar: "[######....]".
func bar(done, total int) string {
	const width = 24
	n := width
	if total > 0 {
		n = min(done*width/total, width)
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}
