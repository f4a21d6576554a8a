package chart

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// /metrics, /healthz and /readyz are on the same ports and need no token, so routes must not reach them.
func TestRoutes_ReachOnlyTheirPath(t *testing.T) {
	values := valuesOf(t, dir+"/ci/production-values.yaml")
	parent := []any{map[string]any{"name": "public"}}
	for _, what := range []string{"webhook", "control"} {
		values[what] = map[string]any{
			"ingress":   map[string]any{"enabled": true, "host": what + ".example"},
			"httpRoute": map[string]any{"enabled": true, "parentRefs": parent},
		}
	}
	values["console"].(map[string]any)["httpRoute"] = map[string]any{"enabled": true, "parentRefs": parent}
	rendered, err := render(t, values)
	require.NoError(t, err)
	want := map[string]string{
		"pull":           "Exact /stripe/webhook",
		"reconciliation": "Prefix /driftless.control.v1.ControlService/",
		"console":        "Prefix /console",
	}
	routes := 0
	check := func(service, kind, path string) {
		routes++
		component := service[strings.LastIndex(service, "-")+1:]
		require.Equal(t, want[component], strings.TrimPrefix(kind, "Path")+" "+path, service)
	}
	for _, o := range objects(t, rendered) {
		switch d := o.decoded.(type) {
		case *networkingv1.Ingress:
			require.Nil(t, d.Spec.DefaultBackend, o.name)
			for _, rule := range d.Spec.Rules {
				for _, p := range rule.HTTP.Paths {
					check(p.Backend.Service.Name, string(*p.PathType), p.Path)
				}
			}
		case *gateway.HTTPRoute:
			for _, rule := range d.Spec.Rules {
				require.NotEmpty(t, rule.Matches, "%s: without a match a rule takes every path", o.name)
				for _, m := range rule.Matches {
					check(string(rule.BackendRefs[0].Name), string(*m.Path.Type), *m.Path.Value)
				}
			}
		}
	}
	require.Equal(t, 6, routes)
}

// A route without parents is valid for Kubernetes, and leads nowhere.
func TestRoutes_NeedParents(t *testing.T) {
	for _, what := range []string{"webhook", "control"} {
		for name, parents := range map[string]any{"none": nil, "empty": []any{}} {
			t.Run(what+"/"+name, func(t *testing.T) {
				values := valuesOf(t, dir+"/ci/production-values.yaml")
				route := map[string]any{"enabled": true}
				if parents != nil {
					route["parentRefs"] = parents
				}
				values[what] = map[string]any{"httpRoute": route}
				_, err := render(t, values)
				require.ErrorContains(t, err, "set "+what+".httpRoute.parentRefs to your Gateway")
			})
		}
	}
}

// The test checks from the other side which pod may reach which port of NATS.
func TestBundledNATS_AdmitsOnlyServices(t *testing.T) {
	for apis, monitored := range map[string]bool{"": false, "keda.sh/v1alpha1": true} {
		values := valuesOf(t, dir+"/ci/trial-values.yaml")
		values["autoscaling"] = map[string]any{"mode": "auto"}
		rendered, err := render(t, values, apis)
		require.NoError(t, err)
		all := objects(t, rendered)
		var policy *networkingv1.NetworkPolicy
		for _, o := range all {
			if d, ok := o.decoded.(*networkingv1.NetworkPolicy); ok && o.name == "shop-driftless-nats" {
				policy = d
			}
		}
		require.NotNil(t, policy)
		both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
		require.ElementsMatch(t, both, policy.Spec.PolicyTypes)
		require.Empty(t, policy.Spec.Egress)
		// reaches reports whether a pod of this or another namespace may reach a port.
		reaches := func(pod map[string]string, sameNamespace bool, port int) bool {
			for _, rule := range policy.Spec.Ingress {
				require.NotEmpty(t, rule.Ports)
				require.NotEmpty(t, rule.From, "without peers a rule takes everybody")
				for _, peer := range rule.From {
					require.NotNil(t, peer.PodSelector)
					selector, err := metav1.LabelSelectorAsSelector(peer.PodSelector)
					require.NoError(t, err)
					from := selector.Matches(labels.Set(pod)) && (sameNamespace || peer.NamespaceSelector != nil)
					if from && rule.Ports[0].Port.IntValue() == port {
						return true
					}
				}
			}
			return false
		}
		for name, pod := range pods(all) {
			client := !strings.HasSuffix(name, "-nats") &&
				// The console and helm test ask the APIs.
				!strings.HasSuffix(name, "-console") && !strings.HasSuffix(name, "-status")
			require.Equal(t, client, reaches(pod.Labels, true, 4222), name)
			require.False(t, reaches(pod.Labels, false, 4222), "%s of another namespace", name)
			require.False(t, reaches(pod.Labels, true, 8222), name)
		}
		require.False(t, reaches(map[string]string{"app": "shop"}, true, 4222), "another pod of the namespace")
		require.False(t, reaches(map[string]string{"app": "keda-operator"}, false, 4222))
		require.Equal(t, monitored, reaches(map[string]string{"app": "keda-operator"}, false, 8222))
	}
}
