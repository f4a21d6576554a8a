package budget

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

var endpoints = []string{
	"POST /v1/products", "POST /v1/prices", "POST /v1/prices/{id}", "GET /v1/products/{id}",
	"GET /v1/events",
}

// within returns the highest number of turns in any second.
func within(turns []int64) (highest int) {
	slices.Sort(turns)
	for i := range turns {
		n := 0
		for _, at := range turns[i:] {
			if at-turns[i] >= int64(time.Second) {
				break
			}
			n++
		}
		highest = max(highest, n)
	}
	return highest
}

// TestAssign_GivesNoSecondMoreTurnsThanTheLimits: no second has more calls than Stripe allows, in all and for each
// endpoint, whatever is asked when.
func TestAssign_GivesNoSecondMoreTurnsThanTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{PerSecond: rapid.SampledFrom([]float64{25, 100}).Draw(t, "limit"), PerEndpoint: 25}
		b := &meshv1.Budget{}
		now := int64(1_000_000_000_000_000_000)
		var all []int64
		byEndpoint := map[string][]int64{}
		for range rapid.IntRange(1, 300).Draw(t, "rounds") {
			now += rapid.Int64Range(0, int64(80*time.Millisecond)).Draw(t, "pause")
			calls := make([]call, rapid.IntRange(0, 30).Draw(t, "calls"))
			for i := range calls {
				calls[i] = call{
					rapid.SampledFrom(endpoints).Draw(t, "endpoint"),
					Lane(rapid.IntRange(0, 1).Draw(t, "lane")),
				}
			}
			turns, wake, _ := assign(b, limits.paces(), now, calls, maxConsidered)
			if wake <= now {
				t.Fatalf("wake is now")
			}
			for _, turn := range turns {
				if turn.at < now || turn.at > now+int64(ahead) {
					t.Fatalf("a turn %s from now", time.Duration(turn.at-now))
				}
				all = append(all, turn.at)
				e := calls[turn.index].endpoint
				byEndpoint[e] = append(byEndpoint[e], turn.at)
			}
		}
		if n := within(all); n > int(limits.PerSecond) {
			t.Fatalf("%d calls in a second", n)
		}
		for e, turns := range byEndpoint {
			if n := within(turns); n > 25 {
				t.Fatalf("%d calls of %s in a second", n, e)
			}
		}
	})
}

// simulate asks for turns during a time, with these calls always waiting, and counts the turns of each.
func simulate(limits Limits, during time.Duration, waiting []call) (turns map[call]int) {
	b := &meshv1.Budget{}
	now := int64(1_000_000_000_000_000_000)
	end := now + int64(during)
	turns = map[call]int{}
	for now < end {
		got, wake, _ := assign(b, limits.paces(), now, waiting, maxConsidered)
		for _, turn := range got {
			turns[waiting[turn.index]]++
		}
		now = wake
		if len(got) == len(waiting) {
			now = max(now, b.GetNext())
		}
	}
	return turns
}

func repeat(n int, c call) []call { return slices.Repeat([]call{c}, n) }

func TestAssign_UsesTheWholeLimit(t *testing.T) {
	one := call{"POST /v1/prices", Live}
	require.InDelta(t, 25*paceShare*10,
		simulate(Limits{PerSecond: 100, PerEndpoint: 25}, 10*time.Second, repeat(20, one))[one], 2)
	var mixed []call
	for _, e := range endpoints {
		mixed = append(mixed, repeat(10, call{e, Live})...)
	}
	sum := 0
	for _, n := range simulate(Limits{PerSecond: 100, PerEndpoint: 25}, 10*time.Second, mixed) {
		sum += n
	}
	require.InDelta(t, 100*paceShare*10, sum, 5)
}

func TestAssign_PutsLiveFirstAndKeepsBulksShare(t *testing.T) {
	live, bulk := call{"POST /v1/products", Live}, call{"POST /v1/products", Bulk}
	turns := simulate(Limits{PerSecond: 100, PerEndpoint: 25}, 20*time.Second,
		append(repeat(20, bulk), repeat(20, live)...))
	all := float64(turns[live] + turns[bulk])
	require.InDelta(t, 25*paceShare*20, all, 3)
	require.Greater(t, float64(turns[bulk])/all, 0.05)
	require.Less(t, float64(turns[bulk])/all, 0.45)
	// Live calls that wait for their own endpoint do not block calls of another one.
	other := call{"POST /v1/prices", Bulk}
	turns = simulate(Limits{PerSecond: 100, PerEndpoint: 25}, 20*time.Second,
		append(repeat(20, other), repeat(20, live)...))
	require.InDelta(t, 25*paceShare*20, turns[other], 5)
	require.InDelta(t, 25*paceShare*20, turns[live], 5)
}

func TestAssign_BulkLeavesRoomForLiveOfAnotherProcess(t *testing.T) {
	b := &meshv1.Budget{}
	p := Limits{PerSecond: 25, PerEndpoint: 25}.paces()
	now := int64(1_000_000_000_000_000_000)
	end := now + int64(20*time.Second)
	live, bulk := repeat(8, call{"POST /v1/products", Live}), repeat(8, call{"POST /v1/prices", Bulk})
	var turns [2]int
	for now < end {
		for i, calls := range [][]call{bulk, live} {
			got, _, _ := assign(b, p, now, calls, maxConsidered)
			turns[i] += len(got)
		}
		now += int64(10 * time.Millisecond)
	}
	require.InDelta(t, 25*paceShare*20, turns[0]+turns[1], 5)
	require.InDelta(t, bulkShare, float64(turns[0])/float64(turns[0]+turns[1]), 0.06)
}

func TestLower_RateRecovers(t *testing.T) {
	b := &meshv1.Budget{}
	now := int64(1_000_000_000_000_000_000)
	require.True(t, lowerRate(b, "", now))
	require.False(t, lowerRate(b, "", now+1), "the others of the same burst")
	require.EqualValues(t, 700, ratePermille(b, "", now))
	require.EqualValues(t, 800, ratePermille(b, "", now+int64(2*time.Second)))
	require.EqualValues(t, 1000, ratePermille(b, "", now+int64(time.Minute)))
	prune(b, now+int64(time.Minute))
	require.Empty(t, b.GetSlowed())
	for range 100 {
		now += int64(time.Second)
		lowerRate(b, "", now)
	}
	require.Positive(t, ratePermille(b, "", now), "it never stops altogether")
}

func TestUsed_CountsReadsOfThirtyDays(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	b := &meshv1.Budget{
		Reads: map[string]uint64{"2026-03-31": 1, "2026-03-02": 10, "2026-03-01": 100, "2026-02-01": 1000},
	}
	require.EqualValues(t, 11, ReadsOf30Days(b, now))
	prune(b, now.UnixNano())
	require.Len(t, b.GetReads(), 3)
}

func TestAssign_ToleratesAWrongClock(t *testing.T) {
	b := &meshv1.Budget{}
	p := Limits{PerSecond: 100, PerEndpoint: 25}.paces()
	now := int64(1_000_000_000_000_000_000)
	calls := repeat(4, call{"POST /v1/prices", Bulk})
	hour := int64(time.Hour)
	wrong, _, _ := assign(b, p, now+hour, repeat(30, call{"POST /v1/prices", Live}), maxConsidered)
	require.NotEmpty(t, wrong)
	require.True(t, lowerRate(b, "", now+hour))
	for range 100 {
		var turns []turn
		turns, now, _ = assign(b, p, now, calls, maxConsidered)
		if len(turns) > 0 {
			return
		}
	}
	t.Fatal("no turn is given for an hour")
}
