package chart

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const (
	root = "../../../.."
	dir  = root + "/deploy/helm/driftless"
)

var update = flag.Bool("update", false, "write the chart's README, alerts and dashboard")

// typed has every kind that the chart uses but KEDA's, with the fields of its API.
var typed = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, gateway.Install, monitoring.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(dir)
	require.NoError(t, err)
	return c
}

func valuesOf(t *testing.T, file string) map[string]any {
	t.Helper()
	values, err := chartutil.ReadValuesFile(file)
	require.NoError(t, err)
	return values
}

// render returns the manifests by template, and the notes.
func render(t *testing.T, values map[string]any, apis ...string) (map[string]string, error) {
	t.Helper()
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"}
	caps.APIVersions = append(caps.APIVersions, apis...)
	all, err := chartutil.ToRenderValues(load(t), values,
		chartutil.ReleaseOptions{Name: "shop", Namespace: "sync", Revision: 1, IsInstall: true}, caps)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: false}.Render(load(t), all)
}

// object is an object of a manifest, as it is written and as the API server decodes it.
type object struct {
	kind, name string
	raw        map[string]any
	decoded    runtime.Object
}

// objects decodes manifests. A field that the API does not have is an error, as with kubectl apply --validate=strict.
func objects(t *testing.T, rendered map[string]string) []object {
	t.Helper()
	strict := serializer.NewCodecFactory(typed, serializer.EnableStrict).UniversalDeserializer()
	var out []object
	for _, template := range slices.Sorted(maps.Keys(rendered)) {
		if filepath.Base(template) == "NOTES.txt" {
			continue
		}
		reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(rendered[template])))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			raw := map[string]any{}
			require.NoError(t, yaml.UnmarshalStrict(document, &raw), template)
			if len(raw) == 0 {
				continue
			}
			o := object{kind: raw["kind"].(string), name: raw["metadata"].(map[string]any)["name"].(string), raw: raw}
			if o.kind != "ScaledObject" {
				o.decoded, _, err = strict.Decode(document, nil, nil)
				require.NoError(t, err, "%s: %s %s", template, o.kind, o.name)
			}
			out = append(out, o)
		}
	}
	return out
}

var valueSets, _ = filepath.Glob(dir + "/ci/*-values.yaml")

// each runs a test with the manifests of every set of values, with KEDA in the cluster and without.
func each(t *testing.T, test func(t *testing.T, values map[string]any, all []object)) {
	t.Helper()
	require.GreaterOrEqual(t, len(valueSets), 4)
	for _, file := range valueSets {
		for _, apis := range [][]string{nil, {"keda.sh/v1alpha1"}} {
			t.Run(strings.TrimSuffix(filepath.Base(file), "-values.yaml")+strings.Join(apis, ""), func(t *testing.T) {
				values := valuesOf(t, file)
				rendered, err := render(t, values, apis...)
				require.NoError(t, err)
				test(t, values, objects(t, rendered))
			})
		}
	}
}

func TestChart_PassesLint(t *testing.T) {
	for _, file := range valueSets {
		linted := lint.AllWithKubeVersion(dir, valuesOf(t,
			file), "sync", &chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"})
		for _, m := range linted.Messages {
			require.Less(t, m.Severity, support.WarningSev, "%s: %s", file, m)
		}
	}
}

func TestManifests_DecodeStrictly(t *testing.T) {
	each(t, func(t *testing.T, _ map[string]any, all []object) {
		t.Helper()
		seen := map[string]bool{}
		for _, o := range all {
			id := o.kind + "/" + o.name
			require.False(t, seen[id], "%s is there twice", id)
			seen[id] = true
			require.Equal(t, "sync", o.raw["metadata"].(map[string]any)["namespace"], id)
			require.LessOrEqual(t, len(o.name), 63, id)
		}
		for _, service := range []string{"ingestion", "push", "pull", "reconciliation", "console"} {
			require.True(t, seen["Deployment/shop-driftless-"+service])
			require.True(t, seen["Service/shop-driftless-"+service])
			require.True(t, seen["PodDisruptionBudget/shop-driftless-"+service])
		}
	})
}

// pods returns the pod templates of the chart by the name of their object.
func pods(all []object) map[string]corev1.PodTemplateSpec {
	out := map[string]corev1.PodTemplateSpec{}
	for _, o := range all {
		switch d := o.decoded.(type) {
		case *appsv1.Deployment:
			out[o.name] = d.Spec.Template
		case *appsv1.StatefulSet:
			for _, claim := range d.Spec.VolumeClaimTemplates {
				d.Spec.Template.Spec.Volumes = append(d.Spec.Template.Spec.Volumes, corev1.Volume{
					Name: claim.Name,
					VolumeSource: corev1.VolumeSource{
						PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name},
					},
				})
			}
			out[o.name] = d.Spec.Template
		case *batchv1.Job:
			out[o.name] = d.Spec.Template
		case *corev1.Pod:
			out[o.name] = corev1.PodTemplateSpec{ObjectMeta: d.ObjectMeta, Spec: d.Spec}
		}
	}
	return out
}

