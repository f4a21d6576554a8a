package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ownTables is a mapping without write-back statements.
const ownTables = `catalog:
  products: SELECT id, name, description FROM shop.products
  prices: SELECT id, product, currency, unit_amount FROM shop.prices
  watch: [{table: shop.products, product_id: id}]
`

func TestConfigCheck_RefusesWhatServicesRefuse(t *testing.T) {
	t.Setenv("DRIFTLESS_CONFIG", "")
	for name, c := range map[string]struct {
		yaml string
		args []string
		want int
	}{
		"nothing is configured":               {yaml: "", want: 0},
		"built-in tables can be written back": {yaml: "policy: {description: stripe}\nextras: import\n", want: 0},
		"own tables without a statement":      {yaml: ownTables + "policy: {description: stripe}\n", want: 1},
		"a flag of another service":           {yaml: "guard_share: 2\n", want: 1},
		"an account's tables": {
			yaml: "policy: {description: stripe}\naccounts:\n  eu: {}\n  us:\n    " + indented(ownTables),
			want: 1,
		},
		"only the account that is named": {
			yaml: "policy: {description: stripe}\naccounts:\n  eu: {}\n  us:\n    " + indented(ownTables),
			args: []string{"--account", "eu"},
			want: 0,
		},
		"an account that is not in the file": {
			yaml: "accounts:\n  eu: {}\n",
			args: []string{"--account", "us"},
			want: 1,
		},
		"no account": {args: []string{"--account", ""}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "driftless.yaml")
			require.NoError(t, os.WriteFile(path, []byte(c.yaml), 0o600))
			require.Equal(t, c.want, Main(append([]string{"config", "check", "--config", path}, c.args...)))
		})
	}
}

func TestDoctor_RefusesToCheckNothing(t *testing.T) {
	require.Equal(t, 1, Main([]string{"doctor", "--account", ""}))
	require.Equal(t, 1, Main([]string{"doctor", "--only", "nats", "--skip", "nats"}))
}

func TestConfigCheck_AcceptsExampleConfiguration(t *testing.T) {
	require.Equal(t, 0, Main([]string{"config", "check", "--config", "../../../deploy/driftless.example.yaml"}))
}

// indented returns a mapping under an account.
func indented(yaml string) string {
	out := ""
	for line := range strings.Lines(yaml) {
		out += line + "    "
	}
	return out
}
