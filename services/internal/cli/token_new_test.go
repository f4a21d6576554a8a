package cli

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// accepted returns the caller that an API with this line of DRIFTLESS_TOKENS finds for a token.
func accepted(t *testing.T, line, token string) auth.Principal {
	t.Helper()
	tokens, err := auth.NewTokens(auth.Settings{Tokens: line}, nil)
	require.NoError(t, err)
	p, err := tokens.Find(token)
	require.NoError(t, err)
	return p
}

func TestTokenNew_PrintsTokenAndLine(t *testing.T) {
	code, out := printed(t, "token", "new", "ci", "--role", "operate", "--expires", "90d")
	require.Zero(t, code)
	require.Contains(t, out, "DRIFTLESS_TOKEN (of ci alone, a secret that is not shown again):\n")
	printedLines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, printedLines, 5)
	p := accepted(t, printedLines[4], printedLines[1])
	require.Equal(t, "ci", p.Token)
	require.Equal(t, auth.Operate, p.Role)
	require.WithinDuration(t, time.Now().Add(90*24*time.Hour), p.Expires, time.Minute)

	code, again := printed(t, "token", "new", "ci", "--role", "operate", "-o", "json")
	require.Zero(t, code)
	var made struct {
		Token string `json:"token"`
		Entry string `json:"entry"`
	}
	require.NoError(t, json.Unmarshal([]byte(again), &made))
	require.Equal(t, "ci", accepted(t, made.Entry, made.Token).Token)
	require.NotContains(t, out, made.Token)
}

func TestTokenNew_WritesTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console.token")
	code, out := printed(t, "token", "new", "console", "--role", "approve", "--delegate", "--token-file", path)
	require.Zero(t, code)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	token, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, out, strings.TrimSpace(string(token)))
	require.True(t, accepted(t, out, strings.TrimSpace(string(token))).Delegate)

	code, _ = printed(t, "token", "new", "console", "--role", "approve", "--token-file", path)
	require.Equal(t, 1, code, "a token that is in use was overwritten")
}

func TestTokenNew_RefusesMistakes(t *testing.T) {
	for _, args := range [][]string{
		{"new", "ci"},
		{"new", "ci", "--role", "root"},
		{"new", "a b", "--role", "read"},
		{"new", "operator", "--role", "read"},
		{"new", "ci", "--role", "read", "--expires", "soon"},
		{"new", "ci", "--role", "read", "--expires", "2020-01-01"},
	} {
		code, out := printed(t, append([]string{"token"}, args...)...)
		require.Equal(t, 1, code, args)
		require.Empty(t, out, args)
	}
}

// hashed runs token hash with a text on standard input.
func hashed(t *testing.T, text string) (code int, out string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	before := os.Stdin
	os.Stdin = file
	defer func() { os.Stdin = before }()
	return printed(t, "token", "hash", "ci", "--role", "read")
}

func TestTokenHash(t *testing.T) {
	token := auth.NewToken()
	code, out := hashed(t, token+"\n")
	require.Zero(t, code)
	require.Equal(t, "ci", accepted(t, out, token).Token)
	require.NotContains(t, out, token)

	code, out = hashed(t, "hunter2\n")
	require.Equal(t, 1, code)
	require.Empty(t, out)
}

// TestAddress_NamesExpiredToken: an expired token needs another remedy than a wrong one.
func TestAddress_NamesExpiredToken(t *testing.T) {
	token := auth.NewToken()
	hash, err := auth.HashToken(token)
	require.NoError(t, err)
	tokens, err := auth.NewTokens(auth.Settings{Tokens: auth.Entries{
		{Name: "ci", Role: auth.Read, Hash: hash, Expires: time.Now().Add(-time.Hour)},
	}.String()}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	server := httptest.NewServer(tokens.Handler(http.NotFoundHandler()))
	t.Cleanup(server.Close)
	for shown, want := range map[string]string{
		token:   "refuses the token: the token ci expired at",
		"wrong": "refuses the token: set the one of its mesh in DRIFTLESS_TOKEN",
	} {
		client, err := address{Control: server.URL}.control(&cli{
			Local: config.Local{DataDir: t.TempDir()},
			Token: config.Secret(shown),
		})
		require.NoError(t, err)
		_, err = client.WhoAmI(t.Context(), connect.NewRequest(&controlv1.WhoAmIRequest{}))
		require.ErrorContains(t, err, want)
	}
}