func TestPods_MeetRestrictedStandard(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	each(t, func(t *testing.T, _ map[string]any, all []object) {
		t.Helper()
		for name, pod := range pods(all) {
			for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
				require.True(t, result.Allowed, "%s: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail)
			}
			require.False(t, *pod.Spec.AutomountServiceAccountToken, "%s has a token that it does not need", name)
			for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
				require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, "%s/%s", name, c.Name)
				require.NotEmpty(t, c.Resources.Requests, "%s/%s", name, c.Name)
				require.False(t, c.Resources.Limits.Memory().IsZero(), "%s/%s", name, c.Name)
				require.Regexp(t, `^[^:]+(:[0-9]+/[^:]+)?:[^:]+$`, c.Image, "%s/%s: an image without a version", name,
					c.Name)
				require.NotContains(t, c.Image, ":latest")
				volumes := map[string]bool{}
				for _, v := range pod.Spec.Volumes {
					volumes[v.Name] = true
				}
				for _, m := range c.VolumeMounts {
					require.True(t, volumes[m.Name], "%s/%s mounts %s, which is no volume", name, c.Name, m.Name)
				}
			}
		}
	})
}

func TestPods_StopAndStartInOrder(t *testing.T) {
	each(t, func(t *testing.T, _ map[string]any, all []object) {
		t.Helper()
		for _, o := range all {
			d, ok := o.decoded.(*appsv1.Deployment)
			if !ok {
				continue
			}
			pod := d.Spec.Template.Spec
			c := pod.Containers[0]
			require.NotNil(t, c.StartupProbe, o.name)
			require.NotNil(t, c.LivenessProbe, o.name)
			require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path, o.name)
			stop := int64(0)
			if c.Lifecycle != nil {
				stop = c.Lifecycle.PreStop.Sleep.Seconds
			}
			// Running handlers have 10 s, requests 5 s, the last spans 5 s.
			require.GreaterOrEqual(t, *pod.TerminationGracePeriodSeconds, stop+20, o.name)
			require.True(t,
				labels.SelectorFromSet(d.Spec.Selector.MatchLabels).Matches(labels.Set(d.Spec.Template.Labels)), o.name)
		}
	})
}

func TestSelectors_MatchPods(t *testing.T) {
	each(t, func(t *testing.T, _ map[string]any, all []object) {
		t.Helper()
		found := func(selector map[string]string) (ports []string) {
			for _, pod := range pods(all) {
				if labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
					ports = append(ports, "pod")
					for _, c := range pod.Spec.Containers {
						for _, p := range c.Ports {
							ports = append(ports, p.Name, fmt.Sprint(p.ContainerPort))
						}
					}
				}
			}
			return ports
		}
		for _, o := range all {
			switch d := o.decoded.(type) {
			case *corev1.Service:
				for _, p := range d.Spec.Ports {
					require.Contains(t, found(d.Spec.Selector), p.TargetPort.String(), o.name)
				}
			case *networkingv1.NetworkPolicy:
				require.Contains(t, found(d.Spec.PodSelector.MatchLabels), "pod", o.name)
				for _, rule := range d.Spec.Ingress {
					for _, p := range rule.Ports {
						require.Contains(t, found(d.Spec.PodSelector.MatchLabels), p.Port.String(), o.name)
					}
				}
			}
		}
	})
}

// Each service can have several ready replicas at once, standbys of ingestion included.
func TestDeployments_KeepReadyPodsDuringUpdate(t *testing.T) {
	each(t, func(t *testing.T, _ map[string]any, all []object) {
		t.Helper()
		updated := 0
		for _, o := range all {
			d, ok := o.decoded.(*appsv1.Deployment)
			if !ok {
				continue
			}
			updated++
			require.Equal(t, appsv1.RollingUpdateDeploymentStrategyType, d.Spec.Strategy.Type, o.name)
			require.Zero(t, d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue(), o.name)
			require.Positive(t, d.Spec.Strategy.RollingUpdate.MaxSurge.IntValue(), o.name)
		}
		require.Equal(t, 5, updated)
	})
}

// The alerts and the dashboard in the chart are copies of those of the repository. Links would make Helm warn at each
// installation.
func TestAlertsAndDashboard_EqualThoseOfRepository(t *testing.T) {
	rendered, err := render(t, valuesOf(t, dir+"/ci/production-values.yaml"))
	require.NoError(t, err)
	for _, name := range []string{"alerts/driftless.rules.yaml", "grafana/driftless.json"} {
		want, err := os.ReadFile(root + "/deploy/" + name)
		require.NoError(t, err)
		if *update {
			require.NoError(t, os.WriteFile(dir+"/files/"+name, want, 0o600))
		}
		have, err := os.ReadFile(dir + "/files/" + name)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "run scripts/test-helm -update")
	}
	var rules, dashboards int
	for _, o := range objects(t, rendered) {
		switch made := o.decoded.(type) {
		case *monitoring.PrometheusRule:
			for _, group := range made.Spec.Groups {
				rules += len(group.Rules)
			}
		case *corev1.ConfigMap:
			if made.Labels["grafana_dashboard"] == "" {
				continue
			}
			dashboards++
			want, err := os.ReadFile(root + "/deploy/grafana/driftless.json")
			require.NoError(t, err)
			require.JSONEq(t, string(want), made.Data["driftless.json"])
		}
	}
	require.Greater(t, rules, 20)
	require.Equal(t, 1, dashboards)
}

