package secretfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRead_ReturnsSecretWithoutLineEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for _, text := range []string{"hush", "hush\n", "hush\r\n"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		secret, err := Read("SETTING", path)
		require.NoError(t, err)
		require.Equal(t, "hush", secret)
	}
}

func TestRead_NamesSettingInErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	_, err := Read("SETTING", path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "SETTING")
	require.NoError(t, os.WriteFile(path, []byte("\n"), 0o600))
	_, err = Read("SETTING", path)
	require.ErrorContains(t, err, "SETTING: "+path+" is empty")
}
