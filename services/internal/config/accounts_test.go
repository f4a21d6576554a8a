package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

const twoAccounts = `
nats_url: nats://mesh:4222
stripe_rate: 50
catalog: {products: everything, prices: all, watch: [{table: t, product_id: id}]}
accounts:
  eu:
    stripe_account: acct_eu
    stripe_rate: 10
    catalog: {products: of eu, prices: of eu, watch: [{table: t, product_id: id}]}
  us-1:
    guard_share: 0.5
    slot: us
`

func TestAccounts_OverrideTopLevel(t *testing.T) {
	t.Setenv("DRIFTLESS_ACCOUNT", "eu")
	s, m, err := parse(t, twoAccounts)
	require.NoError(t, err)
	require.Equal(t, "eu", s.Account)
	require.Equal(t, "acct_eu", s.StripeAccount)
	require.InDelta(t, 10, s.StripeRate, 0)
	require.Equal(t, "nats://mesh:4222", s.NATSURL)
	require.Equal(t, "of eu", m.Products)
	require.Equal(t, "driftless_eu", s.Slot, "two accounts cannot read with one slot")
	require.Equal(t, "driftless_eu", s.Publication)
	require.InDelta(t, 0.1, s.GuardShare, 0)

	s, m, err = parse(t, twoAccounts, "--account", "us-1")
	require.NoError(t, err)
	require.Empty(t, s.StripeAccount)
	require.InDelta(t, 50, s.StripeRate, 0)
	require.InDelta(t, 0.5, s.GuardShare, 0)
	require.Equal(t, "everything", m.Products)
	require.Equal(t, "us", s.Slot)
	require.Equal(t, "driftless_us_1", s.Publication)

	t.Setenv("STRIPE_RATE", "7")
	s, _, err = parse(t, twoAccounts)
	require.NoError(t, err)
	require.InDelta(t, 7, s.StripeRate, 0, "the environment overrides the file")
}

func TestAccounts_TopLevelNamesAccount(t *testing.T) {
	s, _, err := parse(t, "account: us-1\n"+twoAccounts)
	require.NoError(t, err)
	require.Equal(t, "us-1", s.Account)
	s, _, err = parse(t, "accounts: {default: {stripe_rate: 3}, eu: {}}\n")
	require.NoError(t, err)
	require.InDelta(t, 3, s.StripeRate, 0)
	require.Equal(t, "driftless", s.Slot)
}

func TestAccounts_ReadSecretsFromFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte("rk_live_eu\n"), 0o600))
	t.Setenv("DRIFTLESS_ACCOUNT", "eu")
	s, _, err := parse(t, "stripe_api_key: sk_test_top\naccounts: {eu: {stripe_api_key_file: "+path+"}}\n")
	require.NoError(t, err)
	require.Equal(t, "rk_live_eu", s.StripeAPIKey.Reveal())

	_, _, err = parse(t, "accounts: {eu: {stripe_api_key_file: "+path+".missing}}\n")
	require.ErrorContains(t, err, "stripe_api_key_file")
	require.ErrorContains(t, err, path+".missing")
	_, _, err = parse(t, "accounts: {eu: {stripe_api_key_file: "+path+", stripe_api_key: x}}\n")
	require.ErrorContains(t, err, "keep one")
}

func TestAccounts_ErrorsNamePositionAndCause(t *testing.T) {
	for name, c := range map[string]struct {
		account, yaml string
		want          []string
	}{
		"unknown":     {"asia", twoAccounts, []string{":5:1", `no account "asia"`, "eu, us-1", "DRIFTLESS_ACCOUNT"}},
		"none named":  {"", twoAccounts, []string{`no account "default"`, "eu, us-1", "DRIFTLESS_ACCOUNT"}},
		"setting":     {"eu", "accounts: {eu: {stripe_ratio: 1}}\n", []string{`unknown setting "stripe_ratio"`}},
		"of another":  {"eu", "accounts:\n  eu: {}\n  us: {stripe_rate: fast}\n", []string{":3:8", "stripe_rate"}},
		"name":        {"eu", "accounts: {EU: {}}\n", []string{"EU", "lower-case"}},
		"no settings": {"eu", "accounts: {eu: 7}\n", []string{"eu", "key: value"}},
		"no accounts": {"eu", "accounts: eu\n", []string{"accounts", "under its name"}},
		"nested":      {"eu", "accounts: {eu: {account: us}}\n", []string{"account is not allowed under an account"}},
		"mapping": {
			"eu", "accounts: {eu: {catalog: {products: x}}}\n",
			[]string{"catalog: prices must be a query"},
		},
		"a shared slot": {"eu", "slot: one\n" + twoAccounts, []string{":1:1", "slot", "for each account"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DRIFTLESS_ACCOUNT", c.account)
			_, _, err := parse(t, c.yaml)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestAccounts_CommandForSeveralGetsAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "driftless.yaml")
	require.NoError(t, os.WriteFile(path, []byte(twoAccounts), 0o600))
	parse := func(args ...string) ([]string, error) {
		var s struct {
			File
			Accounts []string `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default"`
		}
		options, _ := Options()
		p, err := kong.New(&s, append(options, kong.Exit(func(int) {}))...)
		require.NoError(t, err)
		_, err = p.Parse(append(args, "--config", path))
		return s.Accounts, err
	}
	accounts, err := parse()
	require.NoError(t, err)
	require.Equal(t, []string{"eu", "us-1"}, accounts)
	accounts, err = parse("--account", "eu")
	require.NoError(t, err)
	require.Equal(t, []string{"eu"}, accounts)
	_, err = parse("--account", "eu,asia")
	require.ErrorContains(t, err, `no account "asia"`)
}
