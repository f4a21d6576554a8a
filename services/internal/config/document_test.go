package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/visible"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

// TestDocument_IsFresh compares docs/configuration.md with the settings.
func TestDocument_IsFresh(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "configuration.md")
	want := document()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "update it with: go test ./internal/config -update")
}

// In these texts "~" replaces the backtick.
const severalAccounts = `
## Several accounts

One file serves the services of several Stripe accounts. Under ~accounts~, each account has settings and a mapping that
override those of the top level. A service uses those of the account in ~DRIFTLESS_ACCOUNT~. It does not start if there
is none of that name. ~driftless topology apply~ creates the consumers of all accounts.

~~~yaml
nats_url: nats://nats:4222
accounts:
  eu:
    stripe_api_key_file: /run/secrets/stripe-eu
    catalog: # its queries say which products the account gets
      products: SELECT id, name FROM shop.products WHERE region = 'eu'
      prices: SELECT p.id, p.product, p.currency, p.unit_amount FROM shop.prices p JOIN shop.products s ON s.id = p.product WHERE s.region = 'eu'
      watch: [{table: shop.products, product_id: id}, {table: shop.prices, product_id: product}]
  connected:
    stripe_api_key_file: /run/secrets/stripe-platform
    stripe_account: acct_1NfYYZLkdIwHu7ix
    stripe_rate: 20
~~~

Accounts may share a mapping. Each account's ~catalog~ overrides that of the top level key by key, and so do the
statements of ~write_back~. So ~watch~ and ~prices~ can be written once, and ~products~ under each account. YAML's
anchors and aliases work in the whole file. Keys of the top level that begin with ~x-~ are ignored, for anchors.

A key that ends in ~_file~ names a file with the secret. Every account but ~default~ has its own replication slot and
publication, ~driftless_<account>~, unless it names others.
`

const rotation = `
## Rotation of credentials

The files of ~DRIFTLESS_SIGNING_KEY_FILE~ and ~DRIFTLESS_TRUSTED_KEYS_FILE~ are read again every few seconds; see
[security.md](security.md#signed-changes-and-commands). So is the file of ~DRIFTLESS_TOKENS_FILE~; see
[security.md](security.md#tokens-and-roles).

The files of ~DATABASE_URL_FILE~, ~LEDGER_DATABASE_URL_FILE~ and ~NATS_URL_FILE~ are read again at every connection.
Replace the file when the password changes. The services use the new one within seconds, without a restart. Client
certificates and ~PGPASSFILE~ are read again, too; for NATS see [nats.md](nats.md).

Only user and password are used. If the file of a database names another host, port or database than at the start, the
services log that and keep the old one: positions in one write-ahead log mean nothing in another. Restart the services
to change the database. The servers of ~NATS_URL_FILE~ are also those of the start. All other secrets, such as Stripe's
keys, are only read at the start.
`

const introduction = `# Configuration

Every setting is a flag, an environment variable and a key of the YAML file named by ~DRIFTLESS_CONFIG~. A flag
overrides the environment, the environment overrides the file, and the file overrides the default. An empty variable
counts as not set. One file serves all services.

Secrets can also be read from a file: ~STRIPE_API_KEY_FILE~ instead of ~STRIPE_API_KEY~, and so on. In the YAML file,
the key is ~stripe_api_key_file~. The mapping of your own tables is under the key ~catalog~ of the file; see
[mapping.md](mapping.md). So are [checks](mapping.md#checks) of the products, ~catalog.checks~, which work with the
built-in tables too. Traces follow the standard ~OTEL_*~ variables; see [tracing.md](tracing.md).

Every user of the machine can see a secret in a flag in the list of processes (~ps~). Set secrets in the environment or
in files.

~driftless config check --config FILE~ checks everything that a service would refuse at its start, for all accounts of
the file, and asks no server. With ~--database~ it also asks the catalog database, and changes nothing there: see
[mapping.md](mapping.md#check-the-mapping).
`

func document() string {
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(introduction, "~", "`"))
	b.WriteString(strings.ReplaceAll(rotation, "~", "`"))
	b.WriteString(strings.ReplaceAll(severalAccounts, "~", "`"))
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| key | environment | default | meaning |\n|---|---|---|---|\n",
			visible.Sentence(g.title))
		for _, f := range fieldsOf(reflect.TypeOf(g.fields)) {
			name, env, value, help := f.Tag.Get("name"), f.Tag.Get("env"), f.Tag.Get("default"), f.Tag.Get("help")
			if value != "" {
				value = "`" + value + "`"
			}
			if _, secret := f.Tag.Lookup("secret"); secret {
				help += " Secret."
			}
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", strings.ReplaceAll(name, "-", "_"), env, value, help)
		}
	}
	return b.String()
}

// Every setting has an environment variable and a description.
func TestSettings_HaveNameVariableAndHelp(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups {
		for _, f := range fieldsOf(reflect.TypeOf(g.fields)) {
			name := f.Tag.Get("name")
			require.NotEmpty(t, name, f.Name)
			require.NotEmpty(t, f.Tag.Get("env"), name)
			require.NotEmpty(t, f.Tag.Get("help"), name)
			require.False(t, seen[name], "%s is declared twice", name)
			seen[name] = true
		}
	}
}
