package plan

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func TestPercent(t *testing.T) {
	t.Parallel()
	for want, c := range map[string][2]string{
		"+200%":  {"14.00 EUR", "42.00 EUR"},
		"−99%":   {"16.00 EUR / month", "0.16 EUR / month"},
		"+0.5%":  {"1,000.00 USD", "1,005.00 USD"},
		"+7.1%":  {"1400 JPY", "1500 JPY"},
		"−100%":  {"14.00 EUR", "0.00 EUR"},
		"+9900%": {"9.00 EUR", "900.00 EUR"},
	} {
		require.Equal(t, want, percent(c[0], c[1]))
	}
	for name, c := range map[string][2]string{
		"from nothing":     {"0.00 EUR", "14.00 EUR"},
		"currencies":       {"14.00 EUR", "14.00 USD"},
		"intervals":        {"14.00 EUR / month", "140.00 EUR / year"},
		"no amount before": {"", "14.00 EUR"},
		"tiers":            {"3 tiers EUR", "2 tiers EUR"},
		"words":            {"Mug", "Cup"},
	} {
		require.Empty(t, percent(c[0], c[1]), name)
	}
}

func TestUsage_SaysWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	require.Equal(t, "subscriptions unknown, 1 payment link", usage(&meshv1.PriceUsage{
		Subscriptions: &meshv1.UsageCount{Unknown: "the key may not"},
		PaymentLinks:  &meshv1.UsageCount{Count: proto.Uint32(1)},
	}))
	require.Equal(t, "at least 100 subscriptions, payment links unknown", usage(&meshv1.PriceUsage{
		Subscriptions: &meshv1.UsageCount{Count: proto.Uint32(100), More: true},
	}))
}

// An empty page is no proof of equality.
func TestNothing_SaysEqualOnlyIfAllWasCompared(t *testing.T) {
	t.Parallel()
	known := func(edit func(*controlv1.PlanResponse)) *controlv1.PlanResponse {
		p := &controlv1.PlanResponse{Compared: 40, Equality: &controlv1.Equality{AsOf: timestamppb.Now()}}
		edit(p)
		return p
	}
	_, text := emptyText(query{}, known(func(*controlv1.PlanResponse) {}))
	require.Equal(t, "Catalog and Stripe are equal: 40 products were compared.", text)
	for name, c := range map[string]struct {
		q    query
		edit func(*controlv1.PlanResponse)
	}{
		"a later page":  {query{after: "mug"}, func(*controlv1.PlanResponse) {}},
		"only held":     {query{held: true}, func(*controlv1.PlanResponse) {}},
		"unknown":       {query{}, func(p *controlv1.PlanResponse) { p.Equality.Unknown = "capture is stopped" }},
		"not read":      {query{}, func(p *controlv1.PlanResponse) { p.Equality.AsOf = nil }},
		"older program": {query{}, func(p *controlv1.PlanResponse) { p.Equality = nil }},
		"halted":        {query{}, func(p *controlv1.PlanResponse) { p.Halted = "Invalid API Key" }},
		"paused":        {query{}, func(p *controlv1.PlanResponse) { p.Paused = []*controlv1.PausedService{{}} }},
		"in flight":     {query{}, func(p *controlv1.PlanResponse) { p.InFlight = 1 }},
	} {
		title, text := emptyText(c.q, known(c.edit))
		require.NotContains(t, title+text, "equal", name)
	}
}
