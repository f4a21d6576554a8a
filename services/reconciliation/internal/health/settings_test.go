package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/health"
)

func TestSettings_MarksWhatDiffers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	process := func(host string, age time.Duration, settings ...*meshv1.Setting) *meshv1.Process {
		return &meshv1.Process{
			Service: "push", Host: host, Pid: 7, At: timestamppb.New(now.Add(-age)),
			Interval: durationpb.New(2 * time.Second), Settings: settings,
		}
	}
	rate := func(value, origin string) *meshv1.Setting {
		return &meshv1.Setting{Name: "stripe-rate", Value: value, Default: "0", Set: true, Origin: origin}
	}
	key := func(set bool) *meshv1.Setting {
		return &meshv1.Setting{Name: "stripe-api-key", Secret: true, Set: set, Origin: "environment"}
	}
	services, ok := health.Settings([]*meshv1.Process{
		process("a", time.Second, rate("50", "file"), key(true)),
		process("b", time.Second, rate("50", "file"), key(false)),
		process("c", time.Second, rate("50", "environment"), key(true)),
		process("old", time.Second),
		process("lost", time.Hour, rate("7", "flag")),
	}, now, "push")
	require.True(t, ok)
	require.Len(t, services, 1)
	require.EqualValues(t, 3, services[0].GetKnown())
	require.Contains(t, services[0].GetUnknown(), "1 process does not say")
	byName := map[string]*controlv1.EffectiveSetting{}
	for _, s := range services[0].GetSettings() {
		byName[s.GetName()] = s
	}
	require.Len(t, byName, 2)
	require.False(t, byName["stripe-rate"].GetDiffers(), "the same value from another place is no difference")
	require.True(t, byName["stripe-rate"].GetChanged())
	require.Len(t, byName["stripe-rate"].GetValues(), 2)
	require.Equal(t, []string{"a, process 7", "b, process 7"}, byName["stripe-rate"].GetValues()[0].GetProcesses())
	require.True(t, byName["stripe-api-key"].GetDiffers(), "one process has the secret and another does not")
	require.True(t, byName["stripe-api-key"].GetSecret())

	// A setting that only one version has differs. Nothing is known of a service without a process.
	services, ok = health.Settings([]*meshv1.Process{
		process("a", 0, rate("0", "default"), key(true)), process("b", 0, rate("0", "default")),
	}, now, "")
	require.True(t, ok)
	require.Len(t, services, 4)
	for _, s := range services {
		if s.GetService() != "push" {
			require.Equal(t, "no process of "+s.GetService()+" is known to run", s.GetUnknown())
			continue
		}
		require.Empty(t, s.GetUnknown())
		require.False(t, s.GetSettings()[0].GetChanged())
		require.True(t, s.GetSettings()[1].GetDiffers())
	}
	_, ok = health.Settings(nil, now, "nosuch")
	require.False(t, ok)
}
