package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type settings struct {
	File
	Log
	Mesh
	API
	Stripe
	Pull
	Push
	Guard
	Ingestion
	Reconciliation
	Policy
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

func TestParse_Precedence(t *testing.T) {
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

func TestParse_ReadsConfigFileOfEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t,
		os.WriteFile(path, []byte("poll_interval: 3s\nstripe_webhook_secret: [whsec_a, whsec_b]\n"), 0o600))
	t.Setenv("DRIFTLESS_CONFIG", path)
	s, _, err := parse(t, "")
	require.NoError(t, err)
	require.Equal(t, "3s", s.PollInterval.String())
	require.Equal(t, []string{"whsec_a", "whsec_b"}, s.StripeWebhookSecret.Reveal())
}

func TestParse_SwitchesOffBooleanWithDefaultTrue(t *testing.T) {
	s, _, err := parse(t, "")
	require.NoError(t, err)
	require.True(t, s.PushCreate)
	s, _, err = parse(t, "push_create: false\n")
	require.NoError(t, err)
	require.False(t, s.PushCreate, "by the file")
	s, _, err = parse(t, "", "--no-push-create")
	require.NoError(t, err)
	require.False(t, s.PushCreate, "by a flag")
	t.Setenv("DRIFTLESS_PUSH_CREATE", "false")
	s, _, err = parse(t, "")
	require.NoError(t, err)
	require.False(t, s.PushCreate, "by the environment")
}

func TestParse_ReadsMapping(t *testing.T) {
	_, m, err := parse(t,
		"catalog:\n  products: SELECT 1\n  prices: SELECT 2\n  watch:\n    - {table: app.items, product_id: sku}\n")
	require.NoError(t, err)
	require.Equal(t,
		&Mapping{
			Products: "SELECT 1",
			Prices:   "SELECT 2",
			Watch:    []WatchedTable{{Table: "app.items", ProductID: "sku"}},
		}, m)
}

func TestParse_ReadsPolicyFromEverySource(t *testing.T) {
	s, _, err := parse(t,
		"policy:\n  description: stripe\n  metadata.seo_*: {owner: \"newest\", action: report}\n  \"metadata.a=b,c\": {owner: stripe}\nextras: import\n")
	require.NoError(t, err)
	require.Equal(t, FieldRules{
		{Field: "description", Owner: "stripe", At: "2:3"},
		{Field: "metadata.seo_*", Owner: "newest", Action: "report", At: "3:3"},
		{Field: "metadata.a=b,c", Owner: "stripe", At: "4:3"},
	}, s.Policy.Policy)
	require.Equal(t, "import", s.Extras)
	again, _, err := parse(t, "", "--policy", s.Policy.Policy.String())
	require.NoError(t, err)
	require.Equal(t, s.Policy.Policy, again.Policy.Policy, "as up hands it to the services")

	t.Setenv("DRIFTLESS_POLICY", "url=catalog:report, prices.nickname=stripe")
	s, _, err = parse(t, "policy: {description: stripe}\n")
	require.NoError(t, err)
	require.Equal(t,
		FieldRules{{Field: "url", Owner: "catalog", Action: "report"}, {Field: "prices.nickname", Owner: "stripe"}},
		s.Policy.Policy)
}

