package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/durable"
)

func TestWriteFile_ReplacesTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	for _, text := range []string{"first, and long", "second", ""} {
		require.NoError(t, durable.WriteFile(path, []byte(text), 0o600))
		have, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(have))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
	require.NoError(t, durable.WriteFile(path, nil, 0o644))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), info.Mode(), "whatever the umask and the mode before")
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no draft is left")
}

// A directory of the same name cannot be replaced by a file.
func TestWriteFile_LeavesWhatWasThereIfItFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.MkdirAll(filepath.Join(path, "child"), 0o755))
	require.ErrorContains(t, durable.WriteFile(path, []byte("text"), 0o600), path)
	require.DirExists(t, filepath.Join(path, "child"))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no draft is left")
	require.ErrorIs(t, durable.WriteFile(filepath.Join(path, "absent", "file"), nil, 0o600), os.ErrNotExist)
}
