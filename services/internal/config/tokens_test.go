package config_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// parseTokensFile returns the settings of ingestion with this YAML file.
func parseTokensFile(t *testing.T, text string) (config.IngestionService, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	var s config.IngestionService
	_, err := config.Parse(&s, "ingestion", "", "", []string{"--config", path})
	return s, err
}

func TestTokens_AreReadFromEverySource(t *testing.T) {
	hash, err := auth.HashToken(auth.NewToken())
	require.NoError(t, err)
	other, err := auth.HashToken(auth.NewToken())
	require.NoError(t, err)
	want := auth.Entries{
		{Name: "ci", Role: auth.Operate, Hash: hash},
		{
			Name:     "console",
			Role:     auth.Approve,
			Hash:     other,
			Delegate: true,
			Expires:  time.Date(2027, 2, 26, 0, 0, 0, 0, time.UTC),
		},
	}
	s, err := parseTokensFile(t, `
tokens:
  - {name: ci, role: operate, hash: "`+hash.String()+`"}
  - name: console
    role: approve
    hash: `+other.String()+`
    delegate: true
    expires: 2027-02-25
`)
	require.NoError(t, err)
	require.Equal(t, auth.Settings{Tokens: want.String()}, s.Auth())

	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte("# the shop's\n"+want.String()+"\n"), 0o600))
	s, err = parseTokensFile(t, "tokens_file: "+path+"\n")
	require.NoError(t, err)
	require.Equal(t, auth.Settings{Tokens: "# the shop's\n" + want.String(), File: path}, s.Auth())

	t.Setenv("DRIFTLESS_TOKENS", want.String())
	s, err = parseTokensFile(t, "")
	require.NoError(t, err)
	require.Equal(t, want.String(), s.Auth().Tokens)

	t.Setenv("DRIFTLESS_TOKENS", "")
	t.Setenv("DRIFTLESS_TOKENS_FILE", path)
	s, err = parseTokensFile(t, "")
	require.NoError(t, err)
	require.Equal(t, auth.Settings{Tokens: "# the shop's\n" + want.String(), File: path}, s.Auth())
}

func TestTokens_NameThePlaceOfAMistake(t *testing.T) {
	secret := auth.NewToken()
	for text, want := range map[string]string{
		"tokens:\n  - ci\n":                                           `driftless.yaml:2:5: tokens: each token must be a mapping`,
		"tokens:\n  - {name: ci, role: operate}\n":                    "tokens: the token ci has no hash: make token and hash with",
		"tokens:\n  - name: ci\n    role: root\n":                     `driftless.yaml:3:5: tokens: there is no role "root"`,
		"tokens:\n  - {name: ci, role: read, hash: " + secret + "}\n": "tokens: hash: must be sha256:",
		"tokens:\n  - {name: ci, name: cd}\n":                         "name",
		"tokens:\n  - {name: [ci]}\n":                                 "name must be a single value",
	} {
		_, err := parseTokensFile(t, text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), secret)
	}
	t.Setenv("DRIFTLESS_TOKENS", "name=ci role=read hash="+secret)
	_, err := parseTokensFile(t, "")
	require.ErrorContains(t, err, "hash: must be sha256:")
	require.NotContains(t, err.Error(), secret)
}
