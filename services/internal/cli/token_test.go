package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// tokenOfUp returns the token that up uses with these arguments.
func tokenOfUp(t *testing.T, dir string, args ...string) string {
	t.Helper()
	var c cli
	options, _ := config.Options()
	parser, err := kong.New(&c, append(options, parserVars())...)
	require.NoError(t, err)
	parsed, err := parser.Parse(append([]string{"up", "--data-dir", dir}, args...))
	require.NoError(t, err)
	require.NoError(t, ensureToken(parsed, &c, dir))
	return c.Token.Reveal()
}

func TestEnsureToken(t *testing.T) {
	t.Setenv("DRIFTLESS_TOKEN", "")
	dir := t.TempDir()
	require.Empty(t, tokenOfUp(t, dir, "--token", ""))
	require.Empty(t, tokenOfUp(t, dir, "--token="))
	require.Equal(t, "mine", tokenOfUp(t, dir, "--token", "mine"))
	require.NoFileExists(t, filepath.Join(dir, "token"))

	made := tokenOfUp(t, dir)
	require.GreaterOrEqual(t, len(made), 26)
	require.Equal(t, made, tokenOfUp(t, dir), "a token is kept")
	require.NotEqual(t, made, tokenOfUp(t, t.TempDir()), "each mesh has its own")
	info, err := os.Stat(filepath.Join(dir, "token"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	t.Setenv("DRIFTLESS_TOKEN", "of the environment")
	require.Equal(t, "of the environment", tokenOfUp(t, dir))
	require.Empty(t, tokenOfUp(t, dir, "--token", ""))

	// An empty file that a kill left is not a token.
	t.Setenv("DRIFTLESS_TOKEN", "")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), nil, 0o600))
	require.NotEmpty(t, tokenOfUp(t, dir))
}

func TestAddress_SendsTokenOnlyToItsMesh(t *testing.T) {
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/proto")
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	require.NoError(t, endpoints{Control: server.URL, Ingest: server.URL, Token: "of the mesh"}.save(dir))
	other := t.TempDir()
	const nowhere = "http://127.0.0.1:1"
	require.NoError(t, endpoints{Control: nowhere, Ingest: nowhere, Token: "of another"}.save(other))
	for name, c := range map[string]struct {
		dir, token string
		at         address
		want       string
	}{
		"found":                       {dir, "", address{}, "Bearer of the mesh"},
		"found, with a token given":   {dir, "given", address{}, "Bearer given"},
		"given, the same mesh":        {dir, "", address{Control: server.URL + "/"}, "Bearer of the mesh"},
		"given, another mesh":         {other, "", address{Control: server.URL}, ""},
		"both given, another mesh":    {other, "", address{Control: server.URL, Ingest: server.URL}, ""},
		"given, no mesh":              {t.TempDir(), "", address{Control: server.URL}, ""},
		"given with a token, no mesh": {t.TempDir(), "given", address{Control: server.URL}, "Bearer given"},
		"given with a token, another": {other, "given", address{Control: server.URL}, "Bearer given"},
		"both given, the mesh is here": {
			dir, "",
			address{Control: server.URL, Ingest: server.URL},
			"Bearer of the mesh",
		},
	} {
		client, err := c.at.control(&cli{Local: config.Local{DataDir: c.dir}, Token: config.Secret(c.token)})
		require.NoError(t, err, name)
		_, err = client.Plan(t.Context(), connect.NewRequest(&controlv1.PlanRequest{}))
		require.NoError(t, err, name)
		require.Equal(t, c.want, <-got, name)
	}
	_, err := address{}.control(&cli{Local: config.Local{DataDir: t.TempDir()}})
	require.ErrorIs(t, err, errNoMesh)
}
