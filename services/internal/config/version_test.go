package config_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
)

// TestParse_PrintsTheVersion runs itself as a process, because --version ends the process.
func TestParse_PrintsTheVersion(t *testing.T) {
	t.Parallel()
	if os.Getenv("DRIFTLESS_TEST_VERSION") != "" {
		var settings struct{}
		_, err := config.Parse(&settings, "push", "Writes.", "0.1.0 (2e3d202)", []string{"--version"})
		t.Fatalf("--version did not end the process: %v", err)
	}
	self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestParse_PrintsTheVersion$")
	self.Env = append(os.Environ(), "DRIFTLESS_TEST_VERSION=yes")
	out, err := self.Output()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "0.1.0 (2e3d202)\n", string(out))
}
