package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// remedy runs the command in backticks that an error names, a removal of files.
func remedy(t *testing.T, err error) {
	t.Helper()
	require.ErrorContains(t, err, "is empty")
	command := regexp.MustCompile("`rm ([^`]+)`").FindStringSubmatch(err.Error())
	require.Len(t, command, 2, err)
	for file := range strings.FieldsSeq(command[1]) {
		if err := os.Remove(file); err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
	}
}

// An earlier version, or a disk that lies about what it has written, leaves an empty file after a loss of power.
func TestUp_SaysWhatToDoAboutEmptyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := func(name string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	u := &up{upCmd: &upCmd{}, dataDir: dir, logger: discard()}

	empty("catalog")
	err := u.pinCatalog(t.Context())
	require.ErrorContains(t, err, "If it was used with the catalog in its own Postgres, run `rm ")
	remedy(t, err)
	require.NoError(t, u.pinCatalog(t.Context()))

	empty("stripe")
	err = pinStripe(dir, true)
	require.ErrorContains(t, err, "If it was used with Stripe, run `rm ")
	remedy(t, err)
	require.NoError(t, pinStripe(dir, true))

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "nats"), 0o700))
	require.NoError(t, u.makeKeys())
	require.NoError(t, u.keys.markSigned(false))
	require.NoError(t, u.makeKeys())
	require.True(t, u.keys.isChecked)
	empty(filepath.Join("signing", "push.key"))
	err = u.makeKeys()
	require.ErrorContains(t, err, "signing key of push")
	remedy(t, err)
	require.NoError(t, u.makeKeys())
	require.False(t, u.keys.isChecked, "messages that the lost key signed must be accepted")

	empty("mesh.json")
	_, err = findMesh(dir)
	require.ErrorContains(t, err, "mesh.json is damaged, perhaps since a loss of power: start `driftless up` again")
	require.NoError(t, endpoints{Control: "http://127.0.0.1:1"}.save(dir))
	found, err := findMesh(dir)
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:1", found.Control)

	empty("token")
	token, err := readOrCreateSecret(filepath.Join(dir, "token"), "")
	require.NoError(t, err)
	require.NotEmpty(t, token, "another token harms nothing")
}
