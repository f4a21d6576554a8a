package now

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func number[T any](n T) *T { return &n }

func TestCallsGauge_ShowsTheShareOfEachLane(t *testing.T) {
	t.Parallel()
	asOf := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	g := callsGauge(&controlv1.StripeRate{
		AsOf: timestamppb.New(asOf), Live: number(2.5), Bulk: number(50.0), PerSecond: number(100.0),
		PerEndpoint: number(25.0), BusiestEndpoint: "POST /v1/prices", Busiest: 20,
		SlowedEndpoint: "POST /v1/prices", SlowedPermille: number(uint32(700)),
	})
	require.Equal(t, gauge{
		name: "Calls a second", text: "52.5 of 100", tone: "held", asOf: asOf,
		parts: []part{{"live", 0, 2.5}, {"bulk", 2.5, 50}},
		lines: []string{
			"2.5 in the live lane, 50.0 in bulk.", "Most to POST /v1/prices: 20.0 of 25.",
			"Stripe refused calls as too many: calls of POST /v1/prices go at 70% of the rate, which recovers.",
		},
	}, g)
	over := callsGauge(&controlv1.StripeRate{Live: number(90.0), Bulk: number(90.0), PerSecond: number(100.0)})
	require.Equal(t, []part{{"live", 0, 90}, {"bulk", 90, 10}}, over.parts, "a bar has an end")
}

func TestGauges_SayWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]*controlv1.StripeRate{
		"Reconciliation is of an earlier version.": nil,
		"push does not run":                        {Unknown: "push does not run"},
	} {
		g := callsGauge(r)
		require.Equal(t, "not known", g.text)
		require.Equal(t, want, g.unknown)
		require.Empty(t, g.parts)
		require.True(t, g.asOf.IsZero())
	}
	part := callsGauge(&controlv1.StripeRate{Live: number(1.0), Unknown: "pull does not run"})
	require.Equal(t, "1.0", part.text, "nobody has said the limit")
	require.Equal(t, "Not all is known: pull does not run.", part.unknown)
	require.Equal(t, "0.0, without a limit",
		callsGauge(&controlv1.StripeRate{Live: number(0.0), PerSecond: number(0.0)}).text)

	reads := readsGauge(known(func(s *controlv1.GetStatusResponse) { s.Reads = 812 }))
	require.Equal(t, "812", reads.text)
	require.Contains(t, reads.unknown, "earlier version")
	reads = readsGauge(known(func(s *controlv1.GetStatusResponse) {
		s.ReadAllowance = &controlv1.ReadAllowance{Forecast: "It is not known how many reads Stripe allows."}
	}))
	require.Equal(t, "It is not known how many reads Stripe allows.", reads.unknown)
}

func TestReadsGauge_WarnsBeforeScansStop(t *testing.T) {
	t.Parallel()
	read := func(used uint64, stopsOn *timestamppb.Timestamp) gauge {
		return readsGauge(known(func(s *controlv1.GetStatusResponse) {
			s.Reads = used
			s.ReadAllowance = &controlv1.ReadAllowance{
				Used: used, Allowed: number(uint64(10_000)), StopsAt: 9000, StopsOn: stopsOn, Forecast: "Words.",
			}
		}))
	}
	g := read(5000, nil)
	require.Equal(t, "5,000 of 10,000", g.text)
	require.Equal(t, []part{{"reads", 0, 50}}, g.parts)
	require.InDelta(t, 90, g.mark, 1e-9)
	require.Equal(t, []string{"Scans stop at 9,000. Words."}, g.lines)
	require.Empty(t, g.tone)
	now := at(known(func(*controlv1.GetStatusResponse) {}))
	require.Equal(t, "held", read(8000, timestamppb.New(now.Add(6*24*time.Hour))).tone)
	require.Empty(t, read(8000, timestamppb.New(now.Add(8*24*time.Hour))).tone)
	require.Equal(t, "bad", read(9000, nil).tone)
}
