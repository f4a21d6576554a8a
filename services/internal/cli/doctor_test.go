package cli

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// unplantedChecks are the checks without a planted fault, which needs other servers. Tests of packages doctor and probe
// judge what such servers answer.
var unplantedChecks = []string{
	doctor.DatabaseVersion, doctor.DatabaseStandby, doctor.DatabaseSlotLost, doctor.DatabaseSlotBehind,
	doctor.NATSVersion, doctor.NATSReplicas, doctor.NATSCluster, doctor.ClocksDatabase, doctor.ClocksNATS,
}

// TestDoctor_FindsPlantedFaults looks at a healthy mesh, and then at the same mesh with one fault after another.
func TestDoctor_FindsPlantedFaults(t *testing.T) { //nolint:tparallel // one fault after another
	t.Parallel()
	r := newDoctorRig(t)
	_, err := r.sim.CreateProduct(t.Context(), map[string][]string{"id": {"extra"}, "name": {"Extra"}})
	require.NoError(t, err)

	healthy := r.look(t, fault{})
	require.Empty(t, healthy.Findings)
	require.Empty(t, healthy.NotLooked)
	require.Len(t, healthy.Fine, len(doctor.Checks()), "each check was made")
	own := r.look(t, fault{settings: shop(), only: "database,mapping"})
	require.Empty(t, own.Findings)
	require.Empty(t, own.NotLooked)

	foundIDs := map[string]bool{}
	for _, group := range []map[string]fault{
		r.settingFaults(), r.databaseFaults(), r.mappingFaults(), r.ledgerFaults(), r.natsFaults(), r.stripeFaults(),
		r.webhookFaults(), r.clockFaults(), r.serviceFaults(),
	} {
		for name, f := range group {
			t.Run(name, func(t *testing.T) {
				report := r.look(t, f)
				var found []string
				fixes := ""
				for _, finding := range report.Findings {
					foundIDs[finding.ID] = true
					found = append(found, finding.ID)
					fixes += finding.Fix + "\n"
					require.NotEmpty(t, finding.Why)
					require.NotEmpty(t, finding.Fix)
				}
				slices.Sort(found)
				slices.Sort(f.want)
				require.Equal(t, f.want, slices.Compact(found), "%+v", report)
				require.Contains(t, fixes, f.fix)
				for _, looked := range report.Fine {
					require.NotContains(t, f.want, looked.ID)
				}
			})
		}
	}
	var unplanted []string
	for _, c := range doctor.Checks() {
		if !foundIDs[c.ID] {
			unplanted = append(unplanted, c.ID)
		}
	}
	require.Equal(t, unplantedChecks, unplanted, "plant a fault for a new check, in the faults of its group")

	r.requireUnseenProcess(t)
	r.requirePause(t)
	healed := r.look(t, fault{})
	require.Empty(t, healed.Findings)
	require.Empty(t, healed.NotLooked)
}

// requireUnseenProcess requires that the version of a second process of push counts as unknown.
func (r *doctorRig) requireUnseenProcess(t *testing.T) {
	t.Helper()
	second, err := mesh.Connect(t.Context(), r.client(topology.Push))
	require.NoError(t, err)
	defer second.Close()
	report := r.look(t, fault{only: doctor.ServicesVersion})
	require.Empty(t, report.Findings)
	require.Equal(t, "2 processes of push are connected to NATS, and the version of 1 is known",
		report.NotLooked[0].Reason)
}

// requirePause requires that a paused push does not count as one that is down, nor as one that runs.
func (r *doctorRig) requirePause(t *testing.T) {
	t.Helper()
	control, err := r.command.control(&cli{Token: scriptToken, Local: config.Local{DataDir: t.TempDir()}})
	require.NoError(t, err)
	_, err = control.Pause(t.Context(), connect.NewRequest(&controlv1.PauseRequest{Services: []string{topology.Push}}))
	require.NoError(t, err)
	running := fault{
		only: doctor.ServicesRunning, command: func(cmd *doctorCmd) { cmd.patience = time.Millisecond },
	}
	require.Eventually(t, func() bool {
		report := r.look(t, running)
		return len(report.NotLooked) == 1 && strings.HasPrefix(report.NotLooked[0].Reason, "push is paused")
	}, scriptTimeout, 10*time.Millisecond)
	require.Empty(t, r.look(t, running).Findings)
	_, err = control.Resume(t.Context(),
		connect.NewRequest(&controlv1.ResumeRequest{Services: []string{topology.Push}}))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r.look(t, running).IsFine() }, scriptTimeout, 10*time.Millisecond)
}

