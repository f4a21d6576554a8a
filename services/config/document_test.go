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
)

var update = flag.Bool("update", false, "write docs/configuration.md")

// TestDocumentIsFresh holds docs/configuration.md to the settings.
func TestDocumentIsFresh(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	want := document()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "write it anew with: go test ./config -update")
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Every setting is a flag, an environment variable and a key of the YAML file named by ` + "`DRIFTLESS_CONFIG`" + `. A flag overrides the
environment, that overrides the file, and that the default; an empty variable counts as not set. One file serves all
services. Secrets can also be read from a file: ` + "`STRIPE_API_KEY_FILE`" + ` instead of ` + "`STRIPE_API_KEY`" + `, and so on. The
mapping of your own tables is under the key ` + "`catalog`" + ` of the file; see [mapping.md](mapping.md). Traces follow the standard
` + "`OTEL_*`" + ` variables; see [tracing.md](tracing.md).
`)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| key | environment | default | meaning |\n|---|---|---|---|\n", strings.ToUpper(g.title[:1])+g.title[1:])
		for _, f := range fields(reflect.TypeOf(g.fields)) {
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

// TestEverySettingIsDocumented: a setting without an environment variable or a meaning is half a setting.
func TestEverySettingIsDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups {
		for _, f := range fields(reflect.TypeOf(g.fields)) {
			name := f.Tag.Get("name")
			require.NotEmpty(t, name, f.Name)
			require.NotEmpty(t, f.Tag.Get("env"), name)
			require.NotEmpty(t, f.Tag.Get("help"), name)
			require.False(t, seen[name], "%s is declared twice", name)
			seen[name] = true
		}
	}
}
