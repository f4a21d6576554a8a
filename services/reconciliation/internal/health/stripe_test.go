package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/health"
)

// caller returns a process that says its calls.
func caller(service, instance string, ago time.Duration, calls *meshv1.StripeCalls) *meshv1.Process {
	p := process(service, instance, ago)
	p.StripeCalls = calls
	return p
}

func servicesOf(processes ...*meshv1.Process) []*controlv1.ServiceStatus {
	return health.Services(health.Evidence{
		Processes:       processes,
		Now:             now,
		AsksForMessages: func(string) bool { return false },
	})
}

func TestStripeRate_AddsUpAllProcesses(t *testing.T) {
	t.Parallel()
	calls := func(live, bulk float64, endpoints map[string]float64) *meshv1.StripeCalls {
		return &meshv1.StripeCalls{
			PerSecond: 100, PerEndpoint: 25,
			Lanes: map[string]float64{"live": live, "bulk": bulk}, Endpoints: endpoints,
		}
	}
	r := health.StripeRate(servicesOf(
		caller(topology.Push, "a", 2*time.Second,
			calls(1, 10, map[string]float64{"POST /v1/prices": 8, "POST /v1/products": 3})),
		caller(topology.Push, "b", time.Second, calls(2, 0, map[string]float64{"POST /v1/prices": 2})),
		caller(topology.Pull, "c", time.Second, calls(0.5, 0, map[string]float64{"GET /v1/events": 0.5})),
		// A process that was lost calls no more.
		caller(topology.Push, "d", time.Hour, calls(50, 0, nil)),
	), &meshv1.Budget{Slowed: map[string]*meshv1.Slowdown{
		"POST /v1/prices": {Permille: 700, At: now.UnixNano()},
	}}, now)
	require.Empty(t, r.GetUnknown())
	require.InDelta(t, 3.5, r.GetLive(), 1e-9)
	require.InDelta(t, 10, r.GetBulk(), 1e-9)
	require.InDelta(t, 100, r.GetPerSecond(), 0)
	require.InDelta(t, 25, r.GetPerEndpoint(), 0)
	require.Equal(t, "POST /v1/prices", r.GetBusiestEndpoint())
	require.InDelta(t, 10, r.GetBusiest(), 1e-9)
	require.Equal(t, "POST /v1/prices", r.GetSlowedEndpoint())
	require.EqualValues(t, 700, r.GetSlowedPermille())
	require.Equal(t, now.Add(-2*time.Second), r.GetAsOf().AsTime(), "as of the oldest record")
}

func TestStripeRate_SaysWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	limits := func(perSecond float64) *meshv1.StripeCalls { return &meshv1.StripeCalls{PerSecond: perSecond} }
	for name, c := range map[string]struct {
		services []*controlv1.ServiceStatus
		want     string
		isKnown  bool
	}{
		"processes cannot be read": {want: "no process of push or pull is known"},
		"none runs": {
			services: servicesOf(),
			want: "pull does not run: no process has announced itself within an hour; " +
				"push does not run: no process has announced itself within an hour",
		},
		"an earlier version": {
			services: servicesOf(process(topology.Push, "a", 0), caller(topology.Pull, "b", 0, limits(100))),
			want:     "a process of push does not say its calls: its version is too old",
			isKnown:  true,
		},
		"other limits": {
			services: servicesOf(caller(topology.Push, "a", 0, limits(25)), caller(topology.Pull, "b", 0, limits(100))),
			want:     "processes have different limits of calls a second: 25, 100",
			isKnown:  true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := health.StripeRate(c.services, &meshv1.Budget{}, now)
			require.Equal(t, c.want, r.GetUnknown())
			require.Equal(t, c.isKnown, r.Live != nil)
			require.Nil(t, r.SlowedPermille)
		})
	}
}

func TestReadAllowance_ForecastsInWords(t *testing.T) {
	t.Parallel()
	// reads has the reads of the days before today, the latest first.
	reads := func(before ...uint64) *meshv1.Budget {
		b := &meshv1.Budget{Reads: map[string]uint64{}}
		for i, n := range before {
			b.Reads[now.AddDate(0, 0, -1-i).Format(time.DateOnly)] = n
		}
		return b
	}
	pull := func(allowance uint64) []*controlv1.ServiceStatus {
		return servicesOf(caller(topology.Pull, "a", 0, &meshv1.StripeCalls{ReadAllowance: allowance}))
	}
	for name, c := range map[string]struct {
		services []*controlv1.ServiceStatus
		record   *meshv1.Budget
		want     string
		stopsOn  *timestamppb.Timestamp
	}{
		"no pull": {
			services: servicesOf(), record: reads(10, 10, 10),
			want: "It is not known how many reads Stripe allows, since no process of pull says it.",
		},
		"no limit": {services: pull(0), record: reads(10, 10, 10), want: "No limit is set."},
		"nothing read": {
			services: pull(10_000), record: reads(),
			want: "There is no forecast yet: it needs the reads of two whole days.",
		},
		"it lasts": {
			services: pull(10_000), record: reads(40, 60, 1),
			want: "It lasts with 50 reads a day, the average of the latest 2 days, and with 60 a day, the most of them.",
		},
		"a day with many reads": {
			services: pull(10_000), record: reads(10, 1190, 1),
			want: "With 600 reads a day, the average of the latest 2 days, scans stop about 7 December: on 1 December with " +
				"1,190 a day, the most of them, and not at all with 10, the least.",
			stopsOn: timestamppb.New(time.Date(2026, 12, 7, 0, 0, 0, 0, time.UTC)),
		},
		"used": {
			services: pull(10_000), record: reads(9000, 0, 1),
			want:    "Nine tenths are used: scans, imports and reads of products outside the catalog are stopped.",
			stopsOn: timestamppb.New(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := health.ReadAllowance(c.services, c.record, now)
			require.Equal(t, c.want, a.GetForecast())
			require.Equal(t, c.stopsOn.AsTime(), a.GetStopsOn().AsTime())
		})
	}
}
