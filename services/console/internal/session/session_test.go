package session_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/console/internal/session"
)

const secret = "0123456789abcdef0123456789abcdef"

// begin returns a request with the cookies of a session that has begun.
func begin(t *testing.T, k *session.Keeper, s session.Session) *http.Request {
	t.Helper()
	w := httptest.NewRecorder()
	require.NoError(t, k.Begin(w, s))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range w.Result().Cookies() {
		require.True(t, c.HttpOnly)
		r.AddCookie(c)
	}
	return r
}

func TestKeeper_ReadsOnlyItsOwnValidSessions(t *testing.T) {
	t.Parallel()
	now := time.Now()
	clock := func() time.Time { return now }
	k, err := session.New(secret, "/", false, clock)
	require.NoError(t, err)
	r := begin(t, k, session.Session{Token: "a token"})
	require.NotContains(t, r.Header.Get("Cookie"), "a token")

	s, err := k.Read(r)
	require.NoError(t, err)
	require.Equal(t, "a token", s.Token)

	replica, err := session.New(secret, "/", false, clock)
	require.NoError(t, err)
	same, err := replica.Read(r)
	require.NoError(t, err)
	require.Equal(t, s, same)
	require.True(t, replica.IsFormToken(same, k.FormToken(s)))

	other, err := session.New(strings.Repeat("x", 32), "/", false, clock)
	require.NoError(t, err)
	_, err = other.Read(r)
	require.ErrorIs(t, err, session.ErrNone)

	now = now.Add(session.Lifetime)
	_, err = k.Read(r)
	require.ErrorIs(t, err, session.ErrNone)
}

func TestKeeper_RefusesChangedCookiesAndForeignForms(t *testing.T) {
	t.Parallel()
	k, err := session.New("", "/console/", true, time.Now)
	require.NoError(t, err)
	r := begin(t, k, session.Session{Token: "t"})
	s, err := k.Read(r)
	require.NoError(t, err)
	c := r.Cookies()[0]

	for i := range c.Value {
		changed := httptest.NewRequest(http.MethodGet, "/", nil)
		letter := byte('A')
		if c.Value[i] == letter {
			letter = 'B'
		}
		changed.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value[:i] + string(letter) + c.Value[i+1:]})
		if read, err := k.Read(changed); err == nil {
			// The last letter of base64 has bits that mean nothing.
			require.Equal(t, s, read)
			require.Equal(t, len(c.Value)-1, i)
		}
	}
	// A value that was sealed for another purpose is no session.
	sealed, err := k.Seal("flash", s)
	require.NoError(t, err)
	foreign := httptest.NewRequest(http.MethodGet, "/", nil)
	foreign.AddCookie(&http.Cookie{Name: c.Name, Value: sealed})
	_, err = k.Read(foreign)
	require.ErrorIs(t, err, session.ErrNone)

	again, err := k.Read(begin(t, k, session.Session{Token: "t"}))
	require.NoError(t, err)
	require.NotEqual(t, k.FormToken(s), k.FormToken(again), "each session has its own form token")
	require.False(t, k.IsFormToken(s, k.FormToken(again)))
	require.False(t, k.IsFormToken(s, ""))
}

func TestNew_RefusesShortKeys(t *testing.T) {
	t.Parallel()
	_, err := session.New("short", "/", false, time.Now)
	require.ErrorContains(t, err, "has 5 bytes: it must have at least 32")
}

func TestBegin_RefusesTokensThatDoNotFit(t *testing.T) {
	t.Parallel()
	k, err := session.New(secret, "/", false, time.Now)
	require.NoError(t, err)
	require.ErrorContains(t, k.Begin(httptest.NewRecorder(), session.Session{Token: strings.Repeat("x", 4000)}),
		"do not fit into a cookie")
}
