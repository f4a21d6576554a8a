package openid_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/driftless-sync/driftless/services/console/openid"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

const (
	clientID     = "driftless"
	clientSecret = "a secret of the console"
	redirect     = "http://console.test/driftless/sign-in/openid/done"
)

// The provider logs its requests.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// users are those of the provider. Their password is their name.
type users map[string]*storage.User

func (u users) GetUserByID(id string) *storage.User         { return u[id] }
func (u users) GetUserByUsername(name string) *storage.User { return u[name] }
func (users) ExampleClientID() string                       { return "service" }

// startProvider starts an OpenID provider, and returns its address.
func startProvider(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Start()
	t.Cleanup(server.Close)
	people := users{}
	for name, verified := range map[string]bool{"ada": true, "vera": true, "eve": false} {
		people[name] = &storage.User{
			ID: name, Username: name, Password: name, Email: name + "@example.com", EmailVerified: verified,
		}
	}
	store := storage.NewStorageWithClients(people, map[string]*storage.Client{
		clientID: storage.WebClient(clientID, clientSecret, redirect),
	})
	server.Config.Handler = exampleop.SetupServer(server.URL, store, nil, false)
	return server.URL
}

func settings(issuer string) openid.Config {
	return openid.Config{
		Issuer: issuer, ClientID: clientID, ClientSecret: clientSecret, Scopes: []string{"email", "profile"},
		Name: "email", RoleClaim: "preferred_username", Roles: map[string]auth.Role{"ada": auth.Approve},
		Redirect: redirect,
	}
}

// signIn signs in at the provider's own page, and returns the request with which it sends the visitor back.
func signIn(t *testing.T, address, name string) *http.Request {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var back *http.Request
	client := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "console.test" {
			back = r
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page, err := client.Get(address)
	require.NoError(t, err)
	body, err := io.ReadAll(page.Body)
	require.NoError(t, err)
	require.NoError(t, page.Body.Close())
	if back != nil {
		return back
	}
	id := regexp.MustCompile(`name="id" value="([^"]*)"`).FindSubmatch(body)
	require.NotNil(t, id, "%s", body)
	answer, err := client.PostForm(page.Request.URL.String(), url.Values{
		"username": {name}, "password": {name}, "id": {string(id[1])},
	})
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.NotNil(t, back)
	return back
}

func TestProvider_SignsIn(t *testing.T) {
	t.Parallel()
	p := openid.New(settings(startProvider(t)))
	address, attempt, err := p.Begin(t.Context(), "/plan?held=1")
	require.NoError(t, err)
	require.NotContains(t, address, attempt.Verifier, "the provider learns the verifier only with the code")
	require.Equal(t, "/plan?held=1", attempt.To)
	back := signIn(t, address, "ada")

	visitor, err := p.Finish(t.Context(), back, attempt)
	require.NoError(t, err)
	require.Equal(t, openid.Visitor{Name: "ada@example.com", Role: auth.Approve}, visitor)

	_, err = p.Finish(t.Context(), back, attempt)
	require.ErrorContains(t, err, "did not confirm", "a code works once")
}

func TestProvider_RefusesWhatIsNotItsOwnSignIn(t *testing.T) {
	t.Parallel()
	p := openid.New(settings(startProvider(t)))
	address, attempt, err := p.Begin(t.Context(), "/")
	require.NoError(t, err)
	back := signIn(t, address, "ada")

	_, err = p.Finish(t.Context(), back, openid.Attempt{})
	require.ErrorContains(t, err, "was not begun in this browser")
	other := attempt
	other.State = "another"
	_, err = p.Finish(t.Context(), back, other)
	require.ErrorContains(t, err, "was not begun in this browser")

	// An attacker's code in the browser of somebody else: neither verifier nor nonce fit.
	stolen := attempt
	stolen.Verifier = strings.Repeat("x", 43)
	_, err = p.Finish(t.Context(), back, stolen)
	require.ErrorContains(t, err, "did not confirm the sign-in")

	address, attempt, err = p.Begin(t.Context(), "/")
	require.NoError(t, err)
	replayed := attempt
	replayed.Nonce = "another"
	_, err = p.Finish(t.Context(), signIn(t, address, "ada"), replayed)
	require.ErrorContains(t, err, "belongs to another sign-in")

	refused := httptest.NewRequest(http.MethodGet,
		redirect+"?"+
			url.Values{
				"state":             {attempt.State},
				"error":             {"access_denied"},
				"error_description": {"no\x1b[31m"},
			}.Encode(), nil)
	_, err = p.Finish(t.Context(), refused, attempt)
	require.EqualError(t, err, "the provider refused the sign-in: no[31m")
}

func TestProvider_RefusesVisitorsWithoutRoleOrVerifiedName(t *testing.T) {
	t.Parallel()
	issuer := startProvider(t)
	finish := func(cfg openid.Config, name string) (openid.Visitor, error) {
		p := openid.New(cfg)
		address, attempt, err := p.Begin(t.Context(), "/")
		require.NoError(t, err)
		return p.Finish(t.Context(), signIn(t, address, name), attempt)
	}
	_, err := finish(settings(issuer), "vera")
	require.ErrorIs(t, err, openid.ErrNoRole)
	require.ErrorContains(t, err,
		"vera@example.com has no role here: none of the values of the claim preferred_username")
	_, err = finish(settings(issuer), "eve")
	require.ErrorContains(t, err, "does not say that it has verified the address eve@example.com")

	everybody := settings(issuer)
	everybody.Default = auth.Read
	visitor, err := finish(everybody, "vera")
	require.NoError(t, err)
	require.Equal(t, openid.Visitor{Name: "vera@example.com", Role: auth.Read}, visitor)

	nameless := settings(issuer)
	nameless.Name = "employee_number"
	_, err = finish(nameless, "ada")
	require.ErrorContains(t, err, "the provider does not say the claim employee_number")
}

func TestProvider_IsAskedAgainAfterFailure(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	p := openid.New(settings(server.URL))
	_, _, err := p.Begin(t.Context(), "/")
	require.ErrorContains(t, err, "does not answer as one")
	store := storage.NewStorageWithClients(users{}, map[string]*storage.Client{})
	server.Config.Handler = exampleop.SetupServer(server.URL, store, nil, false)
	_, _, err = p.Begin(t.Context(), "/")
	require.NoError(t, err)
}

func TestParseRoles(t *testing.T) {
	t.Parallel()
	roles, otherwise, err := openid.ParseRoles([]string{"cn=pricing,ou=x=approve", " sre = operate", "*=read"})
	require.NoError(t, err)
	require.Equal(t, map[string]auth.Role{"cn=pricing,ou=x": auth.Approve, "sre": auth.Operate}, roles)
	require.Equal(t, auth.Read, otherwise)
	for entry, want := range map[string]string{
		"pricing":      `"pricing" must be VALUE=ROLE`,
		"pricing=king": `pricing: there is no role "king"`,
	} {
		_, _, err := openid.ParseRoles([]string{entry})
		require.ErrorContains(t, err, want)
	}
	_, _, err = openid.ParseRoles(nil)
	require.ErrorContains(t, err, "no visitor has a role")
}