func (r *doctorRig) settingFaults() map[string]fault {
	return map[string]fault{
		"a policy that the mapping cannot carry out": {
			settings: with(shop(), map[string]any{"policy": map[string]any{"name": "stripe"}}),
			want:     []string{doctor.ConfigSettings},
		},
		"an open API": {
			only:     "config",
			settings: map[string]any{"token": nil, "ingestion_addr": "0.0.0.0:8080"},
			want:     []string{doctor.ConfigToken},
			fix:      "DRIFTLESS_TOKEN",
		},
		"no webhook secret": {
			only:     "config",
			settings: map[string]any{"stripe_webhook_secret": nil},
			want:     []string{doctor.ConfigWebhookSecret},
		},
		"a secret that is an API key": {
			only:     "config",
			settings: map[string]any{"stripe_webhook_secret": "sk_test_1"},
			want:     []string{doctor.ConfigWebhookSecret},
		},
	}
}

func (r *doctorRig) clockFaults() map[string]fault {
	return map[string]fault{
		"the clock of this machine": {
			only:    "clocks",
			command: func(cmd *doctorCmd) { cmd.now = func() time.Time { return time.Now().Add(time.Hour) } },
			want:    []string{doctor.ClocksHost},
		},
		"another clock": {
			only:     "clocks",
			settings: map[string]any{"stripe_api_base": r.proxied("Date", "Mon, 02 Jan 2006 15:04:05 GMT")},
			want:     []string{doctor.ClocksStripe},
		},
	}
}

// announce returns a cause that stores the record of another process of push. Its end removes the record.
func (r *doctorRig) announce(p *meshv1.Process) func() func() {
	return func() func() {
		p.Service, p.Account, p.Instance, p.Host, p.Pid = topology.Push, "default", "planted", "host-b", 7
		require.NoError(r.t, state.New(r.admin).PutProcess(r.t.Context(), p))
		return func() {
			stream, err := r.admin.JetStream().Stream(r.t.Context(), "KV_"+topology.BucketProcess)
			require.NoError(r.t, err)
			record := topology.KeyProcess.Sub(topology.Push).Sub("planted").Subject("default")
			require.NoError(r.t, stream.Purge(r.t.Context(), jetstream.WithPurgeSubject(record)))
		}
	}
}

func (r *doctorRig) serviceFaults() map[string]fault {
	old := httptest.NewServer(buildInfo("0.0.1"))
	r.t.Cleanup(old.Close)
	return map[string]fault{
		"a service that does not run": {
			only: "services",
			cause: func() func() {
				r.stop(topology.Push)
				return func() { r.launch(topology.Push, "") }
			},
			want: []string{doctor.ServicesRunning, doctor.ServicesReachable},
		},
		"a service that is not ready": {
			only: "services.ready",
			cause: func() func() {
				ready := r.url(topology.Pull) + "/readyz"
				require.NoError(r.t, r.admin.JetStream().DeleteConsumer(r.t.Context(), topology.StreamCommand,
					topology.PullCommand.Durable("default")))
				require.Eventually(r.t, func() bool { return !isReady(r.t.Context(), ready) }, scriptTimeout,
					10*time.Millisecond)
				return func() {
					r.applyTopology()
					r.awaitReady(topology.Pull)
				}
			},
			want: []string{doctor.ServicesReady},
		},
		"another version of a replica": {
			only:  "services.version,services.lost",
			cause: r.announce(&meshv1.Process{Version: "0.0.1", Interval: durationpb.New(time.Hour)}),
			want:  []string{doctor.ServicesVersion},
			fix:   "bring every process to one version",
		},
		"a replica that was killed": {
			only: "services.version,services.lost",
			cause: r.announce(&meshv1.Process{
				Version:  service.Version(),
				Interval: durationpb.New(time.Nanosecond),
			}),
			want: []string{doctor.ServicesLost},
			fix:  "See its log",
		},
		"another version at an address, where the records cannot be read": {
			only:    "services.version",
			command: func(cmd *doctorCmd) { cmd.Control = old.URL },
			want:    []string{doctor.ServicesVersion},
		},
		"another token": {
			only: "services", settings: map[string]any{"token": "wrong"}, want: []string{doctor.ServicesToken},
		},
	}
}

// Every check belongs to exactly one probe.
func TestDoctor_ProbesCoverEveryCheck(t *testing.T) {
	t.Parallel()
	p := patient{cmd: &doctorCmd{}, c: &cli{}}
	probes, done := probe.All(p.servers())
	defer done()
	probes = append(probes, settingsProbe(nil), p.tokenProbe(), p.webhookSecretProbe(), p.mappingProbe())
	var covered, all []string
	for _, x := range probes {
		covered = append(covered, x.Covers...)
	}
	for _, c := range doctor.Checks() {
		all = append(all, c.ID)
	}
	require.ElementsMatch(t, all, covered)
}
