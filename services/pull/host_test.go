package pull_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/pull"
)

// TestWebhook_AcceptsAnyHostOnlyOnItsOwnPath: a tunnel to a loopback address forwards webhooks under its own name (see
// rig.send). Its name must not reach other paths.
func TestWebhook_AcceptsAnyHostOnlyOnItsOwnPath(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	product := event{
		ID:      "evt_1",
		Type:    "product.created",
		Created: 1,
		Object:  map[string]any{"id": "mug", "object": "product", "name": "Mug"},
	}
	require.Equal(t, http.StatusOK, r.send(product.body(), secret))
	for _, path := range []string{"/metrics", "/readyz", "/healthz", "/"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
		require.NoError(t, err)
		req.Host = tunnel
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusForbidden, resp.StatusCode, path)
	}
}

func TestRun_RefusesAPublishedSecretAtStripe(t *testing.T) {
	for _, base := range []string{"", "https://api.stripe.com"} {
		err := pull.Run(t.Context(), pull.Config{
			Account: "default", Stripe: stripeapi.Config{Key: key, Base: base},
			WebhookSecrets: []string{"whsec_compose_trial"},
		})
		require.ErrorContains(t, err, "published in the repository", base)
	}
}
