package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// webhookRig is a simulator and a stub of pull, which accepts requests that are signed with one of its secrets.
type webhookRig struct {
	t            *testing.T
	stripe, pull string
	secrets      atomic.Pointer[[]string]
}

func newWebhookRig(t *testing.T) *webhookRig {
	t.Helper()
	sim, err := stripesim.New(stripesim.Config{Limits: stripesim.Limits{Off: true}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	stripe := httptest.NewServer(sim.Handler())
	t.Cleanup(stripe.Close)
	r := &webhookRig{t: t, stripe: stripe.URL}
	r.secrets.Store(&[]string{})
	pull := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		for _, secret := range *r.secrets.Load() {
			if webhook.ValidatePayload(body, req.Header.Get("Stripe-Signature"), secret) == nil {
				return
			}
		}
		http.Error(w, "signature", http.StatusBadRequest)
	}))
	t.Cleanup(pull.Close)
	r.pull = pull.URL
	return r
}

// run runs the command and returns its exit code and its output.
func (r *webhookRig) run(args ...string) (code int, out string) {
	r.t.Helper()
	file, err := os.CreateTemp(r.t.TempDir(), "out")
	require.NoError(r.t, err)
	defer file.Close()
	before := stdout
	stdout = file
	defer func() { stdout = before }()
	code = Main(append([]string{"webhook"},
		append(args, "--stripe-api-key", "sk_test_x", "--stripe-api-base", r.stripe)...))
	data, err := os.ReadFile(file.Name())
	require.NoError(r.t, err)
	return code, string(data)
}

func (r *webhookRig) endpoints() []stripeapi.Endpoint {
	r.t.Helper()
	all, err := stripeapi.New(stripeapi.Config{Key: "sk_test_x", Base: r.stripe}).ListEndpoints(r.t.Context())
	require.NoError(r.t, err)
	return all
}

func TestWebhookCreate_CreatesOneEndpointAndStoresItsSecret(t *testing.T) {
	r := newWebhookRig(t)
	code, _ := r.run("create", "https://sync.example.com")
	require.Equal(t, 1, code, "nowhere to keep the secret")
	require.Empty(t, r.endpoints(), "an endpoint whose secret is lost is of no use")
	code, _ = r.run("list")
	require.Equal(t, 2, code)

	file := filepath.Join(t.TempDir(), "secret")
	code, out := r.run("create", "https://sync.example.com", "--secret-file", file)
	require.Zero(t, code, out)
	require.NotContains(t, out, "whsec_")
	made := r.endpoints()
	require.Len(t, made, 1)
	require.Equal(t, "https://sync.example.com/stripe/webhook", made[0].URL)
	require.ElementsMatch(t, stripeapi.EventTypes, made[0].Events)
	require.Equal(t, "2023-10-16", made[0].APIVersion)
	require.Empty(t, made[0].Problems())
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Regexp(t, `^whsec_\w+\n$`, string(data))

	code, out = r.run("create", "https://sync.example.com", "--secret-file", file)
	require.Zero(t, code)
	require.Contains(t, out, "needs no repair")
	require.Len(t, r.endpoints(), 1)
	code, out = r.run("list", "-o", "json")
	require.Zero(t, code)
	require.Contains(t, out, `"lacks": []`)
	require.NotContains(t, out, "whsec_")
	code, out = r.run("create", "https://other.example.com/hook", "--show-secret")
	require.Zero(t, code)
	require.Regexp(t, `whsec_\w+`, out)
}

func TestWebhookCreate_RepairsExistingEndpoint(t *testing.T) {
	r := newWebhookRig(t)
	post := func(form string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.stripe+"/v1/webhook_endpoints",
			strings.NewReader(form))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer sk_test_x")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	post("url=https://a.example.com/stripe/webhook&api_version=2023-10-16&enabled_events[]=product.created&enabled_events[]=coupon.created")
	code, out := r.run("create", "https://a.example.com")
	require.Zero(t, code)
	require.Contains(t, out, "repaired: it does not get product.updated")
	require.Empty(t, r.endpoints()[0].Problems())
	require.Contains(t, r.endpoints()[0].Events, "coupon.created", "its other events stay")

	post("url=https://b.example.com/stripe/webhook&api_version=2025-02-24.acacia&enabled_events[]=*")
	code, _ = r.run("create", "https://b.example.com")
	require.Equal(t, 1, code, "an API version cannot be changed")
	for range stripeapi.MaxEndpoints - 2 {
		post("url=https://c.example.com/&enabled_events[]=*")
	}
	code, _ = r.run("create", "https://d.example.com", "--show-secret")
	require.Equal(t, 1, code, "the account is full")
}

func TestWebhookRotate_KeepsAnEndpointAtAllTimes(t *testing.T) {
	r := newWebhookRig(t)
	file := filepath.Join(t.TempDir(), "secret")
	code, out := r.run("create", r.pull, "--secret-file", file)
	require.Zero(t, code, out)
	old := r.endpoints()[0]
	code, _ = r.run("rotate", "--finish", "--secret-file", file)
	require.Equal(t, 1, code, "nothing is being replaced")
	code, out = r.run("rotate", "--secret-file", file)
	require.Zero(t, code, out)
	all := r.endpoints()
	require.Len(t, all, 2)
	require.Equal(t, all[0].URL, all[1].URL)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	secrets := strings.Split(strings.TrimSpace(string(data)), ",")
	require.Len(t, secrets, 2, "both, for pull")
	code, _ = r.run("rotate", "--secret-file", file)
	require.Equal(t, 1, code, "one replacement at a time")
	require.Len(t, r.endpoints(), 2)

	r.secrets.Store(&secrets)
	first := secrets[:1]
	r.secrets.Store(&first)
	code, _ = r.run("rotate", "--finish", "--yes", "--secret-file", file)
	require.Equal(t, 1, code, "pull does not have the new secret yet")
	require.Len(t, r.endpoints(), 2)
	r.secrets.Store(&secrets)
	code, _ = r.run("rotate", "--finish", "--secret-file", file)
	require.Equal(t, 1, code, "the deletion was not confirmed")
	require.Len(t, r.endpoints(), 2)
	code, out = r.run("rotate", "--finish", "--yes", "--secret-file", file)
	require.Zero(t, code, out)
	left := r.endpoints()
	require.Len(t, left, 1)
	require.NotEqual(t, old.ID, left[0].ID)
}

func TestEndpointURL(t *testing.T) {
	for given, want := range map[string]string{
		"https://x.example.com":      "https://x.example.com/stripe/webhook",
		"https://x.example.com/":     "https://x.example.com/stripe/webhook",
		"https://x.example.com/hook": "https://x.example.com/hook",
		"sync.example.com":           "",
		"ftp://x.example.com":        "",
		"https://u:p@x.example.com":  "",
	} {
		got, err := endpointURL(given, true)
		require.Equal(t, want, got, given)
		require.Equal(t, want == "", err != nil, given)
	}
	_, err := endpointURL("http://x.example.com", true)
	require.ErrorContains(t, err, "https://")
	got, err := endpointURL("http://127.0.0.1:8081", false)
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:8081/stripe/webhook", got)
}
