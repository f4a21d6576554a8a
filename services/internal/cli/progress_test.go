package cli

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestIsTerminal_OtherDevicesAreNone(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	require.False(t, isTerminal(null), "a job without a terminal has /dev/null as its standard input")
}

func TestDemo_PrintsEachStepOnceOffATerminal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	require.NoError(t, err)
	defer file.Close()
	before := stdout
	stdout = file
	defer func() { stdout = before }()
	d := &demo{timeout: time.Minute, terminal: isTerminal(file)}
	d.step(t.Context(), "a burst", func(context.Context) error { return errors.New("no mesh") }, nil)
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.Equal(t, "  ✗ a burst (0.00 s): no mesh\n", string(data))
}
