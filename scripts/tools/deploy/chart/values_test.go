package chart

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValues_WrongOnesAreRefusedWithReason(t *testing.T) {
	good := func() map[string]any { return valuesOf(t, dir+"/ci/external-values.yaml") }
	_, err := render(t, good())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		path  string
		value any
		says  []string
	}{
		"a value that does not exist":   {"pusch", map[string]any{}, []string{"pusch"}},
		"another below one that does":   {"push.replica", 3, []string{"replica"}},
		"a word for a number":           {"push.replicas", "three", []string{"replicas", "integer"}},
		"no replicas":                   {"ingestion.replicas", 0, []string{"replicas"}},
		"an account that is no subject": {"account", "My Shop", []string{"account"}},
		"an address that is none":       {"nats.url", "nats.nats.svc:4222", []string{"url"}},
		"an even number of replicas":    {"nats.replicas", 2, []string{"replicas"}},
		"a level that there is not":     {"log.level", "verbose", []string{"level"}},
		"a secret among the settings":   {"config.stripe_api_key", "sk_live_1", []string{"config"}},
		"no database": {
			"catalog.secretName", "",
			[]string{"catalog.secretName", "DATABASE_URL"},
		},
		"no key": {
			"stripe.push.secretName", "",
			[]string{"stripe.push.secretName", "STRIPE_API_KEY"},
		},
		"no NATS": {"nats.url", "", []string{"nats.url", "nats.bundled.enabled"}},
		"two NATS": {
			"nats.bundled.enabled", true,
			[]string{"nats.url and nats.bundled.enabled"},
		},
		"KEDA that cannot see NATS":       {"autoscaling.mode", "keda", []string{"nats.monitoring"}},
		"an Ingress without a host":       {"webhook.ingress.enabled", true, []string{"webhook.ingress.host"}},
		"a control API open to everybody": {"control.ingress.enabled", true, []string{"token.secretName"}},
		"trusted keys without signing keys": {
			"signing.trustedKeys",
			[]any{"push=driftless_public_key_v1_x"},
			[]string{"secretName"},
		},
		"a secret among the trusted keys": {
			"signing.trustedKeys",
			[]any{"driftless_signing_key_v1_x"},
			[]string{"trustedKeys"},
		},
		"a monitoring endpoint with a scheme": {"nats.monitoring", "http://nats:8222", []string{"monitoring"}},
	} {
		t.Run(name, func(t *testing.T) {
			values := good()
			at := values
			path := strings.Split(c.path, ".")
			for _, key := range path[:len(path)-1] {
				if _, ok := at[key].(map[string]any); !ok {
					at[key] = map[string]any{}
				}
				at = at[key].(map[string]any)
			}
			at[path[len(path)-1]] = c.value
			_, err := render(t, values)
			for _, says := range c.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
}

// A value that the schema does not know cannot be set.
func TestSchema_HasEveryValue(t *testing.T) {
	data, err := os.ReadFile(dir + "/values.schema.json")
	require.NoError(t, err)
	var schema map[string]any
	require.NoError(t, json.Unmarshal(data, &schema))
	var compare func(path string, schema map[string]any, value any)
	compare = func(path string, schema map[string]any, value any) {
		properties, ok := schema["properties"].(map[string]any)
		if !ok {
			return
		}
		require.Equal(t, false, schema["additionalProperties"], "%s takes any value", path)
		values, _ := value.(map[string]any)
		for key := range properties {
			if path+key != "global" {
				require.Contains(t, values, key, "%s%s is in the schema and not in values.yaml", path, key)
			}
		}
		for key, v := range values {
			require.Contains(t, properties, key, "%s%s is in values.yaml and not in the schema", path, key)
			compare(path+key+".", properties[key].(map[string]any), v)
		}
	}
	compare("", schema, load(t).Values)
}

func TestReadme_IsFresh(t *testing.T) {
	values, err := os.ReadFile(dir + "/values.yaml")
	require.NoError(t, err)
	meta := load(t).Metadata
	want, err := Readme(meta.Name, meta.Description, meta.Version, values)
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(dir+"/README.md", []byte(want), 0o644))
	}
	have, err := os.ReadFile(dir + "/README.md")
	require.NoError(t, err)
	if want != string(have) {
		t.Error("the chart's README is out of date; update it with: scripts/test-helm -update")
	}
}

func TestNotes_WarnOfTrialSettings(t *testing.T) {
	notes := func(values map[string]any) string {
		rendered, err := render(t, values)
		require.NoError(t, err)
		return rendered["driftless/templates/NOTES.txt"]
	}
	require.Contains(t, notes(valuesOf(t, dir+"/ci/trial-values.yaml")), "WARNING: the bundled NATS is for trials")
	require.Contains(t, notes(valuesOf(t, dir+"/ci/external-values.yaml")),
		"WARNING: the ingestion API and the control API ask for no token")
	require.NotContains(t, notes(valuesOf(t, dir+"/ci/files-values.yaml")), "WARNING")
	require.NotContains(t, notes(valuesOf(t, dir+"/ci/production-values.yaml")), "WARNING")
}
