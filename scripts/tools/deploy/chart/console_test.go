package chart

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

const consoleName = "shop-driftless-console"

// consolePod returns the console's pod, and its variables with their values.
func consolePod(t *testing.T, all []object) (corev1.PodTemplateSpec, map[string]string) {
	t.Helper()
	pod, ok := pods(all)[consoleName]
	require.True(t, ok, "the release has no console")
	env := map[string]string{}
	for _, e := range pod.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	return pod, env
}

// consoleValues returns a set of values with other values of the console.
func consoleValues(t *testing.T, set string, console map[string]any) map[string]any {
	t.Helper()
	values := valuesOf(t, dir+"/ci/"+set+"-values.yaml")
	values["console"] = console
	return values
}

// The console answers browsers. It has no credentials but its own, whatever the other services have.
func TestConsole_HasNoCredentialsOfOthers(t *testing.T) {
	own := []string{
		"DRIFTLESS_CONSOLE_SESSION_KEY_FILE", "DRIFTLESS_OPENID_CLIENT_SECRET_FILE", "DRIFTLESS_CONSOLE_TOKEN_FILE",
	}
	// A Secret may not be one of these. Volumes of a CSI driver are among them.
	others := `catalog|ledger|nats|stripe-|"stripe"|signing|notify|vault|driftless-token|users`
	each(t, func(t *testing.T, _ map[string]any, all []object) {
		t.Helper()
		pod, env := consolePod(t, all)
		for name := range env {
			require.NotRegexp(t, `^(NATS|DATABASE|LEDGER|STRIPE)_|SIGNING|NOTIFY`, name)
			if strings.HasSuffix(name, "_FILE") {
				require.Contains(t, own, name)
			}
		}
		for _, e := range pod.Spec.Containers[0].Env {
			// The headers are those of the collector.
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				require.Equal(t, "OTEL_EXPORTER_OTLP_HEADERS", e.Name)
			}
		}
		for _, v := range pod.Spec.Volumes {
			require.NotRegexp(t, others, v.Name)
			if v.Projected != nil {
				for _, source := range v.Projected.Sources {
					require.NotRegexp(t, others, source.Secret.Name)
				}
			}
			require.Nil(t, v.Secret, v.Name)
		}
		require.Equal(t, "http://shop-driftless-reconciliation:8082", env["DRIFTLESS_CONTROL_URL"])
		require.Equal(t, "http://shop-driftless-ingestion:8080", env["DRIFTLESS_INGEST_URL"])
		require.Equal(t, ":8084", env["DRIFTLESS_CONSOLE_ADDR"])
	})
}

func TestConsole_MountsItsSecrets(t *testing.T) {
	rendered, err := render(t, valuesOf(t, dir+"/ci/production-values.yaml"))
	require.NoError(t, err)
	pod, env := consolePod(t, objects(t, rendered))
	files := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			for _, item := range source.Secret.Items {
				files["/etc/driftless/secrets/"+item.Path] = source.Secret.Name + "/" + item.Key
			}
		}
	}
	require.Len(t, files, 3)
	require.Equal(t, "console/session-key", files[env["DRIFTLESS_CONSOLE_SESSION_KEY_FILE"]])
	require.Equal(t, "console/client-secret", files[env["DRIFTLESS_OPENID_CLIENT_SECRET_FILE"]])
	require.Equal(t, "console/token", files[env["DRIFTLESS_CONSOLE_TOKEN_FILE"]])
	require.Equal(t, "https://driftless.example.com/console", env["DRIFTLESS_CONSOLE_URL"])
	require.Equal(t, "https://id.example.com", env["DRIFTLESS_OPENID_ISSUER"])
	require.Equal(t, "driftless", env["DRIFTLESS_OPENID_CLIENT_ID"])
	require.Equal(t, "pricing=approve,sre=operate,*=read", env["DRIFTLESS_OPENID_ROLES"])

	rendered, err = render(t, valuesOf(t, dir+"/ci/files-values.yaml"))
	require.NoError(t, err)
	pod, env = consolePod(t, objects(t, rendered))
	require.Equal(t, "/console/session-key", env["DRIFTLESS_CONSOLE_SESSION_KEY_FILE"])
	require.Equal(t, "/console", pod.Spec.Containers[0].VolumeMounts[1].MountPath)
}

