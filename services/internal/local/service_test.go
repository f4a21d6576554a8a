package local

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// written collects each write. Safe for concurrent use.
type written struct {
	mu     sync.Mutex
	writes []string
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, string(p))
	return len(p), nil
}

func (w *written) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.writes...)
}

func TestCopyLines_CutsLongLine(t *testing.T) {
	long := strings.Repeat("x", 10<<20)
	exact := strings.Repeat("y", maxLineBytes)
	text := "first\n" + long + "\n\n" + exact + "\r\nafter\nno end"
	for name, in := range map[string]io.Reader{
		"whole": strings.NewReader(text), "halves": iotest.HalfReader(strings.NewReader(text)),
		"error": iotest.DataErrReader(strings.NewReader(text)),
	} {
		out := &written{}
		require.Equal(t, "no end", copyLines(out, in), name)
		lines := out.lines()
		require.Len(t, lines, 6, name)
		require.Equal(t, "first\n", lines[0], name)
		require.Less(t, len(lines[1]), maxLineBytes+100, name)
		require.Contains(t, lines[1], "10223616 more bytes of this line are omitted", name)
		require.Equal(t, []string{"\n", "after\n", "no end\n"}, append(lines[2:3:3], lines[4:]...), name)
		require.Less(t, len(lines[3]), maxLineBytes+100, name)
		require.True(t, strings.HasPrefix(lines[3], exact), name)
	}
	require.Empty(t, copyLines(io.Discard, bytes.NewReader(nil)))
}

func TestService_LongLineDoesNotBlockProgram(t *testing.T) {
	script := t.TempDir() + "/program"
	writeProgram(t, script, `#!/bin/sh
echo begin
head -c 10485760 /dev/zero | tr '\0' x
echo ''
echo end
exec sleep 60
`)
	out := &written{}
	s := NewService(ServiceConfig{Name: "long", Path: script, Output: out, Logger: discard})
	s.Ready()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	require.Eventually(t, func() bool {
		lines := out.lines()
		return len(lines) == 3 && lines[2] == "end\n"
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, "begin\n", out.lines()[0])
	stop()
	require.NoError(t, <-done)
}

func writeProgram(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o700))
}
