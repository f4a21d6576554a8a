package telemetry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.b.String(), "\n"), "\n")
}

func TestNewLogger_LimitsRepeatedFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &lines{}
		logger, err := telemetry.NewLogger(out, "info", "json")
		require.NoError(t, err)
		of := logger.With("service", "push")
		for i := range 1000 {
			of.Warn("will try again", "product", fmt.Sprint("p", i))
		}
		of.Error("another thing")
		of.Info("one line per event")
		require.Len(t, out.all(), 12, "ten of the repeated message, and the different ones")

		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Len(t, out.all(), 13)
		var last map[string]any
		require.NoError(t, json.Unmarshal([]byte(out.all()[12]), &last))
		require.Equal(t, "will try again", last["msg"])
		require.Equal(t, "p999", last["product"])
		require.Equal(t, "push", last["service"])
		require.EqualValues(t, 989, last["held_back"])

		of.Warn("will try again", "product", "p1000")
		require.Len(t, out.all(), 14, "after a while it is said again")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Len(t, out.all(), 14, "without suppressed messages there is no summary")
	})
}

func TestLogFormat_ResolvesAuto(t *testing.T) {
	require.Equal(t, "json", telemetry.LogFormat(&bytes.Buffer{}, "auto"))
	file, err := os.Create(t.TempDir() + "/log")
	require.NoError(t, err)
	defer file.Close()
	require.Equal(t, "json", telemetry.LogFormat(file, "auto"), "a file is no terminal")
	require.Equal(t, "text", telemetry.LogFormat(file, "text"))
	_, err = telemetry.NewLogger(file, "info", "xml")
	require.ErrorContains(t, err, "must be auto, text or json")
}