// policyOf returns the network policy of a service.
func policyOf(t *testing.T, all []object, service string) *networkingv1.NetworkPolicy {
	t.Helper()
	for _, o := range all {
		if policy, ok := o.decoded.(*networkingv1.NetworkPolicy); ok && o.name == "shop-driftless-"+service {
			return policy
		}
	}
	require.Fail(t, "no network policy", service)
	return nil
}

// selects reports whether one of the peers is a pod of this namespace with these labels.
func selects(t *testing.T, peers []networkingv1.NetworkPolicyPeer, pod labels.Set) bool {
	t.Helper()
	return slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.PodSelector == nil || p.NamespaceSelector != nil {
			return false
		}
		selector, err := metav1.LabelSelectorAsSelector(p.PodSelector)
		require.NoError(t, err)
		return selector.Matches(pod)
	})
}

func TestConsole_ReachesOnlyTheAPIs(t *testing.T) {
	rendered, err := render(t, valuesOf(t, dir+"/ci/production-values.yaml"))
	require.NoError(t, err)
	all := objects(t, rendered)
	every := pods(all)
	console := labels.Set(every[consoleName].Labels)
	var open []string
	for _, rule := range policyOf(t, all, "console").Spec.Egress {
		for _, p := range rule.Ports {
			if len(rule.To) == 0 {
				open = append(open, p.Port.String())
			}
		}
	}
	require.ElementsMatch(t, []string{"53", "53", "443", "4317", "4318"}, open, "names, OpenID and the collector")
	for service, port := range map[string]int{"ingestion": 8080, "reconciliation": 8082, "pull": 8081, "push": 8083} {
		api := service == "ingestion" || service == "reconciliation"
		rule := egress(all, "console", port)
		require.Equal(t, api, rule != nil, service)
		if api {
			pod := labels.Set(every["shop-driftless-"+service].Labels)
			require.True(t, selects(t, rule.To, pod), "the console may not reach %s", service)
			require.False(t, selects(t, rule.To, labels.Set(every["shop-driftless-push"].Labels)), service)
		}
		// In this set of values only the pods of the ingress reach the services otherwise.
		ingress := policyOf(t, all, service).Spec.Ingress
		require.Len(t, ingress, 1, service)
		require.Equal(t, api, selects(t, ingress[0].From, console), service)
	}
	require.False(t, selects(t, policyOf(t, all, "console").Spec.Ingress[0].From, console))
}

func TestConsole_OpensThePolicyForOpenID(t *testing.T) {
	for name, c := range map[string]struct {
		console, config map[string]any
		open            bool
	}{
		"no provider": {nil, nil, false},
		"a provider": {map[string]any{"openid": map[string]any{
			"issuer": "https://id.example.com", "clientId": "driftless", "roles": []any{"*=read"},
		}}, nil, true},
		"by config":      {nil, map[string]any{"openid_issuer": "https://id.example.com"}, true},
		"by environment": {map[string]any{"env": map[string]any{"DRIFTLESS_OPENID_ISSUER": "https://id"}}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			console := map[string]any{
				"url":   "https://ops.example.com",
				"token": map[string]any{"secretName": "console"},
			}
			maps.Copy(console, c.console)
			values := consoleValues(t, "external", console)
			values["config"] = c.config
			rendered, err := render(t, values)
			require.NoError(t, err)
			require.Equal(t, c.open, egress(objects(t, rendered), "console", 443) != nil)
		})
	}
}

func TestConsole_CanBeLeftOut(t *testing.T) {
	rendered, err := render(t, consoleValues(t, "production", map[string]any{"enabled": false}))
	require.NoError(t, err)
	for _, o := range objects(t, rendered) {
		require.NotEqual(t, consoleName, o.name, o.kind)
		if policy, ok := o.decoded.(*networkingv1.NetworkPolicy); ok {
			require.NotContains(t, fmt.Sprint(policy.Spec), "console", o.name)
		}
	}
	require.NotContains(t, rendered["driftless/templates/NOTES.txt"], "onsole")
}

