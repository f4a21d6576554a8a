package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/health"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// process returns the record of a process that wrote it some time ago.
func process(service, instance string, ago time.Duration) *meshv1.Process {
	return &meshv1.Process{
		Service:   service,
		Instance:  instance,
		Host:      "host-" + instance,
		Version:   "1.0.0",
		StartedAt: timestamppb.New(now.Add(-time.Hour)),
		At:        timestamppb.New(now.Add(-ago)),
		Interval:  durationpb.New(2 * time.Second),
	}
}

// mesh returns one process of each service.
func mesh() []*meshv1.Process {
	return []*meshv1.Process{
		process(topology.Ingestion, "a", time.Second), process(topology.Push, "b", time.Second),
		process(topology.Pull, "c", time.Second), process(topology.Reconciliation, "d", time.Second),
	}
}

// judged returns a status with these processes, judged.
func judged(processes []*meshv1.Process, edit func(*controlv1.GetStatusResponse),
	retries ...*meshv1.Retry,
) *controlv1.GetStatusResponse {
	s := &controlv1.GetStatusResponse{Services: health.Services(health.Evidence{
		Processes:       processes,
		Now:             now,
		AsksForMessages: func(string) bool { return false },
	})}
	if edit != nil {
		edit(s)
	}
	health.Judge(s, health.Retries{First: retries}, now)
	return s
}

func TestJudge_RetriesOfAnAdoptionAreNoProblem(t *testing.T) {
	t.Parallel()
	const unread = "failing: products wait for a retry, and not all of them were looked at: the first 2 wait for " +
		"something else than Stripe"
	const held = "creations: push creates nothing in Stripe (push_create is off)"
	waiting := []*meshv1.Retry{{ProductId: "jug"}, {ProductId: "pot"}}
	for name, c := range map[string]struct {
		held, more     bool
		problem, notes []string
	}{
		"few":                    {held: true, notes: []string{held}},
		"many":                   {held: true, more: true, notes: []string{held, unread}},
		"many, and nobody knows": {more: true, problem: []string{unread}},
	} {
		s := &controlv1.GetStatusResponse{CreationsHeld: c.held}
		health.Judge(s, health.Retries{First: waiting, More: c.more}, now)
		require.Equal(t, c.problem, texts(s.GetProblems()), name)
		require.Equal(t, c.notes, texts(s.GetNotes()), name)
	}
	s := &controlv1.GetStatusResponse{CreationsHeld: true}
	failing := &meshv1.Retry{ProductId: "mug", Attempts: 7, Error: "Stripe: 500"}
	health.Judge(s, health.Retries{First: append(waiting, failing), More: true}, now)
	require.Equal(t, []string{"failing: at least 1 product keeps failing: mug after 7 attempts: Stripe: 500"},
		texts(s.GetProblems()))
}

func TestServices_AProcessThatStartsIsNoProblem(t *testing.T) {
	t.Parallel()
	processes := mesh()
	processes[0].NotReady = "the write-ahead log is not being read"
	require.NotEmpty(t, judged(processes, nil).GetProblems())
	processes[0].StartedAt = timestamppb.New(processes[0].GetAt().AsTime().Add(-time.Second))
	s := judged(processes, nil)
	require.Empty(t, texts(s.GetProblems()))
	require.Len(t, s.GetNotes(), 1, "it is not ready yet")
}

func texts(notices []*controlv1.Notice) (out []string) {
	for _, n := range notices {
		out = append(out, n.GetKind()+": "+n.GetText())
	}
	return out
}

func TestServices_AllRun(t *testing.T) {
	t.Parallel()
	s := judged(mesh(), nil)
	require.Empty(t, s.GetProblems())
	require.Empty(t, s.GetNotes())
	require.Len(t, s.GetServices(), 4)
	for i, name := range []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation} {
		require.Equal(t, name, s.GetServices()[i].GetService())
		require.EqualValues(t, 1, s.GetServices()[i].GetRunning())
	}
}

func TestServices_ServiceThatDoesNotRunIsAProblem(t *testing.T) {
	t.Parallel()
	stopped := process(topology.Push, "b", 3*time.Minute)
	stopped.StoppedAt = stopped.GetAt()
	notReady := process(topology.Push, "b", time.Second)
	notReady.NotReady = "NATS: bucket LINK does not exist"
	for name, c := range map[string]struct {
		push []*meshv1.Process
		asks bool
		want string
	}{
		"killed": {
			push: []*meshv1.Process{process(topology.Push, "b", 34*time.Second)},
			want: "does not run: last heard of 34 s ago on host-b, it did not stop in an orderly way",
		},
		"hangs": {
			push: []*meshv1.Process{process(topology.Push, "b", 34*time.Second)},
			asks: true,
			want: "does not answer: last heard of 34 s ago on host-b, and its requests for messages are still open: " +
				"does it hang?",
		},
		"replaced by an earlier version": {
			push: []*meshv1.Process{stopped},
			asks: true,
			want: "stopped 3m0s ago on host-b, and a process that does not say what it does asks for messages: " +
				"is its version older?",
		},
		"stopped":   {push: []*meshv1.Process{stopped}, want: "does not run: stopped 3m0s ago on host-b"},
		"never ran": {want: "does not run: no process has announced itself within an hour"},
		"an earlier version": {
			asks: true,
			want: "runs, but does not say what it does: its version is too old",
		},
		"not ready": {push: []*meshv1.Process{notReady}, want: "not ready: NATS: bucket LINK does not exist"},
		"late, but not lost": {
			push: []*meshv1.Process{process(topology.Push, "b", 9*time.Second)},
			want: "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := health.Services(health.Evidence{
				Processes:       c.push,
				Now:             now,
				AsksForMessages: func(string) bool { return c.asks },
			})[1]
			require.Equal(t, topology.Push, s.GetService())
			require.Equal(t, c.want, s.GetProblem())
		})
	}
}

