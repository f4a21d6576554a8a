package selfcheck

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

func reportOf(t *testing.T, covers []string, run func(r *doctor.Recorder)) doctor.Report {
	t.Helper()
	return doctor.Run(t.Context(), []doctor.Probe{{
		Name: "test", Covers: covers,
		Run: func(_ context.Context, r *doctor.Recorder) error { run(r); return nil },
	}}, doctor.Options{Selection: doctor.Selection{Only: covers}})
}

// A look at the mapping runs the operator's queries. A warning that the operator accepts must not repeat it every
// minute.
func TestHeavy_BoundsTheTimeOfTheExamination(t *testing.T) {
	t.Parallel()
	covers := []string{"mapping.unwatched", "mapping.queries"}
	warned := reportOf(t, covers, func(r *doctor.Recorder) { r.Foundf("mapping.unwatched", "", "a table") })
	broken := reportOf(t, covers, func(r *doctor.Recorder) { r.Foundf("mapping.queries", "", "a query") })
	next := heavy(Interval)
	require.Equal(t, Interval, next(look{report: warned, took: time.Second}))
	require.Equal(t, 20*time.Minute, next(look{report: warned, took: time.Minute}))
	require.Equal(t, faultyInterval, next(look{report: broken, took: time.Second}))
	require.Equal(t, 20*time.Minute, next(look{report: broken, took: time.Minute}))
	require.Equal(t, time.Second, heavy(time.Second)(look{report: broken, took: time.Millisecond}))
}

func TestRare_LooksAgainSoonerAfterALookWithoutAResult(t *testing.T) {
	t.Parallel()
	covers := []string{
		doctor.StripeReachable, doctor.StripeKey, doctor.StripeReadPrices, doctor.StripeWebhook, doctor.StripeVersion,
	}
	report := func(run func(r *doctor.Recorder)) doctor.Report { return reportOf(t, covers, run) }
	away := report(func(r *doctor.Recorder) {
		r.Foundf(doctor.StripeReachable, "", "it does not answer")
		r.NotLooked("Stripe does not answer", doctor.StripeKey)
	})
	for open, want := range map[int]time.Duration{
		1: 10 * time.Minute, 2: 20 * time.Minute, 4: 80 * time.Minute, 7: 640 * time.Minute, 8: rareInterval,
		1000: rareInterval,
	} {
		require.Equal(t, want, rare(look{report: away, open: open}), open)
	}
	for name, c := range map[string]struct {
		report doctor.Report
		isOpen bool
		want   time.Duration
	}{
		"fine":        {report(func(*doctor.Recorder) {}), false, rareInterval},
		"unreachable": {away, true, rareRetryInterval},
		"one endpoint": {
			report(func(r *doctor.Recorder) { r.NotLooked("500", doctor.StripeReadPrices) }), true,
			rareRetryInterval,
		},
		"a fault": {
			report(func(r *doctor.Recorder) { r.Foundf(doctor.StripeVersion, "", "x") }), false,
			faultyRareInterval,
		},
		"a right that no service needs": {
			report(func(r *doctor.Recorder) { r.Settled("it may not", doctor.StripeWebhook) }), false, rareInterval,
		},
		"it may come to more": {report(func(r *doctor.Recorder) {
			r.Settled("it may not", doctor.StripeWebhook)
			r.NotLooked("500", doctor.StripeWebhook)
		}), true, rareRetryInterval},
	} {
		require.Equal(t, c.isOpen, isOpen(c.report), name)
		open := 0
		if c.isOpen {
			open = 1
		}
		require.Equal(t, c.want, rare(look{report: c.report, open: open}), name)
	}
	both := report(func(r *doctor.Recorder) {
		r.Foundf(doctor.StripeKey, "", "Stripe refuses it")
		r.NotLooked("500", doctor.StripeReadPrices)
	})
	require.Equal(t, faultyRareInterval, rare(look{report: both, open: 9}))
}

// The fault of a check settles the checks that rest on it.
func TestIsOpen_TakesTheFirstFaultOnly(t *testing.T) {
	t.Parallel()
	report := doctor.Run(t.Context(), []doctor.Probe{
		{
			Name: "key", Covers: []string{doctor.StripeKey},
			Run: func(_ context.Context, r *doctor.Recorder) error {
				r.Foundf(doctor.StripeKey, "", "Stripe refuses it")
				return nil
			},
		},
		{
			Name: "rights", Covers: []string{doctor.StripeReadPrices}, Needs: []string{doctor.StripeKey},
			Run: func(context.Context, *doctor.Recorder) error { return nil },
		},
	}, doctor.Options{Selection: doctor.Selection{Only: []string{doctor.StripeKey, doctor.StripeReadPrices}}})
	require.Len(t, report.NotLooked, 1)
	require.False(t, isOpen(report))
}
