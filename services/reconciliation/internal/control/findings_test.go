package control

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/health"
)

func reportServices(t *testing.T, services []*controlv1.ServiceStatus, consumers []mesh.ConsumerStatus) doctor.Report {
	t.Helper()
	covers := []string{doctor.ServicesRunning, doctor.ServicesReady}
	return doctor.Run(t.Context(), []doctor.Probe{{
		Name: "test", Covers: covers,
		Run: func(_ context.Context, r *doctor.Recorder) error {
			judgeServices(r, services, consumers)
			return nil
		},
	}}, doctor.Options{Selection: doctor.Selection{Only: covers}})
}

func TestJudgeServices_ARecordAloneDoesNotProveThatAServiceWorks(t *testing.T) {
	t.Parallel()
	push := []*controlv1.ServiceStatus{{Service: topology.Push, Running: 1}}
	for name, c := range map[string]struct {
		change func(*mesh.ConsumerStatus)
		want   string
	}{
		"asks": {func(*mesh.ConsumerStatus) {}, ""},
		"paused": {
			func(s *mesh.ConsumerStatus) { s.Paused = s.Consumer == topology.PushLive },
			"push runs, but gets no messages of CATALOG/push-live: it is paused or halted. " +
				"To watch it: driftless doctor --only services.running",
		},
		"asks for commands only": {
			func(s *mesh.ConsumerStatus) {
				if s.Stream == topology.StreamCatalog {
					s.Waiting = 0
				}
			},
			"push runs, but asks for no messages of CATALOG/push-live, CATALOG/push-bulk: it is paused or halted, has just " +
				"started, or hangs. To watch it: driftless doctor --only services.running",
		},
		"busy in one lane": {
			func(s *mesh.ConsumerStatus) {
				if s.Consumer == topology.PushBulk {
					s.Waiting, s.InFlight = 0, 9
				}
			}, "",
		},
		"busy or hangs": {
			func(s *mesh.ConsumerStatus) { s.Waiting, s.InFlight = 0, 9 },
			"push runs, but asks for no more messages of CATALOG/push-live, CATALOG/push-bulk, COMMAND/push, RETRY/push: " +
				"it is busy, or hangs. To watch it: driftless doctor --only services.running",
		},
	} {
		consumers := []mesh.ConsumerStatus{{Consumer: topology.PullStripe, Paused: true}}
		for _, consumer := range health.Consumers[topology.Push] {
			s := mesh.ConsumerStatus{Consumer: consumer, Waiting: 1}
			c.change(&s)
			consumers = append(consumers, s)
		}
		report := reportServices(t, push, consumers)
		require.Empty(t, report.Findings, name)
		if c.want == "" {
			require.True(t, report.IsFine(), name)
			continue
		}
		require.Equal(t, []doctor.NotLooked{{ID: doctor.ServicesRunning, Reason: c.want}}, report.NotLooked, name)
	}
}

func TestJudgeServices_AProcessThatHasJustStartedIsNotFine(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	at := func(age time.Duration, notReady string) []*controlv1.ServiceStatus {
		return []*controlv1.ServiceStatus{{
			Service: topology.Reconciliation, Running: 1,
			Processes: []*controlv1.ProcessStatus{{State: "running", Process: &meshv1.Process{
				Host: "a", Pid: 7, NotReady: notReady,
				StartedAt: timestamppb.New(started), At: timestamppb.New(started.Add(age)),
			}}},
		}}
	}
	require.True(t, reportServices(t, at(time.Second, ""), nil).IsFine())
	require.Equal(t, []doctor.NotLooked{{ID: doctor.ServicesReady, Reason: "reconciliation has just started"}},
		reportServices(t, at(time.Second, "no ledger"), nil).NotLooked)
	found := reportServices(t, at(time.Minute, "no ledger"), nil).Findings
	require.Len(t, found, 1)
	require.Equal(t, "reconciliation (a, process 7) is not ready: no ledger", found[0].Message)
}
