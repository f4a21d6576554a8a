package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func TestCallsLine_SaysOnlyWhatIsKnown(t *testing.T) {
	t.Parallel()
	rate := func(n float64) *float64 { return &n }
	slowed := uint32(700)
	for want, r := range map[string]*controlv1.StripeRate{
		"calls to Stripe: not known, reconciliation is of an earlier version": nil,
		"calls to Stripe: not known: push does not run":                       {Unknown: "push does not run"},
		"calls to Stripe: 12.3 of 100 a second (2.1 live, 10.2 bulk), most to POST /v1/prices: 9.8 of 25": {
			Live: rate(2.1), Bulk: rate(10.2), PerSecond: rate(100), PerEndpoint: rate(25),
			BusiestEndpoint: "POST /v1/prices", Busiest: 9.8,
		},
		"calls to Stripe: 0.0 a second (0.0 live, 0.0 bulk); not all is known: pull does not run": {
			Live: rate(0), Bulk: rate(0), PerSecond: rate(0), Unknown: "pull does not run",
		},
		"calls to Stripe: 5.0 of 100 a second (5.0 live, 0.0 bulk); slowed to 70%, because Stripe refused too many: " +
			"POST /v1/prices": {
			Live: rate(5), Bulk: rate(0), PerSecond: rate(100),
			SlowedPermille: &slowed, SlowedEndpoint: "POST /v1/prices",
		},
	} {
		require.Equal(t, want, callsLine(r))
	}
}

func TestReadsLine_SaysTheAllowanceIfItIsKnown(t *testing.T) {
	t.Parallel()
	allowed := uint64(10_000)
	s := &controlv1.GetStatusResponse{Reads: 812, ReadsFor: []*controlv1.ReadPurpose{{Purpose: "poll", Reads: 800}}}
	require.Equal(t, "reads of Stripe in the last 30 days: 812 (800 poll)", readsLine(s))
	s.ReadAllowance = &controlv1.ReadAllowance{Allowed: &allowed}
	require.Equal(t, "reads of Stripe in the last 30 days: 812 (800 poll), of 10,000 that are allowed", readsLine(s))
}
