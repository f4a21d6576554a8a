package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hashOf returns the hash of a token that must be strong.
func hashOf(t *testing.T, token string) Hash {
	t.Helper()
	h, err := HashToken(token)
	require.NoError(t, err)
	return h
}

func TestEntries_RoundTrip(t *testing.T) {
	want := Entries{
		{Name: "ci", Role: Operate, Hash: hashOf(t, NewToken())},
		{
			Name:    "ann@example.com",
			Role:    Approve,
			Hash:    hashOf(t, NewToken()),
			Expires: time.Unix(1_900_000_000, 0).UTC(),
		},
		{Name: "console", Role: Read, Hash: hashOf(t, NewToken()), Delegate: true},
	}
	var have Entries
	require.NoError(t, have.UnmarshalText([]byte(want.String())))
	require.Equal(t, want, have)

	lines := "# tokens of the shop\n\n" + strings.ReplaceAll(want.String(), ",", "\n") + "\n"
	require.NoError(t, have.UnmarshalText([]byte(lines)))
	require.Equal(t, want, have)
}

func TestEntries_ReadDateAsLastDay(t *testing.T) {
	var have Entries
	require.NoError(t, have.UnmarshalText([]byte(
		"name=ci role=read hash="+hashOf(t, NewToken()).String()+" expires=2027-02-25")))
	require.Equal(t, time.Date(2027, 2, 26, 0, 0, 0, 0, time.UTC), have[0].Expires)
}

func TestEntries_RefuseMistakes(t *testing.T) {
	secret := NewToken()
	hash := " hash=" + hashOf(t, secret).String()
	for text, want := range map[string]string{
		"name=ci role=read":                                    "the token ci has no hash",
		"role=read" + hash:                                     "has no name",
		"name=ci" + hash:                                       "the token ci has no role",
		"name=ci role=root" + hash:                             `there is no role "root": use one of read, operate, approve`,
		"name=a/b role=read" + hash:                            `the name "a/b" must have`,
		"name=operator role=read" + hash:                       "the name operator is reserved",
		"name=push role=read" + hash:                           "the name push is reserved",
		"name=ci role=read hash=" + secret:                     "hash: must be sha256:",
		"name=ci role=read token=" + secret:                    "and no others",
		secret:                                                 "must be name=NAME",
		"name=ci role=read name=cd" + hash:                     "each once",
		"name=ci role=read" + hash + " expires=soon":           "expires: must be a date",
		"name=ci role=read" + hash + " delegate=maybe":         "delegate: must be true or false",
		"name=a role=read" + hash + ",name=b role=read" + hash: "a and b have the same hash",
		"name=a role=read" + hash + ",name=a role=read hash=" + hashOf(t, NewToken()).String(): "two tokens named a",
	} {
		var e Entries
		err := e.UnmarshalText([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), secret, "an error must not show a token that was pasted in the wrong place")
	}
}

func TestHashToken_RefusesWeakTokens(t *testing.T) {
	for token, want := range map[string]string{
		"":                                      "weak",
		"hunter2":                               "weak",
		strings.Repeat("a", 100):                "weak",
		"correct horse battery staple and more": "without spaces",
		"sha256:" + strings.Repeat("0", 64):     "is the hash",
		strings.Repeat("abcdefghijklmnop", 300): "longer",
	} {
		_, err := HashToken(token)
		require.ErrorContains(t, err, want, token)
	}
	_, err := HashToken("K3QJ5XAVWM2RZT6YBNCD4EFGH7")
	require.NoError(t, err, "130 bits in base32, as driftless up makes them")
}

func FuzzEntries(f *testing.F) {
	f.Add("name=ci role=operate hash=sha256:" + strings.Repeat("0a", 32) + " expires=2027-02-25")
	f.Add("# nothing\n")
	f.Fuzz(func(t *testing.T, text string) {
		var e Entries
		if e.UnmarshalText([]byte(text)) != nil {
			return
		}
		var again Entries
		require.NoError(t, again.UnmarshalText([]byte(e.String())))
		require.Equal(t, e.String(), again.String())
	})
}
