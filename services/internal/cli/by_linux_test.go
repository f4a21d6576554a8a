package cli

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// onTerminal makes a terminal the standard input and output, and returns a function that types a line on it.
func onTerminal(t *testing.T) (typeLine func(string)) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = keyboard.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	screen, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	in, out, table := os.Stdin, os.Stdout, stdout
	os.Stdin, os.Stdout, stdout = screen, screen, screen
	t.Cleanup(func() {
		os.Stdin, os.Stdout, stdout = in, out, table
		_ = screen.Close()
	})
	return func(line string) {
		_, err := keyboard.WriteString(line + "\n")
		require.NoError(t, err)
	}
}

// TestDangerousCommands_AskOnATerminal: what concerns much at once is done only after a yes. Scripts are not asked.
func TestDangerousCommands_AskOnATerminal(t *testing.T) {
	done := 0
	s := &stub{
		approve: func(*controlv1.ApproveRequest) (*controlv1.ApproveResponse, error) {
			done++
			return &controlv1.ApproveResponse{}, nil
		},
		drop: func(*controlv1.DropDeadLettersRequest) (*controlv1.DropDeadLettersResponse, error) {
			done++
			return &controlv1.DropDeadLettersResponse{}, nil
		},
	}
	url := s.serve(t)
	dangerous := [][]string{
		{"approve", "--all", "--reason", "sale"},
		{"approve", "--rule", "amount_change", "--reason", "sale"},
		{"approve", "--for", "1h", "--reason", "sale"},
		{"dead", "drop", "--all"},
	}
	run := func(args ...string) int { return Main(append(args, "--control", url)) }
	for _, args := range dangerous {
		done = 0
		code, _ := printed(t, append(args, "--control", url)...)
		require.Zero(t, code, args)
		require.Equal(t, 1, done, "%q must work in a script", args)
	}

	typeLine := onTerminal(t)
	for _, args := range dangerous {
		done = 0
		typeLine("n")
		require.Equal(t, 1, run(args...), args)
		require.Zero(t, done, "%q was done although the answer was no", args)
		typeLine("y")
		require.Zero(t, run(args...), args)
		require.Zero(t, run(append(args, "--yes")...), args)
		require.Equal(t, 2, done, args)
	}
	// A command that names its products asks nothing, and neither does one that ends a window.
	done = 0
	require.Zero(t, run("approve", "mug", "--reason", "sale"))
	require.Zero(t, run("approve", "--for", "0s", "--reason", "over"))
	require.Equal(t, 2, done)
}
