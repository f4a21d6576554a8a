package budget

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func TestForecastReads_SaysWhenALimitIsReached(t *testing.T) {
	t.Parallel()
	today := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	noon := today.Add(12 * time.Hour)
	// record has the reads of the days before today, the latest first, and of today.
	record := func(ofToday uint64, before ...uint64) *meshv1.Budget {
		b := &meshv1.Budget{Reads: map[string]uint64{today.Format(time.DateOnly): ofToday}}
		for i, n := range before {
			b.Reads[today.AddDate(0, 0, -1-i).Format(time.DateOnly)] = n
		}
		return b
	}
	every := func(n uint64, days int) (out []uint64) {
		for range days {
			out = append(out, n)
		}
		return out
	}
	in := func(days int) time.Time { return today.AddDate(0, 0, days) }
	for name, c := range map[string]struct {
		record *meshv1.Budget
		limit  uint64
		want   ReadForecast
	}{
		"nothing was counted": {record: &meshv1.Budget{}, limit: 9000},
		"the first day does not count, and one is not enough": {record: record(5, 100, 40), limit: 9000},
		"it lasts": {
			record: record(50, every(100, 31)...), limit: 9000,
			want: ReadForecast{Days: 7, PerDay: 100, Least: 100, Most: 100},
		},
		// 1,540 before, 250 and the same again today, then 500 a day: 9,000 are reached in 13.9 more days.
		"a new mesh that reads much": {
			record: record(250, 500, 500, 500, 40), limit: 9000,
			want: ReadForecast{
				Days: 3, PerDay: 500, Least: 500, Most: 500, On: in(14), Earliest: in(14), Latest: in(14),
			},
		},
		// The reads before leave the 30 days before 9,000 are reached. 30 days with 300 have 9,000.
		"days differ": {
			record: record(0, 100, 600, 200, 40), limit: 9000,
			want: ReadForecast{Days: 3, PerDay: 300, Least: 100, Most: 600, On: in(30), Earliest: in(13)},
		},
		"reached already": {
			record: record(10, 5000, 5000, 0), limit: 9000,
			want: ReadForecast{
				Days: 2, PerDay: 5000, Least: 5000, Most: 5000, On: in(0), Earliest: in(0), Latest: in(0),
			},
		},
		"no limit": {
			record: record(0, 100, 100, 100), limit: 0,
			want: ReadForecast{Days: 2, PerDay: 100, Least: 100, Most: 100},
		},
		"silent days count": {
			record: &meshv1.Budget{Reads: map[string]uint64{"2026-11-20": 900}}, limit: 9000,
			want: ReadForecast{Days: 6},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ForecastReads(c.record, noon, c.limit)
			require.InDelta(t, c.want.PerDay, got.PerDay, 1e-9)
			got.PerDay = c.want.PerDay
			require.Equal(t, c.want, got)
		})
	}
}

func TestDescriber_SaysLimitsAndCalls(t *testing.T) {
	t.Parallel()
	limits := Limits{PerEndpoint: 1e6, ReadAllowance: 10_000}
	b := New(nil, nil, nil, limits, nil)
	t.Cleanup(b.Close)
	describe := b.Describer()
	p := &meshv1.Process{}
	describe(p)
	require.Equal(t, map[string]float64{"live": 0, "bulk": 0}, p.GetStripeCalls().GetLanes())
	for range 3 {
		for _, lane := range []Lane{Live, Bulk} {
			done, err := b.Wait(InLane(t.Context(), lane), "POST /v1/prices")
			require.NoError(t, err)
			done("")
		}
	}
	describe(p)
	got := p.GetStripeCalls()
	require.EqualValues(t, 10_000, got.GetReadAllowance())
	require.InDelta(t, 1e6, got.GetPerEndpoint(), 0)
	require.Zero(t, got.GetPerSecond())
	require.Positive(t, got.GetLanes()["live"])
	require.InDelta(t, got.GetLanes()["live"], got.GetLanes()["bulk"], 1e-9)
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Equal(t, map[string]uint64{"POST /v1/prices": 6}, b.made.endpoints)
}

func TestBusiest_NamesFewEndpoints(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]float64{"a": 9, "b": 8, "c": 7, "d": 6, "e": 5}, busiest(map[string]float64{
		"a": 9, "b": 8, "c": 7, "d": 6, "e": 5, "f": 4,
	}))
	require.Empty(t, busiest(map[string]float64{"a": 0.01}))
}
