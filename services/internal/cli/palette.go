package cli

import (
	"os"

	"github.com/driftless-sync/driftless/services/internal/visible"
)

// colour is one of the few colours of the output. Words say the same without them.
type colour string

const (
	good    colour = "32"   // green: equal, done, created
	careful colour = "33"   // yellow: differs, waits, or is unknown
	bad     colour = "31"   // red: failed, or goes away
	swapped colour = "35"   // magenta: something takes the place of something
	heading colour = "1"    // bold
	goodBig colour = "1;32" // the verdict of a screen
	badBig  colour = "1;31"
)

// colourMode is --color: auto, always or never.
var colourMode = "auto"

// colours reports whether the output may be coloured (https://no-color.org). A terminal has colours, unless the
// environment says otherwise.
func colours() bool {
	switch colourMode {
	case "always":
		return true
	case "never":
		return false
	default:
		return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(stdout)
	}
}

// in returns a text in the colour, harmless for a terminal.
func (c colour) in(text string, isOn bool) raw {
	text = visible.Text(text)
	if !isOn || c == "" {
		return raw(text)
	}
	return raw("\x1b[" + string(c) + "m" + text + "\x1b[0m")
}

// paint is in for standard output.
func (c colour) paint(text string) raw { return c.in(text, colours()) }
