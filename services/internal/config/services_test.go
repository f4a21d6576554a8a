package config

import (
	"reflect"
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

// `driftless up` gives its services their settings as variables.
func TestValues_GiveAProcessTheSameSettings(t *testing.T) {
	for _, c := range []struct {
		settings, again any
		args            []string
	}{
		{&IngestionService{}, &IngestionService{}, []string{
			"--database-url", "postgres://u:secret@db", "--prices-archive-after", "90m", "--stripe-ids",
			"--allowed-hosts", "a,b", "--token", "word",
		}},
		{&PushService{}, &PushService{}, []string{
			"--stripe-api-key", "sk_test_1", "--stripe-rate", "12.5", "--no-push-create", "--guard-least", "7",
			"--guard-share", "0.25", "--policy", "description=stripe,metadata.a%2Cb=newest:report",
		}},
		{&PullService{}, &PullService{}, []string{
			"--stripe-webhook-secret", "whsec_1, whsec_2", "--stripe-read-allowance", "0", "--poll-interval", "1m",
		}},
		{&ReconciliationService{}, &ReconciliationService{}, []string{
			"--no-publish-events", "--notify-kinds", "held,drift", "--history-retention", "0s",
		}},
		{&ConsoleService{}, &ConsoleService{}, []string{"--openid-roles", "pricing=approve,sre=operate"}},
	} {
		_, err := Parse(c.settings, "test", "", "v0", c.args)
		require.NoError(t, err)
		before := reflect.ValueOf(c.settings).Elem().Interface()
		for name, value := range Values(before) {
			t.Setenv(name, value)
		}
		_, err = Parse(c.again, "test", "", "v0", nil)
		require.NoError(t, err)
		require.Equal(t, c.settings, c.again)
	}
}

func TestFiles_NamesTheFilesThatAreReadAgain(t *testing.T) {
	require.Equal(t, map[string]string{
		"DATABASE_URL": "/run/catalog", "NATS_URL": "/run/nats", "DRIFTLESS_TOKENS": "",
		"DRIFTLESS_SIGNING_KEY": "", "DRIFTLESS_TRUSTED_KEYS": "",
	}, Files(IngestionService{
		Mesh:      Mesh{NATS: NATS{NATSURLFile: "/run/nats"}},
		Ingestion: Ingestion{DatabaseURLFile: "/run/catalog"},
	}))
}
