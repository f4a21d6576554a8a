package chart

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
)

// egress returns a rule of a service's network policy that has a port, nil if none has it.
func egress(all []object, service string, port int) *networkingv1.NetworkPolicyEgressRule {
	for _, o := range all {
		policy, ok := o.decoded.(*networkingv1.NetworkPolicy)
		if !ok || o.name != "shop-driftless-"+service {
			continue
		}
		for _, rule := range policy.Spec.Egress {
			for _, p := range rule.Ports {
				if p.Port.IntValue() == port {
					return &rule
				}
			}
		}
	}
	return nil
}

// TestNotify_ReachesReceiversOnly checks that reconciliation has the secrets of notifications, and may send them.
func TestNotify_ReachesReceiversOnly(t *testing.T) {
	rendered, err := render(t, valuesOf(t, dir+"/ci/production-values.yaml"))
	require.NoError(t, err)
	all := objects(t, rendered)
	rule := egress(all, "reconciliation", 8443)
	require.NotNil(t, rule)
	require.Len(t, rule.To, 1)
	require.Equal(t, "10.1.2.0/24", rule.To[0].IPBlock.CIDR)
	require.Nil(t, egress(all, "reconciliation", 443))
	for name, pod := range pods(all) {
		env := map[string]string{}
		for _, c := range pod.Spec.Containers {
			for _, e := range c.Env {
				env[e.Name] = e.Value
			}
		}
		service := strings.TrimPrefix(name, "shop-driftless-")
		if service != "reconciliation" {
			require.Nil(t, egress(all, service, 8443), name)
			require.NotContains(t, fmt.Sprint(pod.Spec), "notify", name)
			continue
		}
		require.Equal(t, "dead_letter,held", env["DRIFTLESS_NOTIFY_KINDS"])
		require.Equal(t, "/etc/driftless/secrets/DRIFTLESS_NOTIFY_URL", env["DRIFTLESS_NOTIFY_URL_FILE"])
		require.Equal(t, "/etc/driftless/secrets/DRIFTLESS_NOTIFY_SECRET", env["DRIFTLESS_NOTIFY_SECRET_FILE"])
		require.NotContains(t, env, "DRIFTLESS_NOTIFY_SLACK_URL_FILE")
		files := map[string]string{}
		for _, source := range pod.Spec.Volumes[1].Projected.Sources {
			files[source.Secret.Items[0].Path] = source.Secret.Name + "/" + source.Secret.Items[0].Key
		}
		require.Equal(t, "notify/notify-url", files["DRIFTLESS_NOTIFY_URL"])
		require.Equal(t, "notify/notify-secret", files["DRIFTLESS_NOTIFY_SECRET"])
	}
}

func TestNotify_OpensThePolicyForATarget(t *testing.T) {
	slack := func(key string) map[string]any {
		return map[string]any{"notify": map[string]any{"slackUrl": map[string]any{key: "slack"}}}
	}
	for name, c := range map[string]struct {
		values map[string]any
		open   bool
	}{
		"no target":       {map[string]any{}, false},
		"kinds alone":     {map[string]any{"notify": map[string]any{"kinds": []any{"held"}}}, false},
		"Slack":           {slack("secretName"), true},
		"a file":          {slack("file"), true},
		"by config":       {map[string]any{"config": map[string]any{"notify_slack_url_file": "/vault/s"}}, true},
		"by environment":  {environment("DRIFTLESS_NOTIFY_URL_FILE"), true},
		"another setting": {environment("DRIFTLESS_NOTIFY_KINDS"), false},
	} {
		t.Run(name, func(t *testing.T) {
			values := valuesOf(t, dir+"/ci/external-values.yaml")
			maps.Copy(values, c.values)
			rendered, err := render(t, values)
			require.NoError(t, err)
			rule := egress(objects(t, rendered), "reconciliation", 443)
			require.Equal(t, c.open, rule != nil)
			if rule != nil {
				require.Empty(t, rule.To)
			}
		})
	}
	values := valuesOf(t, dir+"/ci/external-values.yaml")
	values["notify"] = map[string]any{"url": map[string]any{"secretName": "notify"}}
	_, err := render(t, values)
	require.ErrorContains(t, err, "notify.secret.secretName")
	values["notify"] = map[string]any{"kinds": []any{"helt"}}
	_, err = render(t, values)
	require.ErrorContains(t, err, "kinds")
}

// environment returns values that set a variable of reconciliation.
func environment(name string) map[string]any {
	return map[string]any{"reconciliation": map[string]any{"env": map[string]any{name: "x"}}}
}