// An address has one place: the name and the path of a route are those that the console is told.
func TestConsole_RoutesFollowItsAddress(t *testing.T) {
	rendered, err := render(t, valuesOf(t, dir+"/ci/files-values.yaml"))
	require.NoError(t, err)
	routes := 0
	for _, o := range objects(t, rendered) {
		route, ok := o.decoded.(*gateway.HTTPRoute)
		if !ok || o.name != consoleName {
			continue
		}
		routes++
		require.Equal(t, []gateway.Hostname{"ops.example.com"}, route.Spec.Hostnames)
		require.Equal(t, "/driftless", *route.Spec.Rules[0].Matches[0].Path.Value)
	}
	require.Equal(t, 1, routes)
}

func TestConsole_WrongValuesAreRefusedWithReason(t *testing.T) {
	ingress := map[string]any{"enabled": true}
	openID := map[string]any{"issuer": "https://id.example.com", "clientId": "driftless", "roles": []any{"*=read"}}
	secret := map[string]any{"secretName": "console"}
	url := "https://ops.example.com/driftless"
	for name, c := range map[string]struct {
		set     string
		console map[string]any
		says    string
	}{
		"two replicas without a key": {"external", map[string]any{"replicas": 2}, "console.sessionKey.secretName"},
		"open to everybody": {
			"external", map[string]any{"ingress": ingress, "url": url}, "token.secretName or tokens.secretName",
		},
		"an Ingress without an address": {"production", map[string]any{"ingress": ingress}, "set console.url"},
		"an Ingress with every path": {
			"production", map[string]any{"ingress": ingress, "url": "https://ops.example.com/"}, "with a path",
		},
		"an Ingress for metrics": {
			"production", map[string]any{"ingress": ingress, "url": "https://ops.example.com/metrics"}, "/metrics",
		},
		"an Ingress without a console": {
			"production", map[string]any{"ingress": ingress, "url": url, "enabled": false}, "not console.enabled",
		},
		"a route without a Gateway": {
			"production", map[string]any{"httpRoute": ingress, "url": url}, "console.httpRoute.parentRefs",
		},
		"OpenID without an address": {
			"production", map[string]any{"openid": openID, "token": secret}, "set console.url",
		},
		"OpenID without a token": {
			"production", map[string]any{"openid": openID, "url": url}, "console.token.secretName",
		},
		"OpenID without roles": {"production", map[string]any{
			"openid": map[string]any{"issuer": "https://id.example.com", "clientId": "driftless"},
			"token":  secret, "url": url,
		}, "console.openid.roles"},
		"a role that does not exist": {
			"production", map[string]any{"openid": map[string]any{"roles": []any{"sre=admin"}}}, "roles",
		},
		"an address that is none": {"production", map[string]any{"url": "ops.example.com/driftless"}, "url"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render(t, consoleValues(t, c.set, c.console))
			require.ErrorContains(t, err, c.says)
		})
	}
	for _, key := range []string{"console_session_key", "console_token", "openid_client_secret"} {
		values := valuesOf(t, dir+"/ci/external-values.yaml")
		values["config"] = map[string]any{key: "x"}
		_, err := render(t, values)
		require.ErrorContains(t, err, "config", key)
	}
}

func TestNotes_BeginWithTheConsole(t *testing.T) {
	notes := func(set string) string {
		rendered, err := render(t, valuesOf(t, dir+"/ci/"+set+"-values.yaml"))
		require.NoError(t, err)
		lines := strings.SplitN(rendered["driftless/templates/NOTES.txt"], "\n", 9)
		return strings.Join(lines[:8], "\n")
	}
	require.Contains(t, notes("production"), "\nThe console: https://driftless.example.com/console\n")
	require.Contains(t, notes("files"), "\nThe console: https://ops.example.com/driftless\n")
	trial := notes("trial")
	require.Contains(t, trial, "port-forward service/shop-driftless-console 8084\n  http://127.0.0.1:8084\n")
	require.Contains(t, trial, "set console.sessionKey.secretName")
	require.NotContains(t, notes("production"), "sessionKey")
}
