package chart

import (
	"bytes"
	"io/fs"
	"log" //nolint:depguard // Helm warns with it
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestChart_InstallsWithoutWarnings: helm install and helm upgrade print what Helm logs while it loads and renders, and
// what the API server and its admission webhooks answer.
func TestChart_InstallsWithoutWarnings(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	each(t, func(t *testing.T, _ map[string]any, all []object) {
		t.Helper()
		require.Empty(t, logged.String(), "Helm warns")
		scalers := 0
		for _, o := range all {
			if o.kind == "ScaledObject" {
				scalers++
				checkScaler(t, o)
			}
		}
		for name, pod := range pods(all) {
			for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				checkNames(t, name, c)
			}
		}
	})
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		require.Zero(t, entry.Type()&fs.ModeSymlink, "%s is a symbolic link, for which Helm warns", path)
		return nil
	}))
}

// checkScaler: KEDA warns of an interval that nothing uses (https://github.com/kedacore/keda/pull/7271).
func checkScaler(t *testing.T, o object) {
	t.Helper()
	var scaler struct {
		Spec struct {
			PollingInterval  *int `json:"pollingInterval"`
			CooldownPeriod   *int `json:"cooldownPeriod"`
			MinReplicaCount  int  `json:"minReplicaCount"`
			IdleReplicaCount *int `json:"idleReplicaCount"`
			Triggers         []struct {
				UseCachedMetrics bool `json:"useCachedMetrics"`
			} `json:"triggers"`
		} `json:"spec"`
	}
	data, err := yaml.Marshal(o.raw)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, &scaler))
	spec := scaler.Spec
	require.NotEmpty(t, spec.Triggers, o.name)
	if spec.MinReplicaCount == 0 || spec.IdleReplicaCount != nil {
		return
	}
	require.Nil(t, spec.CooldownPeriod, "%s: nothing uses cooldownPeriod", o.name)
	for _, trigger := range spec.Triggers {
		require.True(t, spec.PollingInterval == nil || trigger.UseCachedMetrics, "%s: nothing uses pollingInterval",
			o.name)
	}
}

// checkNames: the API server warns of a variable or port that hides another.
func checkNames(t *testing.T, pod string, c corev1.Container) {
	t.Helper()
	seen := map[string]bool{}
	for _, variable := range c.Env {
		require.False(t, seen[variable.Name], "%s sets %s twice", pod, variable.Name)
		seen[variable.Name] = true
	}
	ports := map[int32]bool{}
	for _, port := range c.Ports {
		require.False(t, ports[port.ContainerPort], "%s has port %d twice", pod, port.ContainerPort)
		ports[port.ContainerPort] = true
	}
}
