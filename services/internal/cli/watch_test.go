package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWatching_RepeatsUntilInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	require.NoError(t, err)
	defer file.Close()
	was := stdout
	stdout = file
	defer func() { stdout = was }()

	shown := 0
	err = watching{Watch: true, Interval: time.Millisecond}.repeat(ctx, &cli{Output: "text"}, func(w io.Writer) error {
		if shown++; shown == 3 {
			// Interrupted during a call.
			cancel()
			return context.Canceled
		}
		say(w, "screen")
		return errDiffers
	})
	require.ErrorIs(t, err, errDiffers, "the result of the last whole call")
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("screen\n\n", 2)+"\n", string(data))

	failed := errors.New("no such product")
	require.ErrorIs(t, watching{Watch: true}.repeat(t.Context(), &cli{}, func(io.Writer) error { return failed }),
		failed, "an error ends it")
}

func TestDrawScreen_ClearsWhatWasThere(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "terminal"))
	require.NoError(t, err)
	defer file.Close()
	drawScreen(file, "one\ntwo\n")
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.Equal(t, "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J", string(data))
}