// A process that reads the files of one service must not be able to sign as another.
func TestSigningKeys_EachServiceMountsOnlyItsOwn(t *testing.T) {
	rendered, err := render(t, valuesOf(t, dir+"/ci/production-values.yaml"))
	require.NoError(t, err)
	signing := 0
	for name, pod := range pods(objects(t, rendered)) {
		var keys []string
		for _, v := range pod.Spec.Volumes {
			if v.Projected == nil {
				continue
			}
			for _, s := range v.Projected.Sources {
				if s.Secret != nil && s.Secret.Name == "signing-keys" {
					for _, item := range s.Secret.Items {
						keys = append(keys, item.Key)
					}
				}
			}
		}
		if len(keys) == 0 {
			continue
		}
		signing++
		require.Len(t, keys, 1, name)
		require.True(t, strings.HasSuffix(name, "-"+strings.TrimSuffix(keys[0], ".key")), "%s mounts %s", name, keys[0])
		require.Contains(t, fmt.Sprint(pod.Spec.Containers[0].Env), "ingestion=driftless_public_key_v1_ingestion,push=",
			name)
	}
	require.Equal(t, 4, signing)
}

func TestEnvironment_SetsOnlyKnownVariables(t *testing.T) {
	configuration, err := os.ReadFile(root + "/docs/configuration.md")
	require.NoError(t, err)
	known := map[string]bool{
		// Variables of commands, of Go and OpenTelemetry, and parts of other values.
		"NATS_REPLICAS": true, "NATS_PLACEMENT_TAGS": true, "NATS_PLACEMENT_CLUSTER": true,
		"DRIFTLESS_CATALOG_ROLE": true, "DRIFTLESS_LEDGER_ROLE": true,
		"DRIFTLESS_CONTROL_URL": true, "DRIFTLESS_INGEST_URL": true, "GOMEMLIMIT": true,
		"OTEL_EXPORTER_OTLP_ENDPOINT": true, "OTEL_EXPORTER_OTLP_HEADERS": true,
		"OTEL_RESOURCE_ATTRIBUTES": true, "POD_NAME": true, "NODE_NAME": true, "NATS_USER": true, "NATS_PASSWORD": true,
	}
	for _, name := range regexp.MustCompile("`([A-Z][A-Z_]+)`").FindAllSubmatch(configuration, -1) {
		known[string(name[1])] = true
	}
	each(t, func(t *testing.T, _ map[string]any, all []object) {
		t.Helper()
		for name, pod := range pods(all) {
			if strings.HasSuffix(name, "-nats") {
				continue
			}
			for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
				set := map[string]bool{}
				for _, e := range c.Env {
					require.False(t, set[e.Name], "%s/%s sets %s twice", name, c.Name, e.Name)
					set[e.Name] = true
					require.True(t, known[strings.TrimSuffix(e.Name, "_FILE")], "%s/%s sets %s, which nothing reads",
						name, c.Name, e.Name)
					// A variable must be set before a value refers to it.
					for _, ref := range regexp.MustCompile(`\$\(([A-Z_]+)\)`).FindAllStringSubmatch(e.Value, -1) {
						require.True(t, set[ref[1]], "%s/%s: %s refers to %s, which is not set before it", name, c.Name,
							e.Name, ref[1])
					}
				}
			}
		}
	})
}

// Secrets come from existing Secrets and files. Only the NATS for trials creates its own passwords.
func TestManifests_HaveNoSecrets(t *testing.T) {
	each(t, func(t *testing.T, values map[string]any, all []object) {
		t.Helper()
		for _, o := range all {
			if o.kind == "Secret" {
				require.Equal(t, "shop-driftless-nats-users", o.name)
				require.Contains(t, values["nats"], "bundled")
			}
		}
	})
}

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
				own := section(string(permissions), service)
				require.Contains(t, own,
					fmt.Sprintf("\"$JS.API.CONSUMER.MSG.NEXT.%s.%s-{account}\"", m["stream"], consumer),
					"%s does not consume that", service)
				require.IsType(t, "", m["lagThreshold"], "KEDA takes strings only")
			}
			own := section(string(permissions), service)
			consumers := strings.Count(own, "MSG.NEXT.") - strings.Count(own, "MSG.NEXT.KV_OBSERVED.*") -
				strings.Count(denied(string(permissions), service), "MSG.NEXT.")
			require.Len(t, spec["triggers"], consumers, "%s has consumers that the scaler does not know", service)
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

func denied(permissions, service string) string {
	_, rest, found := strings.Cut(section(permissions, service), "deny:")
	if !found {
		return ""
	}
	return rest
}

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
