package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// variables returns the variables of a service by name.
func (u *up) variables(t *testing.T, service string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, e := range u.environment(service) {
		name, value, _ := strings.Cut(e, "=")
		require.NotContains(t, out, name, "%s gets %s twice", service, name)
		out[name] = value
	}
	return out
}

var everyService = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}

// everybody returns the same value for each service.
func everybody(value string) map[string]string {
	out := map[string]string{}
	for _, service := range everyService {
		out[service] = value
	}
	return out
}

func TestEnvironment_GivesEachServiceOnlyItsSecrets(t *testing.T) {
	for name, value := range map[string]string{
		"STRIPE_API_KEY": "sk_test_shell", "STRIPE_WEBHOOK_SECRET_FILE": "/run/webhook",
		"DATABASE_URL": "postgres://shell", "LEDGER_DATABASE_URL_FILE": "/run/ledger",
		"DRIFTLESS_TOKEN": "of the shell", "PGPASSWORD": "pg", "PGSSLROOTCERT": "/ca",
		"AWS_SECRET_ACCESS_KEY": "aws", "PGP_KEY": "pgp", "DRIFTLESS_MIGRATIONS": "check",
		"DRIFTLESS_SIM_ADDR": "127.0.0.1:1", "DRIFTLESS_DATA_DIR": "/data",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
	} {
		t.Setenv(name, value)
	}
	u := &up{upCmd: &upCmd{}, cli: &cli{}}
	u.endpoints.Database, u.endpoints.NATS, u.endpoints.Stripe, u.cli.Token = "postgres://catalog", "nats://mesh",
		"http://stripe", "token"
	u.StripeAPIKey, u.StripeWebhookSecret, u.LedgerDatabaseURLFile = "sk_test_1", "whsec_1", "/run/ledger"
	u.AllowedHosts = []string{"a", "b"}
	for variable, want := range map[string]map[string]string{
		"DATABASE_URL":                {topology.Ingestion: "postgres://catalog"},
		"LEDGER_DATABASE_URL_FILE":    {topology.Reconciliation: "/run/ledger"},
		"STRIPE_API_KEY":              {topology.Push: "sk_test_1", topology.Pull: "sk_test_1"},
		"STRIPE_WEBHOOK_SECRET":       {topology.Pull: "whsec_1"},
		"STRIPE_WEBHOOK_SECRET_FILE":  {},
		"DRIFTLESS_TOKEN":             {topology.Ingestion: "token", topology.Reconciliation: "token"},
		"PGPASSWORD":                  {topology.Ingestion: "pg", topology.Reconciliation: "pg"},
		"PGSSLROOTCERT":               {topology.Ingestion: "/ca", topology.Reconciliation: "/ca"},
		"DRIFTLESS_MIGRATIONS":        {topology.Ingestion: "check", topology.Reconciliation: "check"},
		"AWS_SECRET_ACCESS_KEY":       {},
		"PGP_KEY":                     {},
		"DRIFTLESS_SIM_ADDR":          {},
		"DRIFTLESS_DATA_DIR":          {},
		"NATS_URL":                    everybody("nats://mesh"),
		"DRIFTLESS_ALLOWED_HOSTS":     everybody("a,b"),
		"OTEL_EXPORTER_OTLP_ENDPOINT": everybody("http://collector:4318"),
	} {
		for _, service := range everyService {
			value, has := u.variables(t, service)[variable]
			_, wanted := want[service]
			require.Equal(t, wanted, has, "%s: %s", service, variable)
			require.Equal(t, want[service], value, "%s: %s", service, variable)
		}
	}
	u.LedgerDatabaseURLFile = ""
	got := u.variables(t, topology.Reconciliation)["DATABASE_URL"]
	require.Equal(t, "postgres://catalog", got, "the ledger is in the catalog's database")
}

// A setting that up accepts and passes to no service would have no effect.
func TestEnvironment_EverySettingOfUpReachesAService(t *testing.T) {
	u := &up{upCmd: &upCmd{}, cli: &cli{}}
	for service, settings := range serviceSettings {
		for _, variable := range config.Variables(settings) {
			name := strings.TrimSuffix(variable, "_FILE")
			if name == "DRIFTLESS_MIGRATIONS" {
				continue // up has no such flag: the service reads the variable itself
			}
			if slices.Contains(signingSettings, name) {
				continue // see upKeys.environment
			}
			require.Contains(t, u.settings(), name, service)
		}
	}
}

// withSimulator returns up with the simulator and these arguments.
func withSimulator(t *testing.T, args ...string) *up {
	t.Helper()
	var c cli
	options, loaded := config.Options()
	parser, err := kong.New(&c, append(options, parserVars())...)
	require.NoError(t, err)
	parsed, err := parser.Parse(append([]string{"up"}, args...))
	require.NoError(t, err)
	isSet := func(flag string) bool { return loaded.IsSet(parsed, flag) }
	return &up{upCmd: &c.Up, cli: &c, isSet: isSet, simulator: &stripesim.Config{}}
}

func TestSettings_SimulatorDefaultsApplyOnlyIfNotSet(t *testing.T) {
	variables := []string{"DRIFTLESS_POLL_INTERVAL", "DRIFTLESS_GRACE_PERIOD", "STRIPE_READ_ALLOWANCE"}
	ofSimulator := []string{"2s", "3s", "0"}
	ofProduction := []string{"10m", "30s", "10000"}
	requireValues := func(want []string, u *up, source string) {
		t.Helper()
		for i, name := range variables {
			require.Equal(t, want[i], u.settings()[name], "%s: %s", source, name)
		}
	}
	for _, name := range variables {
		t.Setenv(name, "")
	}
	requireValues(ofSimulator, withSimulator(t), "not set, with empty variables")

	flags := []string{"--poll-interval", "10m", "--grace-period=30s", "--stripe-read-allowance", "10000"}
	requireValues(ofProduction, withSimulator(t, flags...), "flags")

	file := filepath.Join(t.TempDir(), "driftless.yaml")
	const yaml = "poll_interval: 10m\ngrace_period: 30s\nstripe_read_allowance: 10000\n"
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
	requireValues(ofProduction, withSimulator(t, "--config", file), "file")

	t.Setenv("DRIFTLESS_POLL_INTERVAL", "10m")
	t.Setenv("DRIFTLESS_GRACE_PERIOD", "30s")
	t.Setenv("STRIPE_READ_ALLOWANCE", "10000")
	requireValues(ofProduction, withSimulator(t), "environment")
}
