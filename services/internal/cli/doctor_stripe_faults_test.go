package cli

import (
	"net/http"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

func (r *doctorRig) stripeFaults() map[string]fault {
	forbidden := func(path string) func() func() {
		return r.forbid(stripesim.Fault{Kind: stripesim.FaultForbidden, Method: http.MethodGet, Path: path})
	}
	key := func(key string) map[string]any { return map[string]any{"stripe_api_key": key} }
	return map[string]fault{
		"no Stripe": {
			only:     "stripe",
			settings: map[string]any{"stripe_api_base": "http://" + closedPort},
			want:     []string{doctor.StripeReachable},
		},
		"a publishable key": {only: "stripe", settings: key("pk_test_1"), want: []string{doctor.StripeKey}},
		"a revoked key": {
			only:  "stripe",
			cause: r.forbid(stripesim.Fault{Kind: stripesim.FaultKeyRevoked}),
			want:  []string{doctor.StripeKey},
		},
		"a key of the other mode": {
			only: "stripe.mode", settings: key("sk_live_1"), want: []string{doctor.StripeMode},
		},
		"another API version": {
			only:     "stripe",
			settings: map[string]any{"stripe_api_base": r.proxied("Stripe-Version", "2020-08-27")},
			want:     []string{doctor.StripeVersion},
		},
		"a key that may not read products": {
			only: "stripe", cause: forbidden("/v1/products"), want: []string{doctor.StripeReadProducts},
		},
		"a key that may not read prices": {
			only: "stripe", cause: forbidden("/v1/prices"), want: []string{doctor.StripeReadPrices},
		},
		"a key that may not read events": {
			only: "stripe", cause: forbidden("/v1/events"), want: []string{doctor.StripeReadEvents},
		},
		"a key that may only read": {
			only:     "stripe",
			settings: key("rk_test_readonly"),
			want:     []string{doctor.StripeWriteProducts, doctor.StripeWritePrices},
			fix:      "--skip stripe.write_products",
		},
	}
}

func (r *doctorRig) webhookFaults() map[string]fault {
	// at makes the one endpoint of the empty account, with a fault.
	at := func(n stripeapi.NewEndpoint, form string) func() func() {
		return func() func() {
			r.createEndpoint(r.empty, n)
			all, err := stripeClient(r.empty).ListEndpoints(r.t.Context())
			require.NoError(r.t, err)
			if form != "" {
				postForm(r.t, r.empty+"/v1/webhook_endpoints/"+all[0].ID, form)
			}
			return func() {
				require.NoError(r.t, stripeClient(r.empty).DeleteEndpoint(r.t.Context(), all[0].ID))
			}
		}
	}
	empty := map[string]any{"stripe_api_base": r.empty}
	return map[string]fault{
		"no endpoint": {
			only: "stripe", settings: empty, want: []string{doctor.StripeWebhook},
			fix: "driftless webhook create https://",
		},
		"a disabled endpoint": {
			only: "stripe", settings: empty, want: []string{doctor.StripeWebhookStatus},
			cause: at(stripeapi.NewEndpoint{}, "disabled=true"), fix: "driftless webhook create http",
		},
		"an endpoint without all events": {
			only: "stripe", settings: empty, want: []string{doctor.StripeWebhookEvents},
			cause: at(stripeapi.NewEndpoint{}, "enabled_events[0]=product.created"),
			fix:   "driftless webhook create http",
		},
		"an endpoint with another path": {
			only: "stripe.webhook_url", settings: empty, want: []string{doctor.StripeWebhookURL},
			cause: at(stripeapi.NewEndpoint{URL: r.url(topology.Pull) + "/hook"}, ""), fix: "/stripe/webhook",
		},
		"an endpoint with another version": {
			only: "stripe", settings: empty, want: []string{doctor.StripeWebhookVersion},
			fix: "driftless webhook rotate we_",
			cause: func() func() {
				postForm(r.t, r.empty+"/v1/webhook_endpoints",
					"api_version=2020-08-27&enabled_events[0]=*&url="+r.url(topology.Pull)+"/stripe/webhook")
				return func() { deleteEndpoints(r.t, r.empty) }
			},
		},
		"another secret": {
			only:     "stripe",
			settings: map[string]any{"stripe_webhook_secret": "whsec_other_one"},
			want:     []string{doctor.StripeWebhookSecret},
		},
		"an event that is not delivered": {
			only: "stripe.webhook_delivery", settings: empty, want: []string{doctor.StripeWebhookDelivery},
			command: func(cmd *doctorCmd) { cmd.now = func() time.Time { return time.Now().Add(11 * time.Minute) } },
			cause: func() func() {
				r.createEndpoint(r.empty, stripeapi.NewEndpoint{URL: "http://" + closedPort + "/stripe/webhook"})
				_, err := stripesim.Admin{BaseURL: r.empty}.CreateProduct(r.t.Context(),
					map[string][]string{"name": {"Mug"}})
				require.NoError(r.t, err)
				return func() { require.NoError(r.t, stripesim.Admin{BaseURL: r.empty}.Reset(r.t.Context())) }
			},
		},
	}
}
