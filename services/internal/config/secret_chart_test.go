package config

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The chart puts config into a ConfigMap, so its schema refuses every secret there.
func TestSecrets_AreRefusedByTheChart(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../deploy/helm/driftless/values.schema.json")
	require.NoError(t, err)
	var schema struct {
		Properties struct {
			Config struct {
				Not struct {
					AnyOf []struct {
						Required []string `json:"required"`
					} `json:"anyOf"`
				} `json:"not"`
			} `json:"config"`
		} `json:"properties"`
	}
	require.NoError(t, json.Unmarshal(text, &schema))
	var refused, secrets []string
	for _, one := range schema.Properties.Config.Not.AnyOf {
		refused = append(refused, one.Required...)
	}
	for _, group := range groups {
		for _, f := range fieldsOf(reflect.TypeOf(group.fields)) {
			if _, secret := f.Tag.Lookup("secret"); secret {
				secrets = append(secrets, strings.ReplaceAll(f.Tag.Get("name"), "-", "_"))
			}
		}
	}
	slices.Sort(secrets)
	require.ElementsMatch(t, slices.Compact(secrets), refused,
		"refuse each secret in config of values.schema.json, and give it a Secret in values.yaml")
}
