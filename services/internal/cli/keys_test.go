package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// keys runs the command and returns its exit code and its output.
func keys(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "out")
	require.NoError(t, err)
	defer file.Close()
	before := stdout
	stdout = file
	defer func() { stdout = before }()
	code = Main(append([]string{"keys"}, args...))
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	return code, string(data)
}

func TestKeysCreate_WritesKeyFileAndPrintsPublicKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ingestion.key")
	code, out := keys(t, "create", "ingestion", "--key-file", path)
	require.Zero(t, code)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	key, err := signing.ParsePrivate(string(text))
	require.NoError(t, err)
	require.Equal(t, "ingestion="+key.Public().String()+"\n", out)

	code, again := keys(t, "public", path, "ingestion")
	require.Zero(t, code)
	require.Equal(t, out, again)

	code, _ = keys(t, "create", "ingestion", "--key-file", path)
	require.Equal(t, 1, code, "a key that is in use was overwritten")
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, kept)
}

func TestKeysCreate_PrintsSecretOnlyOnRequest(t *testing.T) {
	code, out := keys(t, "create")
	require.Equal(t, 1, code)
	require.Empty(t, out)
	code, out = keys(t, "create", "--show-key", "-o", "json")
	require.Zero(t, code)
	var pair map[string]string
	require.NoError(t, json.Unmarshal([]byte(out), &pair))
	key, err := signing.ParsePrivate(pair["signing_key"])
	require.NoError(t, err)
	require.Equal(t, key.Public().String(), pair["trusted_key"])
}

// Each service gets only its own key. A mesh that has run without keys signs before it checks. After services ran
// without keys, unsigned messages count again.
func TestUp_MakesKeysOfDataDirectory(t *testing.T) {
	data := t.TempDir()
	start := func(without ...string) upKeys {
		t.Helper()
		u := &up{upCmd: &upCmd{Without: without}, dataDir: data}
		require.NoError(t, u.makeKeys())
		require.NoError(t, u.keys.markSigned(u.runsElsewhere()))
		return u.keys
	}
	require.NoError(t, os.Mkdir(filepath.Join(data, "nats"), 0o700))
	require.False(t, start().isChecked, "the stored messages are not signed")
	second := start()
	require.True(t, second.isChecked)
	for _, service := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		env := strings.Join(second.environment(service), " ")
		require.Contains(t, env, service+".key")
		require.Equal(t, 1, strings.Count(env, ".key"), "%s gets another's key", service)
		require.Contains(t, env, service+"=driftless_public_key_v1_")
	}
	require.False(t, start(topology.Push).isChecked)
	require.False(t, start().isChecked)
	require.True(t, start().isChecked)

	data = t.TempDir()
	require.True(t, start().isChecked, "in a new data directory, everything is signed from the start")

	data = t.TempDir()
	given := &up{upCmd: &upCmd{Signing: config.Signing{TrustedKeysFile: "/keys"}}, dataDir: data}
	require.NoError(t, given.makeKeys())
	require.Empty(t, given.keys.environment(topology.Push), "keys that are given are left as they are")
}
