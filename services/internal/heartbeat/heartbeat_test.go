package heartbeat_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	interval = 100 * time.Millisecond
	patience = 20 * time.Second
)

// process is a process of a service, with a connection of its own.
type process struct {
	mesh *mesh.Mesh
	stop func()
}

// start runs the heartbeat of a process that has a product to work on, and is not ready for the given reason.
func start(t *testing.T, url, service, version, notReady string) *process {
	t.Helper()
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: service, Version: version})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	work := &heartbeat.Work{}
	_, ok := work.Begin("mug", "live")
	require.True(t, ok)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- heartbeat.Run(ctx, heartbeat.Config{
			Service:  service,
			Mesh:     m,
			Interval: interval,
			Ready: func(context.Context) error {
				if notReady == "" {
					return nil
				}
				return errors.New(notReady)
			},
			Describe: func(p *meshv1.Process) { work.Describe(p); p.Doing = "syncs 1 product" },
		})
	}()
	stop := func() {
		cancel()
		require.NoError(t, <-done)
	}
	return &process{m, stop}
}

func TestRun_AnnouncesProcesses(t *testing.T) {
	t.Parallel()
	url, _ := localtest.NATS(t)
	m, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, topology.Apply(t.Context(), m.JetStream(), topology.Options{}))
	stores := state.New(m)
	list := func() map[string]*meshv1.Process {
		processes, _, err := stores.Processes(t.Context(), topology.DefaultAccount)
		require.NoError(t, err)
		byVersion := map[string]*meshv1.Process{}
		for _, p := range processes {
			byVersion[p.GetService()+" "+p.GetVersion()] = p
		}
		return byVersion
	}
	isRunning := func(name string) bool {
		processes, now, err := stores.Processes(t.Context(), topology.DefaultAccount)
		require.NoError(t, err)
		for _, p := range processes {
			if p.GetService()+" "+p.GetVersion() == name {
				return state.IsRunning(p, now)
			}
		}
		return false
	}

	first := start(t, url, topology.Push, "0.9.0", "")
	second := start(t, url, topology.Push, "0.9.1", "NATS: bucket LINK does not exist")
	require.Eventually(t, func() bool { return isRunning("push 0.9.0") && isRunning("push 0.9.1") }, patience, interval)
	p := list()["push 0.9.0"]
	require.Equal(t, "syncs 1 product", p.GetDoing())
	require.EqualValues(t, 1, p.GetWorking())
	require.Equal(t, "mug", p.GetWork()[0].GetProductId())
	require.Equal(t, "live", p.GetWork()[0].GetLane())
	require.Empty(t, p.GetNotReady())
	require.False(t, p.GetStartedAt().AsTime().After(p.GetAt().AsTime()))
	require.Equal(t, "NATS: bucket LINK does not exist", list()["push 0.9.1"].GetNotReady())

	// A process that stops says so.
	second.stop()
	stopped := list()["push 0.9.1"]
	require.NotNil(t, stopped.GetStoppedAt())
	require.Empty(t, stopped.GetWork())
	require.False(t, isRunning("push 0.9.1"))
	require.False(t, state.IsLost(stopped, stopped.GetStoppedAt().AsTime().Add(time.Hour)))

	// One that is killed does not, and is missed.
	first.mesh.Conn().Close()
	require.Eventually(t, func() bool { return !isRunning("push 0.9.0") }, patience, interval)
	processes, now, err := stores.Processes(t.Context(), topology.DefaultAccount)
	require.NoError(t, err)
	require.Len(t, processes, 2)
	require.True(t, state.IsLost(list()["push 0.9.0"], now))
	first.stop()
}

func TestWork_NamesProductsThatTakeLongest(t *testing.T) {
	t.Parallel()
	work := &heartbeat.Work{}
	var ends []func()
	for _, product := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		end, ok := work.Begin(product, "bulk")
		require.True(t, ok)
		ends = append(ends, end)
	}
	_, ok := work.Begin("a", "live")
	require.False(t, ok, "a product has one worker")
	ends[0]()

	p := &meshv1.Process{}
	work.Describe(p)
	require.EqualValues(t, 11, p.GetWorking())
	require.Len(t, p.GetWork(), 10)
	require.Equal(t, "b", p.GetWork()[0].GetProductId())
	require.EqualValues(t, 1, work.Done())
}