func TestServices_ReconciliationThatAnswersRuns(t *testing.T) {
	t.Parallel()
	for _, asks := range []bool{false, true} {
		s := health.Services(health.Evidence{Now: now, AsksForMessages: func(string) bool { return asks }})[3]
		require.Equal(t, topology.Reconciliation, s.GetService())
		require.Equal(t,
			"answers, but no record of it is known: it has just started, or cannot write to the bucket PROCESS",
			s.GetProblem())
	}
}

func TestServices_DescribeWhatProcessesDoTogether(t *testing.T) {
	t.Parallel()
	leader, standby := process(topology.Ingestion, "a", time.Second), process(topology.Ingestion, "b", time.Second)
	leader.Doing, standby.Doing = "reads the log of slot driftless", "stands by"
	one, two := process(topology.Push, "c", time.Second), process(topology.Push, "d", time.Second)
	one.Doing, one.Working, one.Rates = "syncs 1,200 products", 1200, map[string]float64{"calls": 11.5}
	two.Doing, two.Working, two.Rates = "syncs 3 products", 3, map[string]float64{"calls": 11.5}
	s := judged([]*meshv1.Process{leader, standby, one, two}, nil).GetServices()
	require.Equal(t, "reads the log of slot driftless; stands by", s[0].GetDoing())
	require.Equal(t, "syncs 1,203 products; 23.0 calls/s", s[1].GetDoing())
	require.EqualValues(t, 2, s[1].GetRunning())
}

func TestJudge_NotesOtherVersionsAndLostProcesses(t *testing.T) {
	t.Parallel()
	earlier := process(topology.Push, "b2", time.Second)
	earlier.Version = "0.9.0"
	lost := process(topology.Pull, "c2", time.Minute)
	s := judged(append(mesh(), earlier, lost), nil)
	require.Empty(t, s.GetProblems(), "the services work")
	require.Equal(t, []string{
		"process: a process of pull was lost on host-c2, last heard of 60 s ago; 1 run",
		"version: the services run different versions: ingestion 1.0.0, pull 1.0.0, push 0.9.0, push 1.0.0, " +
			"reconciliation 1.0.0",
	}, texts(s.GetNotes()))
	require.Equal(t, []string{"0.9.0", "1.0.0"}, s.GetServices()[1].GetVersions())
	require.Equal(t, "lost", s.GetServices()[2].GetProcesses()[1].GetState())
}

func TestJudge_FindsWhatNeedsAttention(t *testing.T) {
	t.Parallel()
	since := timestamppb.New(now.Add(-7 * time.Second))
	for name, c := range map[string]struct {
		edit           func(*controlv1.GetStatusResponse)
		retries        []*meshv1.Retry
		problem, notes []string
	}{
		"pending changes are on their way": {
			edit: func(s *controlv1.GetStatusResponse) { s.Pending = 12 },
		},
		"halted": {
			edit:    func(s *controlv1.GetStatusResponse) { s.Halted = "401" },
			problem: []string{"halted: push is halted, because Stripe refuses the key: 401"},
		},
		"paused": {
			edit: func(s *controlv1.GetStatusResponse) {
				s.Paused = []*controlv1.PausedService{{
					Service: "push", Since: since, Actor: "ann@laptop", Reason: "Black Friday",
				}}
			},
			problem: []string{"paused: push is paused, since 7 s ago, by ann@laptop: Black Friday"},
		},
		"failing": {
			retries: []*meshv1.Retry{
				{ProductId: "mug", Attempts: 10, Error: "Stripe: 500"},
				{ProductId: "cup", Attempts: 5, Error: "x"},
				{ProductId: "jug"},
			},
			problem: []string{"failing: 2 products keep failing: mug after 10 attempts: Stripe: 500"},
		},
		"waiting without a failure": {retries: []*meshv1.Retry{{ProductId: "jug"}}},
		"dead, held, drifted": {
			edit: func(s *controlv1.GetStatusResponse) { s.Dead, s.Held, s.Drifted = 1, 2, 1200 },
			problem: []string{
				"dead: 1 product has a change that cannot be applied", "held: the guard holds 2 changes",
				"drifted: 1,200 products have drifted",
			},
		},
		"a check fails": {
			edit: func(s *controlv1.GetStatusResponse) {
				s.Equality = &controlv1.Equality{Capture: &meshv1.CaptureReport{
					FailingChecks: []*meshv1.FailingCheck{{Check: "margin", Message: "no such column", Since: since}},
				}}
			},
			problem: []string{"check: check margin fails, since 7 s ago: no such column"},
		},
		"reads that failed": {
			edit: func(s *controlv1.GetStatusResponse) {
				s.LastScan, s.LastPoll = &meshv1.ScanReport{Error: "403"}, &meshv1.PollReport{Error: "500"}
			},
			notes: []string{"scan: the latest scan failed: 403", "poll: Stripe's events could not be read: 500"},
		},
		"objects that a scan left unread": {
			edit: func(s *controlv1.GetStatusResponse) {
				s.LastScan = &meshv1.ScanReport{FinishedAt: since, Unconfirmed: 300}
			},
			notes: []string{"scan: the latest scan could not read 300 objects of Stripe: another one does"},
		},
		"creations held": {
			edit:  func(s *controlv1.GetStatusResponse) { s.CreationsHeld = true },
			notes: []string{"creations: push creates nothing in Stripe (push_create is off)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := judged(mesh(), c.edit, c.retries...)
			require.Equal(t, c.problem, texts(s.GetProblems()))
			require.Equal(t, c.notes, texts(s.GetNotes()))
		})
	}
}
