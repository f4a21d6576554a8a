package local

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeInstallation returns a directory with an initdb and a postgres that only prints its version.
func fakeInstallation(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres"), []byte(script), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "initdb"), nil, 0o755))
	return dir
}

func TestFindBinaries_ErrorNamesRemedy(t *testing.T) {
	t.Parallel()
	_, err := usableBinaries(t.Context(), []string{t.TempDir()})
	require.ErrorIs(t, err, ErrNoPostgres)
	require.ErrorContains(t, err, "apt-get install -y --no-install-recommends postgresql")
}

func TestFindBinaries_RefusesOldVersion(t *testing.T) {
	t.Parallel()
	_, err := usableBinaries(t.Context(), []string{fakeInstallation(t, "13.22 (Debian 13.22-1)")})
	require.ErrorIs(t, err, ErrNoPostgres)
	require.ErrorContains(t, err, "found postgres (PostgreSQL) 13.22 (Debian 13.22-1), need 14 or later")
}

func TestUsable_KeepsOrderAndListsEachOnce(t *testing.T) {
	t.Parallel()
	newer, older, links := fakeInstallation(t, "17.6"), fakeInstallation(t, "15.18"), t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(newer, "postgres"), filepath.Join(links, "postgres")))
	found, err := usableBinaries(t.Context(), []string{links, older, newer, t.TempDir()})
	require.NoError(t, err)
	require.Equal(t, []binaries{{dir: newer, major: 17}, {dir: older, major: 15}}, found)
}

func TestFindBinaries_UsesOnlyDirectoryOfVariable(t *testing.T) {
	dir := fakeInstallation(t, "18.4")
	t.Setenv("DRIFTLESS_POSTGRES_BIN", dir)
	found, err := findBinaries(t.Context())
	require.NoError(t, err)
	require.Equal(t, []binaries{{dir: dir, major: 18}}, found)

	empty := t.TempDir()
	t.Setenv("DRIFTLESS_POSTGRES_BIN", empty)
	_, err = findBinaries(t.Context())
	require.ErrorIs(t, err, ErrNoPostgres)
	require.ErrorContains(t, err, "DRIFTLESS_POSTGRES_BIN is "+empty)
}

func TestMajorIn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)": 15,
		"postgres (PostgreSQL) 19beta1":                        19,
		"/usr/lib/postgresql/16/bin":                           16,
		"none":                                                 0,
	} {
		require.Equal(t, want, majorIn(text), text)
	}
}
