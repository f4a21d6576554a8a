package doctor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

// found returns a probe of one check that finds a fault.
func found(id string) doctor.Probe {
	return doctor.Probe{Name: id, Covers: []string{id}, Run: func(_ context.Context, r *doctor.Recorder) error {
		r.Foundf(id, "", "it is broken")
		return nil
	}}
}

func fine(id string, needs ...string) doctor.Probe {
	return doctor.Probe{
		Name: id, Covers: []string{id}, Needs: needs,
		Run: func(context.Context, *doctor.Recorder) error { return nil },
	}
}

func only(ids ...string) doctor.Options {
	return doctor.Options{Selection: doctor.Selection{Only: ids}}
}

func TestRun_NeverCallsFineWhatNobodyLookedAt(t *testing.T) {
	t.Parallel()
	report := doctor.Run(t.Context(), nil, only("ledger"))
	require.Empty(t, report.Fine)
	require.Len(t, report.NotLooked, 5, "no probe")
	require.False(t, report.IsFine())

	covers := []string{doctor.LedgerRights, doctor.LedgerSchema}
	failing := doctor.Probe{Name: "x", Covers: covers, Run: func(_ context.Context, r *doctor.Recorder) error {
		r.Foundf(doctor.LedgerRights, "GRANT x", "no right")
		return errors.New("the connection broke")
	}}
	report = doctor.Run(t.Context(), []doctor.Probe{failing}, only(covers...))
	require.Equal(t, "GRANT x", report.Findings[0].Fix)
	require.Equal(t, []doctor.NotLooked{{ID: doctor.LedgerSchema, Reason: "the connection broke"}}, report.NotLooked)
	require.Empty(t, report.Fine)
}

func TestRun_DoesNotRunWhatRestsOnAFault(t *testing.T) {
	t.Parallel()
	probes := []doctor.Probe{
		fine(doctor.LedgerRights, doctor.LedgerSchema), fine(doctor.LedgerSchema, doctor.LedgerReachable),
		found(doctor.LedgerReachable), fine(doctor.LedgerEncoding, "ledger.nothing"), fine(doctor.LedgerStandby),
	}
	report := doctor.Run(t.Context(), probes, only("ledger"))
	require.Equal(t, []doctor.Fine{{ID: doctor.LedgerStandby}}, report.Fine)
	require.Len(t, report.Findings, 1)
	require.Equal(t, []doctor.NotLooked{
		{ID: doctor.LedgerEncoding, Reason: "nothing looks at ledger.nothing, which it rests on"},
		{ID: doctor.LedgerSchema, Reason: "ledger.reachable comes first"},
		{ID: doctor.LedgerRights, Reason: "ledger.schema comes first"},
	}, report.NotLooked)

	report = doctor.Run(t.Context(), probes, only(doctor.LedgerRights))
	require.Empty(t, report.Findings, "it was not selected")
	require.Equal(t, "ledger.schema comes first: ledger.reachable comes first: it is broken",
		report.NotLooked[0].Reason)
}

func TestRun_LimitsTheTimeOfAProbeThatHangs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	hangs := doctor.Probe{
		Name: "x", Covers: []string{doctor.NATSSync},
		Run: func(context.Context, *doctor.Recorder) error {
			<-release
			return nil
		},
	}
	o := only(doctor.NATSSync)
	o.Limit = time.Millisecond
	report := doctor.Run(t.Context(), []doctor.Probe{hangs}, o)
	require.Equal(t, []doctor.NotLooked{{ID: doctor.NATSSync, Reason: "it took longer than 1ms"}},
		report.NotLooked)
}

func TestRun_SkipsChecks(t *testing.T) {
	t.Parallel()
	o := only("ledger")
	o.Skip = []string{doctor.LedgerReachable, "nats"}
	ended := 0
	o.OnProgress = func(done, total int, _ []string) {
		ended = done
		require.Equal(t, 4, total)
	}
	report := doctor.Run(t.Context(), []doctor.Probe{
		found(doctor.LedgerReachable), fine(doctor.LedgerStandby), fine(doctor.LedgerEncoding),
		fine(doctor.LedgerSchema),
		fine(doctor.LedgerRights),
	}, o)
	require.True(t, report.IsFine())
	require.Equal(t, []string{doctor.LedgerReachable}, report.Skipped)
	require.Len(t, report.Fine, 4)
	require.Equal(t, 4, ended)
	require.ErrorContains(t, doctor.Selection{Only: []string{"nosuch"}}.Validate(), `no check or group "nosuch"`)
	require.NoError(t, o.Validate())
	require.ErrorContains(t, doctor.Selection{Only: []string{"nats"}, Skip: []string{"nats"}}.Validate(), "every check")
}
