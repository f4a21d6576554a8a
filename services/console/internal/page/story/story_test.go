package story

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/story"
)

func TestBarOf_StaysOnTheLine(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	step := func(from, to time.Duration) story.Step { return story.Step{Start: begin.Add(from), End: begin.Add(to)} }
	s := shown{Story: story.Story{Start: begin, End: begin.Add(time.Second)}}
	require.Equal(t, bar{"25.00", "50.00"}, s.barOf(step(250*time.Millisecond, 750*time.Millisecond)))
	require.Equal(t, bar{"99.20", "0.80"}, s.barOf(step(time.Second, time.Second)), "a moment can be seen")
	require.Equal(t, bar{"0.00", "0.80"}, s.barOf(step(-time.Second, -time.Second)), "clocks may differ")
	require.Equal(t, bar{"0", "100"}, shown{}.barOf(story.Step{}))
}

func TestHeading_SaysConfirmedOnlyIfItIs(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[string]string{
		"confirmed":                   "Confirmed by Stripe, 2 s after the commit",
		"written, not confirmed yet":  "Written, not confirmed yet, 2 s after the commit",
		"nothing to write":            "Stripe had this state already, 2 s after the commit",
		"carried by a later change":   "Carried by a later change, 2 s after the commit",
		"approved, on its way":        "Approved, on its way, 2 s after the commit",
		"superseded, a later carries": "Superseded, a later carries, 2 s after the commit",
	} {
		require.Equal(t, want,
			shown{Story: story.Story{Change: story.Change{Outcome: outcome, Took: 2 * time.Second}}}.heading())
	}
}

func TestNeighbors_FindsTheVersions(t *testing.T) {
	t.Parallel()
	var entries []*controlv1.HistoryEntry
	for _, v := range []uint64{30, 20, 10} {
		entries = append(entries, &controlv1.HistoryEntry{Kind: "catalog_change", Version: v})
	}
	before, after := neighbors(entries, 20)
	require.Equal(t, []uint64{10, 30}, []uint64{before, after})
	before, after = neighbors(entries, 30)
	require.Equal(t, []uint64{20, 0}, []uint64{before, after})
}
