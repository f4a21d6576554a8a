package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// A nonce that was emptied must not look like that of another data directory, whose server is removed.
func TestReadNonce_RefusesAnEmptyOne(t *testing.T) {
	t.Parallel()
	asked, moved := home{dir: t.TempDir()}, home{dir: t.TempDir()}
	nonce, err := readNonce(asked, moved)
	require.NoError(t, err)
	require.NotEmpty(t, nonce)
	require.NoError(t, os.WriteFile(moved.nonce(), []byte(nonce), 0o644))
	for _, damaged := range []home{asked, moved} {
		require.NoError(t, os.WriteFile(damaged.nonce(), nil, 0o644))
		_, err := readNonce(asked, moved)
		require.ErrorContains(t, err, damaged.nonce()+" is empty")
		command := regexp.MustCompile("`(cp [^`]+)`").FindStringSubmatch(err.Error())
		require.Len(t, command, 2, err)
		require.NoError(t, exec.CommandContext(t.Context(), "sh", "-c", command[1]).Run())
		again, err := readNonce(asked, moved)
		require.NoError(t, err)
		require.Equal(t, nonce, again)
	}
	require.FileExists(t, filepath.Join(asked.dir, "relocated"))
}
