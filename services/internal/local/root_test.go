package local

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root has to run Postgres as somebody else")
	}
}

func TestStartPostgres_RunsAsOtherUserForRoot(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := tempDir(t)
	server := startPostgres(t, config(dir))
	info, err := os.Stat("/proc/" + strconv.Itoa(server.Pid()))
	require.NoError(t, err)
	require.NotZero(t, info.Sys().(*syscall.Stat_t).Uid)
	require.Equal(t, dir, server.home.dir)
}

func TestStartPostgres_KeepsOwnerOfClusterForRoot(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "cluster"), 0o700))
	require.NoError(t, os.Chown(filepath.Join(dir, "cluster"), 12345, 23456))
	owner, err := runAs(dir)
	require.NoError(t, err)
	require.Equal(t, 12345, owner.uid)
	require.Equal(t, 23456, owner.gid)
}

func TestStartPostgres_LeavesPrivateDirectoryForRoot(t *testing.T) {
	needRoot(t)
	t.Parallel()
	private := t.TempDir()
	require.NoError(t, os.Chmod(private, 0o700))
	elsewhere := tempDir(t)
	cfg := config(filepath.Join(private, "data"))
	cfg.relocateTo = filepath.Join(elsewhere, "driftless")

	server := startPostgres(t, cfg)
	require.Equal(t, cfg.relocateTo, filepath.Dir(filepath.Dir(server.home.dir)))
	query(t, server.URL(), "CREATE TABLE kept AS SELECT 'here' AS value")
	require.NoError(t, server.Close())

	again := startPostgres(t, cfg)
	require.Equal(t, server.home.dir, again.home.dir)
	require.Equal(t, "here", query(t, again.URL(), "SELECT value FROM kept"))
	require.NoError(t, again.Close())

	require.NoError(t, os.Chmod(private, 0o755))
	open := startPostgres(t, cfg)
	require.Equal(t, server.home.dir, open.home.dir, "once moved, it stays, or the data would be gone")
	require.NoError(t, open.Close())
	require.NoError(t, os.Chmod(private, 0o700))

	require.NoError(t, os.RemoveAll(cfg.DataDir))
	fresh := startPostgres(t, cfg)
	require.Equal(t, server.home.dir, fresh.home.dir)
	require.Equal(t, "0", query(t, fresh.URL(), "SELECT count(*)::text FROM pg_tables WHERE tablename = 'kept'"))
}
