package auth

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clock is a time that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// newTokens returns the tokens of some settings, with a clock and the log.
func newTokens(t *testing.T, s Settings) (*Tokens, *clock, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	tokens, err := NewTokens(s, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	c := &clock{at: time.Now()}
	tokens.now = c.now
	return tokens, c, log
}

func TestTokensFind_NoneAskedFor(t *testing.T) {
	tokens, _, _ := newTokens(t, Settings{})
	for _, x := range []*Tokens{tokens, nil} {
		p, err := x.Find("")
		require.NoError(t, err)
		require.Equal(t, Principal{Token: "operator", Role: Approve, Unnamed: true, Open: true}, p)
	}
}

func TestTokensFind(t *testing.T) {
	ci, ann := NewToken(), NewToken()
	tokens, clock, _ := newTokens(t, Settings{Token: "short", Tokens: Entries{
		{Name: "ci", Role: Operate, Hash: hashOf(t, ci)},
		{Name: "ann", Role: Approve, Hash: hashOf(t, ann), Expires: time.Now().Add(time.Hour)},
	}.String()})
	p, err := tokens.Find("short")
	require.NoError(t, err)
	require.Equal(t, Principal{Token: "operator", Role: Approve, Unnamed: true}, p)
	p, err = tokens.Find(ci)
	require.NoError(t, err)
	require.Equal(t, Principal{Token: "ci", Role: Operate}, p)
	for _, wrong := range []string{"", "shor", "short ", ci[:len(ci)-1], hashOf(t, ci).String()} {
		_, err = tokens.Find(wrong)
		require.Error(t, err, wrong)
	}

	p, err = tokens.Find(ann)
	require.NoError(t, err)
	require.Equal(t, "ann", p.Name())
	clock.at = p.Expires
	_, err = tokens.Find(ann)
	require.ErrorContains(t, err, "the token ann expired at "+p.Expires.UTC().Format(time.RFC3339))
	require.ErrorContains(t, err, "driftless token new ann --role approve")
	_, err = tokens.Find(ci)
	require.NoError(t, err)
}

// TestTokensFind_FollowsTheFile: tokens are added and revoked without a restart, and a mistake revokes none and lets
// nobody in.
func TestTokensFind_FollowsTheFile(t *testing.T) {
	first, second := NewToken(), NewToken()
	path := filepath.Join(t.TempDir(), "tokens")
	write := func(entries Entries) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, []byte("# tokens\n"+entries.String()+"\n"), 0o600))
	}
	write(Entries{{Name: "ci", Role: Read, Hash: hashOf(t, first)}})
	tokens, clock, log := newTokens(t, Settings{File: path})
	_, err := tokens.Find(first)
	require.NoError(t, err)

	write(Entries{{Name: "ci", Role: Operate, Hash: hashOf(t, second)}})
	_, err = tokens.Find(second)
	require.Error(t, err, "the file is not read for every request")
	clock.at = clock.at.Add(rereadInterval)
	p, err := tokens.Find(second)
	require.NoError(t, err)
	require.Equal(t, Operate, p.Role)
	_, err = tokens.Find(first)
	require.ErrorIs(t, err, errUnknown)
	require.Contains(t, log.String(), "tokens replaced")

	for _, wrong := range []string{"", "# none\n", "name=ci role=root", second} {
		require.NoError(t, os.WriteFile(path, []byte(wrong), 0o600))
		clock.at = clock.at.Add(rereadInterval)
		_, err = tokens.Find("")
		require.ErrorIs(t, err, errMissing, "the API is never open because of a mistake in the file")
		_, err = tokens.Find(second)
		require.NoError(t, err)
		require.Contains(t, log.String(), "could not reread the tokens")
		require.NotContains(t, log.String(), second)
		log.Reset()
	}
}

func TestNewTokens_RefusesFileWithoutTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	_, err := NewTokens(Settings{File: path}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("# none\n"), 0o600))
	_, err = NewTokens(Settings{File: path}, nil)
	require.ErrorContains(t, err, "DRIFTLESS_TOKENS_FILE: "+path+": there is no token")
}

func TestPrincipalAs(t *testing.T) {
	for name, c := range map[string]struct {
		p             Principal
		actor         string
		want, claimed string
		fails         bool
	}{
		"unnamed":                 {p: Principal{Token: Operator, Unnamed: true}, want: "operator"},
		"unnamed says who it is":  {p: Principal{Token: Operator, Unnamed: true}, actor: " ann ", want: "ann"},
		"named":                   {p: Principal{Token: "ci"}, want: "ci"},
		"named says who it is":    {p: Principal{Token: "ci"}, actor: "ann", want: "ci", claimed: "ann"},
		"named says its own name": {p: Principal{Token: "ci"}, actor: "ci", want: "ci"},
		"delegate":                {p: Principal{Token: "console", Delegate: true}, want: "console"},
		"delegate says who it is for": {
			p:     Principal{Token: "console", Delegate: true},
			actor: "ann", want: "ann (by console)",
		},
		"delegate with a header": {
			p:     Principal{Token: "console", Delegate: true, Actor: "bob"},
			actor: "ann", want: "bob (by console)", claimed: "ann",
		},
		"a service": {p: Principal{Token: Operator, Unnamed: true}, actor: "push", fails: true},
		"an escape": {p: Principal{Token: Operator, Unnamed: true}, actor: "\x1b[31mann", fails: true},
	} {
		have, claimed, err := c.p.As(c.actor)
		require.Equal(t, c.fails, err != nil, name)
		require.Equal(t, []string{c.want, c.claimed}, []string{have, claimed}, name)
	}
}
