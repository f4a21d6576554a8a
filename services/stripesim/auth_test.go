package stripesim_test

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/stripesim"
)

func TestAuth_Keys(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{})
	as := func(authorization, method, path string, pairs ...string) *response {
		return h.ask(method, path, form(pairs...), "Authorization", authorization)
	}
	as("", http.MethodGet, "/v1/products").requireRefused(http.StatusUnauthorized, "", "",
		"You did not provide an API key")
	as("Bearer nonsense_key_1", http.MethodGet, "/v1/products").requireRefused(http.StatusUnauthorized, "", "",
		"Invalid API Key provided: nonsense")
	as("Bearer pk_test_1", http.MethodGet, "/v1/products").requireRefused(http.StatusUnauthorized,
		"secret_key_required", "",
		"publishable")
	as("Basic "+base64.StdEncoding.EncodeToString([]byte("sk_test_1:")), http.MethodGet, "/v1/products").ok()
	for key, live := range map[string]bool{
		"sk_test_1": false,
		"rk_test_1": false,
		"sk_live_1": true,
		"rk_live_1": true,
	} {
		require.Equal(t, live, as("Bearer "+key, http.MethodPost, "/v1/products", "name", "x").ok().at("livemode"))
	}
	as("Bearer rk_test_readonly", http.MethodGet, "/v1/products").ok()
	as("Bearer rk_test_readonly", http.MethodPost, "/v1/products", "name", "x").requireRefused(http.StatusForbidden, "",
		"",
		"'rak_product_write' permission")
	as("Bearer sk_live_1", http.MethodPost, "/v1/products", "id", "lamp", "name", "Lamp").ok()
	as("Bearer sk_test_1", http.MethodGet, "/v1/products/lamp").requireRefused(http.StatusNotFound, "resource_missing",
		"id",
		"No such product: 'lamp'; a similar object exists in live mode, but a test mode key was used")
	require.Equal(t, stripesim.DefaultAccount, as("Bearer sk_test_1", http.MethodGet, "/v1/account").ok().text("id"))
	as("Bearer sk_test_1", http.MethodGet, "/v1/customers").requireRefused(http.StatusNotFound, "", "",
		"Unrecognized request URL (GET: /v1/customers)")
}

func TestAuth_RestrictedKeys(t *testing.T) {
	t.Parallel()
	h := start(t, stripesim.Config{
		Accounts: []string{"acct_known"},
		APIKeys: []stripesim.APIKey{
			{Key: "sk_test_all"},
			{Key: "rk_test_read", ReadOnly: true},
			{Key: "sk_test_other", Account: "acct_2"},
		},
	})
	as := func(key, method, path string, pairs ...string) *response {
		return h.ask(method, path, form(pairs...), "Authorization", "Bearer "+key)
	}
	as("sk_test_all", http.MethodPost, "/v1/products", "id", "lamp", "name", "Lamp").ok()
	as("rk_test_read", http.MethodGet, "/v1/products/lamp").ok()
	as("rk_test_read", http.MethodPost, "/v1/products/lamp", "name", "x").requireRefused(http.StatusForbidden, "", "",
		"'rak_product_write' permission")
	as("rk_test_read", http.MethodPost, "/v1/prices", "product", "lamp").requireRefused(http.StatusForbidden, "", "",
		"'rak_plan_write' permission")
	as("sk_test_unknown", http.MethodGet, "/v1/products").requireRefused(http.StatusUnauthorized, "", "",
		"Invalid API Key provided: sk_test_***nown")
	require.Equal(t, "acct_2", as("sk_test_other", http.MethodGet, "/v1/account").ok().text("id"))
	as("sk_test_other", http.MethodGet, "/v1/products/lamp").requireRefused(http.StatusNotFound, "resource_missing",
		"id",
		"No such product")
	h.ask(http.MethodGet, "/v1/products", nil, "Authorization", "Bearer sk_test_all", "Stripe-Account",
		"acct_known").ok()
	h.ask(http.MethodGet, "/v1/products", nil, "Authorization", "Bearer sk_test_all", "Stripe-Account", "acct_none").
		requireRefused(http.StatusForbidden, "account_invalid", "", "does not have access to account 'acct_none'")
}

func TestNew_RefusesBadConfiguration(t *testing.T) {
	t.Parallel()
	for words, cfg := range map[string]stripesim.Config{
		"must start with sk_test_":    {APIKeys: []stripesim.APIKey{{Key: "key"}}},
		"must start with http":        {Webhooks: []stripesim.Webhook{{URL: "localhost:8081"}}},
		"needs a secret to sign with": {Webhooks: []stripesim.Webhook{{URL: "http://localhost:8081"}}},
		`"new" is not an API version`: {APIVersion: "new"},
		"there is no fault":           {Faults: []stripesim.Fault{{Kind: "x"}}},
		"of the webhook http://x is not an API version": {
			Webhooks: []stripesim.Webhook{{URL: "http://x", Secrets: []string{"s"}, APIVersion: "x"}},
		},
	} {
		_, err := stripesim.New(cfg)
		require.ErrorContains(t, err, words)
	}
}
