package chart

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScalers_NameExistingConsumers(t *testing.T) {
	permissions, err := os.ReadFile(dir + "/files/nats/permissions.conf")
	require.NoError(t, err)
	scaled := 0
	each(t, func(t *testing.T, values map[string]any, all []object) {
		t.Helper()
		account := "default"
		if name, ok := values["account"].(string); ok {
			account = name
		}
		deployments := map[string]bool{}
		for _, o := range all {
			deployments[o.name] = deployments[o.name] || o.kind == "Deployment"
		}
		for _, o := range all {
			if o.kind != "ScaledObject" {
				continue
			}
			scaled++
			spec := o.raw["spec"].(map[string]any)
			require.True(t, deployments[spec["scaleTargetRef"].(map[string]any)["name"].(string)], o.name)
			service := o.name[strings.LastIndex(o.name, "-")+1:]
			for _, trigger := range spec["triggers"].([]any) {
				m := trigger.(map[string]any)["metadata"].(map[string]any)
				consumer, found := strings.CutSuffix(m["consumer"].(string), "-"+account)
				require.True(t, found, "%v", m)
				require.Contains(t, section(string(permissions), service),
					fmt.Sprintf("\"$JS.API.CONSUMER.MSG.NEXT.%s.%s-{account}\"", m["stream"], consumer),
					"%s does not consume that", service)
				require.IsType(t, "", m["lagThreshold"], "KEDA takes strings only")
			}
			require.Len(t, spec["triggers"], consumersOf(string(permissions), service),
				"%s has consumers that the scaler does not know", service)
		}
	})
	require.Positive(t, scaled)
}

// section returns the permissions of a service.
func section(permissions, service string) string {
	_, rest, _ := strings.Cut(permissions, "DRIFTLESS_"+strings.ToUpper(service)+":")
	rest, _, _ = strings.Cut(rest, "\nDRIFTLESS_")
	return rest
}

// consumersOf returns how many consumers a service may read.
func consumersOf(permissions, service string) int {
	return strings.Count(section(permissions, service), "$JS.API.CONSUMER.MSG.NEXT.")
}
