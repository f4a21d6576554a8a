package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

type settings struct {
	File
	Log
	Mesh
	API
	Stripe
	Pull
	Ingestion
}

func parse(t *testing.T, yaml string, args ...string) (settings, *Mapping, error) {
	t.Helper()
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "driftless.yaml")
		require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
		args = append(args, "--config", path)
	}
	var s settings
	m, err := Parse(&s, "test", "", "v0", args)
	return s, m, err
}

func TestPrecedence(t *testing.T) {
	s, _, err := parse(t, "")
	require.NoError(t, err)
	require.Equal(t, "driftless", s.Slot, "default")

	s, _, err = parse(t, "slot: from_file\n")
	require.NoError(t, err)
	require.Equal(t, "from_file", s.Slot, "the file overrides the default")

	t.Setenv("DRIFTLESS_SLOT", "from_env")
	s, _, err = parse(t, "slot: from_file\n")
	require.NoError(t, err)
	require.Equal(t, "from_env", s.Slot, "the environment overrides the file")

	s, _, err = parse(t, "slot: from_file\n", "--slot", "from_flag")
	require.NoError(t, err)
	require.Equal(t, "from_flag", s.Slot, "a flag overrides all")
}

func TestConfigFileFromEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte("poll_interval: 3s\nstripe_webhook_secret: [whsec_a, whsec_b]\n"), 0o600))
	t.Setenv("DRIFTLESS_CONFIG", path)
	s, _, err := parse(t, "")
	require.NoError(t, err)
	require.Equal(t, "3s", s.PollInterval.String())
	require.Equal(t, []string{"whsec_a", "whsec_b"}, s.StripeWebhookSecret.Reveal())
}

func TestMappingIsReadFromTheFile(t *testing.T) {
	_, m, err := parse(t, "catalog:\n  products: SELECT 1\n  prices: SELECT 2\n  watch:\n    - {table: app.items, product_id: sku}\n")
	require.NoError(t, err)
	require.Equal(t, &Mapping{Products: "SELECT 1", Prices: "SELECT 2", Watch: []WatchedTable{{"app.items", "sku"}}}, m)
}

func TestBadInputSaysWhereAndWhat(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		args []string
		want string
	}{
		"unknown key":         {yaml: "account: a\nslott: x\n", want: `driftless.yaml:2:1: unknown setting "slott"`},
		"unknown mapping key": {yaml: "catalog:\n  product: SELECT\n", want: "unknown field"},
		"mapping not watched": {yaml: "catalog:\n  products: a\n  prices: b\n", want: "watch must name at least one table"},
		"not a value":         {yaml: "slot: {a: b}\n", want: "slot must be a single value"},
		"account":             {args: []string{"--account", "A B"}, want: `account "A B": must be`},
		"share":               {args: []string{"--stripe-pull-share", "1.5"}, want: "stripe-pull-share 1.5"},
		"level":               {args: []string{"--log-level", "loud"}, want: "log-level"},
		"missing file":        {args: []string{"--config", "/nowhere.yaml"}, want: "configuration file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parse(t, c.yaml, c.args...)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestSecretsFromFilesAndNeverPrinted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte("sk_test_abc\n"), 0o600))
	t.Setenv("STRIPE_API_KEY_FILE", path)
	s, _, err := parse(t, "")
	require.NoError(t, err)
	require.Equal(t, "sk_test_abc", s.StripeAPIKey.Reveal())
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		require.NotContains(t, fmt.Sprintf(format, s), "sk_test_abc", format)
	}
	t.Setenv("STRIPE_API_KEY", "sk_test_def")
	_, _, err = parse(t, "")
	require.ErrorContains(t, err, "both STRIPE_API_KEY and STRIPE_API_KEY_FILE are set")
}

func TestModeOf(t *testing.T) {
	for key, want := range map[string]KeyMode{"sk_test_1": TestMode, "rk_test_1": TestMode, "sk_live_1": LiveMode, "rk_live_1": LiveMode} {
		got, err := ModeOf(key)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, key := range []string{"", "pk_test_1", "whsec_1", "sk_"} {
		_, err := ModeOf(key)
		require.ErrorContains(t, err, "STRIPE_API_KEY must be")
	}
}
