package chart

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Without events the Job makes no stream for them: it has the setting of the services.
func TestEvents_OffMakeNoStream(t *testing.T) {
	for _, off := range []bool{false, true} {
		values := valuesOf(t, dir+"/ci/production-values.yaml")
		config, _ := values["config"].(map[string]any)
		if config == nil {
			config = map[string]any{}
			values["config"] = config
		}
		if off {
			config["publish_events"] = false
		}
		rendered, err := render(t, values)
		require.NoError(t, err)
		env := map[string]string{}
		for _, e := range pods(objects(t, rendered))["shop-driftless-migrate"].Spec.Containers[0].Env {
			env[e.Name] = e.Value
		}
		if off {
			require.Equal(t, "false", env["DRIFTLESS_PUBLISH_EVENTS"])
		} else {
			require.NotContains(t, env, "DRIFTLESS_PUBLISH_EVENTS")
		}
	}
}
