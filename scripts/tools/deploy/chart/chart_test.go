package chart

import (
	"bufio"
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
	return loadFrom(t, dir)
}

// kubeVersion is the version of Kubernetes for which the chart is rendered and linted.
var kubeVersion = chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"}

func valuesOf(t *testing.T, file string) map[string]any {
	t.Helper()
	values, err := chartutil.ReadValuesFile(file)
	require.NoError(t, err)
	return values
}

// render returns the manifests by template, and the notes.
func render(t *testing.T, values map[string]any, apis ...string) (map[string]string, error) {
	t.Helper()
	return renderChart(load(t), values, apis...)
}

func renderChart(c *chart.Chart, values map[string]any, apis ...string) (map[string]string, error) {
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = kubeVersion
	caps.APIVersions = append(caps.APIVersions, apis...)
	all, err := chartutil.ToRenderValues(c, values,
		chartutil.ReleaseOptions{Name: "shop", Namespace: "sync", Revision: 1, IsInstall: true}, caps)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: false}.Render(c, all)
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
		linted := lint.AllWithKubeVersion(dir, valuesOf(t, file), "sync", &kubeVersion)
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

func TestDeployments_HaveProbesAndGracePeriod(t *testing.T) {
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
		// selected returns how many pods a selector finds, and the names and numbers of their ports.
		selected := func(selector map[string]string) (n int, ports []string) {
			for _, pod := range pods(all) {
				if labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
					n++
					for _, c := range pod.Spec.Containers {
						for _, p := range c.Ports {
							ports = append(ports, p.Name, fmt.Sprint(p.ContainerPort))
						}
					}
				}
			}
			return n, ports
		}
		for _, o := range all {
			switch d := o.decoded.(type) {
			case *corev1.Service:
				_, ports := selected(d.Spec.Selector)
				for _, p := range d.Spec.Ports {
					require.Contains(t, ports, p.TargetPort.String(), o.name)
				}
			case *networkingv1.NetworkPolicy:
				found, ports := selected(d.Spec.PodSelector.MatchLabels)
				require.Positive(t, found, o.name)
				for _, rule := range d.Spec.Ingress {
					for _, p := range rule.Ports {
						require.Contains(t, ports, p.Port.String(), o.name)
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
