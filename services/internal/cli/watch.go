package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"
)

// watching repeats what a command prints.
type watching struct {
	Watch    bool          `short:"w" help:"Repeat it until interrupted. A terminal is redrawn."`
	Interval time.Duration `default:"2s" help:"How often --watch repeats it."`
}

// minWatchInterval is the shortest time between two repetitions: each asks every consumer of the mesh.
const minWatchInterval = 500 * time.Millisecond

// repeat calls show, which writes a screen, once or until ctx ends. An error that is a finding of the command, such as
// differences, does not end the repetition, and is the result of the last call.
func (x watching) repeat(ctx context.Context, c *cli, show func(io.Writer) error) error {
	if !x.Watch {
		return show(stdout)
	}
	terminal := isTerminal(stdout) && c.Output == "text"
	ticker := time.NewTicker(max(x.Interval, minWatchInterval))
	defer ticker.Stop()
	var last error
	for {
		err := x.once(terminal, show)
		switch {
		case ctx.Err() != nil:
			// The call was interrupted, which says nothing about the mesh.
			return last
		case err != nil && !errors.Is(err, errDiffers):
			return err
		}
		last = err
		select {
		case <-ctx.Done():
			return last
		case <-ticker.C:
		}
	}
}

// once shows one screen. On a terminal it is written at once, over the one before, so that it does not flicker.
func (x watching) once(terminal bool, show func(io.Writer) error) error {
	if !terminal {
		err := show(stdout)
		say(stdout)
		return err
	}
	var screen bytes.Buffer
	err := show(&screen)
	drawScreen(stdout, screen.String())
	return err
}

// drawScreen replaces what a terminal shows by a text that is harmless.
func drawScreen(w *os.File, text string) {
	const home, clearLine, clearBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	lines := strings.ReplaceAll(text, "\n", clearLine+"\n")
	sayf(w, "%s", raw(home+lines+clearBelow))
}
