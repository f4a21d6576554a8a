package local

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLock_IsReleasedWhileAForkedChildHasTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock, err := lockDir(dir)
	require.NoError(t, err)
	// A child has the same open file between fork and exec.
	child, err := syscall.Dup(int(lock.file.Fd()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Close(child)) })
	_, err = lockDir(dir)
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, lock.release())
	again, err := lockDir(dir)
	require.NoError(t, err)
	require.NoError(t, again.release())
}