func TestParse_ErrorsNamePositionAndCause(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		args []string
		want string
	}{
		"unknown key":         {yaml: "account: a\nslott: x\n", want: `driftless.yaml:2:1: unknown setting "slott"`},
		"unknown mapping key": {yaml: "catalog:\n  product: SELECT\n", want: "unknown field"},
		"mapping not watched": {
			yaml: "catalog:\n  products: a\n  prices: b\n",
			want: "watch must have at least one table",
		},
		"not a value": {yaml: "slot: {a: b}\n", want: "slot must be a single value"},
		"account": {
			args: []string{"--account", "A B"},
			want: `--account: must be 1 to 32 lower-case letters, digits, - and _, not "A B"`,
		},
		"rate is no number": {args: []string{"--stripe-rate", "NaN"}, want: "must be a number, not NaN"},
		"share": {
			args: []string{"--guard-share", "1"},
			want: "--guard-share: must lie between 0, which switches the rule off, and less than 1, " +
				"with which the rule could never hold anything, not 1",
		},
		"rate is infinite": {args: []string{"--stripe-rate", "Inf"}, want: "must be a number, not +Inf"},
		"a guard that holds everything": {
			args: []string{"--guard-price-least", "0"},
			want: "--guard-price-least: must be at least 1, since the rule could hold everything otherwise, not 0",
		},
		"a guard that holds any change of a price": {
			args: []string{"--guard-amount-change", "0.5"},
			want: "--guard-amount-change: must lie between 1 and 10000 percent, or be 0, which switches the rule off, not 0.5",
		},
		"no approvers":     {args: []string{"--guard-approvers", "0"}, want: "must lie between 1 and 10, not 0"},
		"no endpoint rate": {args: []string{"--stripe-endpoint-rate", "0"}, want: "must be more than 0, not 0"},
		"negative rate":    {args: []string{"--stripe-rate=-1"}, want: "must be 0 or more, not -1"},
		"negative time": {
			args: []string{"--grace-period=-1s"},
			want: "--grace-period: must be 0 or more, not -1s",
		},
		"no time": {
			args: []string{"--poll-interval", "0s"},
			want: "--poll-interval: must be more than 0, not 0s",
		},
		"no concurrency": {args: []string{"--push-concurrency", "0"}, want: "must be more than 0, not 0"},
		"time in the file": {
			yaml: "account: a\npoll_interval: soon\n",
			want: `driftless.yaml:2:1: poll_interval: expected duration but got "soon"`,
		},
		"number in the file": {
			yaml: "stripe_rate: .nan\n",
			want: "driftless.yaml:1:1: stripe_rate: expected a float",
		},
		"account in the file": {yaml: "account: A\n", want: `driftless.yaml:1:1: account: must be 1 to 32`},
		"choice in the file": {
			yaml: "drift_policy: ignore\n",
			want: `driftless.yaml:1:1: drift_policy: must be one of repair, report, not "ignore"`,
		},
		"policy is no mapping": {yaml: "policy: [a]\n", want: "driftless.yaml:1:9: policy: must be a mapping"},
		"rule is a list": {
			yaml: "policy:\n  url: [a]\n",
			want: "driftless.yaml:2:3: policy: url must be an owner, or have an owner and an action",
		},
		"rule's key": {
			yaml: "policy:\n  url: {owner: stripe, todo: report}\n",
			want: `driftless.yaml:2:24: policy: url: a rule has an owner and an action, both single values, not "todo"`,
		},
		"rule in a flag": {
			args: []string{"--policy", "description"},
			want: `"description" must be FIELD=OWNER or FIELD=OWNER:ACTION`,
		},
		"extras":              {args: []string{"--extras", "delete"}, want: `--extras must be one of`},
		"nothing in the file": {yaml: "slot:\n", want: "driftless.yaml:1:1: slot must be a single value"},
		"level":               {args: []string{"--log-level", "loud"}, want: "log-level"},
		"missing file":        {args: []string{"--config", "/nowhere.yaml"}, want: "configuration file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parse(t, c.yaml, c.args...)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "--help")
		})
	}
}

func TestParse_ErrorsNameVariable(t *testing.T) {
	t.Setenv("DRIFTLESS_SCAN_INTERVAL", "-1h")
	_, _, err := parse(t, "scan_interval: 1h\n")
	require.EqualError(t, err, "DRIFTLESS_SCAN_INTERVAL: must be 0 or more, not -1h0m0s")
	s, _, err := parse(t, "", "--scan-interval", "2h")
	require.NoError(t, err, "a flag overrides an invalid value")
	require.Equal(t, 2*time.Hour, s.ScanInterval)
}

