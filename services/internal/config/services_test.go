package config

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVariables(t *testing.T) {
	secrets := map[string][]string{
		"DATABASE_URL":          {"ingestion", "reconciliation"},
		"LEDGER_DATABASE_URL":   {"reconciliation"},
		"STRIPE_API_KEY":        {"push", "pull"},
		"STRIPE_WEBHOOK_SECRET": {"pull"},
		"DRIFTLESS_TOKEN":       {"ingestion", "reconciliation"},
		"NATS_URL":              {"ingestion", "push", "pull", "reconciliation"},

		"DRIFTLESS_SIGNING_KEY":  {"ingestion", "push", "pull", "reconciliation"},
		"DRIFTLESS_TRUSTED_KEYS": {"ingestion", "push", "pull", "reconciliation"},
	}
	for name, settings := range map[string]any{
		"ingestion": IngestionService{}, "push": PushService{}, "pull": PullService{},
		"reconciliation": ReconciliationService{},
	} {
		variables := Variables(settings)
		require.Contains(t, variables, "DRIFTLESS_CONFIG", name)
		require.NotContains(t, variables, "", name)
		for secret, services := range secrets {
			for _, variable := range []string{secret, secret + "_FILE"} {
				require.Equal(t, slices.Contains(services, name), slices.Contains(variables, variable), "%s: %s", name,
					variable)
			}
		}
	}
}

func TestAllowedHosts(t *testing.T) {
	var s IngestionService
	_, err := Parse(&s, "test", "", "v0", []string{"--allowed-hosts", "driftless.example,proxy-1"})
	require.NoError(t, err)
	require.Equal(t, []string{"driftless.example", "proxy-1"}, s.AllowedHosts)
	for _, wrong := range []string{"https://driftless.example", "driftless.example/x", "driftless.example:8080", "*"} {
		_, err := Parse(&IngestionService{}, "test", "", "v0", []string{"--allowed-hosts", wrong})
		require.ErrorContains(t, err, "--allowed-hosts: must be names of hosts", wrong)
	}
}