func TestParse_EmptyVariableCountsAsNotSet(t *testing.T) {
	for _, name := range []string{
		"DRIFTLESS_SLOT", "DRIFTLESS_POLL_INTERVAL", "STRIPE_RATE", "DRIFTLESS_DRIFT_POLICY",
		"STRIPE_API_KEY", "NATS_URL", "DRIFTLESS_CONFIG",
	} {
		t.Setenv(name, "")
	}
	s, _, err := parse(t, "")
	require.NoError(t, err)
	require.Equal(t, "driftless", s.Slot)
	require.Equal(t, 10*time.Minute, s.PollInterval)
	require.Equal(t, "repair", s.DriftPolicy)

	s, _, err = parse(t, "slot: from_file\npoll_interval: 3s\nnats_url: nats://file\n")
	require.NoError(t, err)
	require.Equal(t, "from_file", s.Slot)
	require.Equal(t, 3*time.Second, s.PollInterval)
	require.Equal(t, "nats://file", s.NATSURL)

	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte("sk_test_abc\n"), 0o600))
	t.Setenv("STRIPE_API_KEY_FILE", key)
	s, _, err = parse(t, "")
	require.NoError(t, err)
	require.Equal(t, "sk_test_abc", s.StripeAPIKey.Reveal())

	require.NoError(t, os.WriteFile(key, []byte("\n"), 0o600))
	_, _, err = parse(t, "")
	require.ErrorContains(t, err, "STRIPE_API_KEY_FILE: "+key+" is empty")
}

func TestParse_KeepsValuesAsWritten(t *testing.T) {
	s, _, err := parse(t, `
slot: 0123
token: 1e3
nats_creds: 0x1F
publication: True
stripe_api_key: "0777"
database_url: |-
  host=db
  password=a
stripe_webhook_secret: [007, whsec_b]
stripe_rate: 1e1
push_concurrency: 12
`)
	require.NoError(t, err)
	require.Equal(t, "0123", s.Slot)
	require.Equal(t, "1e3", s.Token.Reveal())
	require.Equal(t, "0x1F", s.NATSCreds)
	require.Equal(t, "True", s.Publication)
	require.Equal(t, "0777", s.StripeAPIKey.Reveal())
	require.Equal(t, "host=db\npassword=a", s.DatabaseURL.Reveal())
	require.Equal(t, []string{"007", "whsec_b"}, s.StripeWebhookSecret.Reveal())
	require.InDelta(t, 10, s.StripeRate, 0)
	require.Equal(t, 12, s.PushConcurrency)
}

func TestParse_ErrorsShowNoContentOfFile(t *testing.T) {
	for name, yaml := range map[string]string{
		"syntax":  "stripe_api_key: sk_live_hush\nslot: [a\n",
		"mapping": "stripe_api_key: sk_live_hush\ncatalog:\n  product: SELECT\ntoken: hush\n",
		"twice":   "stripe_api_key: sk_live_hush\nstripe_api_key: sk_live_hush\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parse(t, yaml)
			require.ErrorContains(t, err, "driftless.yaml:")
			require.NotContains(t, err.Error(), "hush")
			t.Log(err)
		})
	}
}

func TestSecret_IsReadFromFileAndNeverPrinted(t *testing.T) {
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

func TestParse_NamesTheFileOfASecret(t *testing.T) {
	dir := t.TempDir()
	url, ledger := filepath.Join(dir, "url"), filepath.Join(dir, "ledger")
	require.NoError(t, os.WriteFile(url, []byte("postgres://a\n"), 0o600))
	require.NoError(t, os.WriteFile(ledger, []byte("postgres://b\n"), 0o600))
	s, _, err := parse(t, "ledger_database_url_file: "+ledger+"\n")
	require.NoError(t, err)
	require.Equal(t, Secret("postgres://b"), s.LedgerDatabaseURL)
	require.Equal(t, ledger, s.LedgerDatabaseURLFile, "by the configuration file")
	catalog := DatabaseSetting{URL: "postgres://catalog", File: "catalog.url", Variable: "DATABASE_URL"}
	require.Equal(t, DatabaseSetting{"postgres://b", ledger, "LEDGER_DATABASE_URL"}, s.LedgerDatabase(catalog))
	require.Equal(t, catalog, Reconciliation{}.LedgerDatabase(catalog), "by default it is the catalog's")
	require.Empty(t, s.DatabaseURLFile)
	t.Setenv("DATABASE_URL_FILE", url)
	s, _, err = parse(t, "ledger_database_url_file: "+ledger+"\n")
	require.NoError(t, err)
	require.Equal(t, Secret("postgres://a"), s.DatabaseURL)
	require.Equal(t, url, s.DatabaseURLFile, "by the environment")
	s, _, err = parse(t, "", "--database-url", "postgres://c")
	require.NoError(t, err)
	require.Equal(t, Secret("postgres://c"), s.DatabaseURL)
	require.Empty(t, s.DatabaseURLFile, "a flag has no file")
}
