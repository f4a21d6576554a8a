package story_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/story"
)

var begin = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)

func at(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(begin.Add(d)) }

// entry returns an entry of a version some milliseconds after the begin.
func entry(kind string, version uint64, ms int) *controlv1.HistoryEntry {
	return &controlv1.HistoryEntry{Kind: kind, Version: version, At: at(time.Duration(ms) * time.Millisecond)}
}

// approved returns the entry about an approval, with push's words about it.
func approved(version uint64, ms int, detail string) *controlv1.HistoryEntry {
	e := entry("approved", version, ms)
	e.Detail = detail
	return e
}

func change(version uint64, ms int) *controlv1.HistoryEntry {
	e := entry("catalog_change", version, ms)
	e.Detail = "wal; upsert"
	return e
}

// applied returns the entry about calls with the keys. Each call took 10 ms.
func applied(version uint64, ms int, keys ...string) *controlv1.HistoryEntry {
	e := entry("applied", version, ms)
	for _, k := range keys {
		e.Steps = append(e.Steps, &meshv1.AppliedStep{
			Step: "step " + k, IdempotencyKey: k, StripeRequestId: "req_" + k,
			Took: durationpb.New(10 * time.Millisecond),
		})
	}
	return e
}

func confirmed(key string, ms int) *controlv1.HistoryEntry {
	e := entry("confirmed", 0, ms)
	e.IdempotencyKey, e.StripeEventId = key, "evt_"+key
	return e
}

// latestFirst returns entries in the order of ListHistory.
func latestFirst(entries ...*controlv1.HistoryEntry) (out []*controlv1.HistoryEntry) {
	for i := range entries {
		out = append(out, entries[len(entries)-1-i])
	}
	return out
}

func TestChanges_SaysWhatBecameOfTheLatest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries       []*controlv1.HistoryEntry
		outcome, tone string
		took          time.Duration
		ended         bool
		by            uint64
	}{
		"no entry yet": {
			entries: latestFirst(change(1, 0)), outcome: "on its way", tone: "busy",
		},
		"every call confirmed": {
			entries: latestFirst(change(1, 0), applied(1, 100, "a", "b"), confirmed("a", 150), confirmed("b", 190)),
			outcome: "confirmed", tone: "good", took: 190 * time.Millisecond, ended: true,
		},
		"one call not confirmed": {
			entries: latestFirst(change(1, 0), applied(1, 100, "a", "b"), confirmed("a", 150)),
			outcome: "written, not confirmed yet", tone: "busy", took: 100 * time.Millisecond,
		},
		"a repair is no part of it": {
			entries: latestFirst(change(1, 0), applied(1, 100, "a"), confirmed("a", 150), applied(1, 9000, "b")),
			outcome: "confirmed", tone: "good", took: 150 * time.Millisecond, ended: true,
		},
		"nothing to write": {
			entries: latestFirst(change(1, 0), applied(1, 20)),
			outcome: "nothing to write", tone: "good", took: 20 * time.Millisecond, ended: true,
		},
		"refused": {
			entries: latestFirst(change(1, 0), entry("dead", 1, 50)), outcome: "refused", tone: "bad", ended: true,
		},
		"refused, and replayed": {
			entries: latestFirst(change(1, 0), entry("dead", 1, 50), applied(1, 90)),
			outcome: "nothing to write", tone: "good", took: 90 * time.Millisecond, ended: true,
		},
		"held": {
			entries: latestFirst(change(1, 0), entry("held", 1, 50)), outcome: "held by the guard", tone: "held",
		},
		"one of two people has approved": {
			entries: latestFirst(change(1, 0), entry("held", 1, 50), approved(1, 60, "1 of 2: ann: a sale")),
			outcome: "held by the guard", tone: "held",
		},
		"two of two people have approved": {
			entries: latestFirst(change(1, 0), entry("held", 1, 50), approved(1, 60, "1 of 2: ann: a sale"),
				approved(1, 70, "2 of 2: bob: a sale")),
			outcome: "approved, on its way", tone: "busy",
		},
		// The limit was lowered from two people to one.
		"more people than needed have approved": {
			entries: latestFirst(change(1, 0), entry("held", 1, 50), approved(1, 70, "2 of 1: bob: a sale")),
			outcome: "approved, on its way", tone: "busy",
		},
		"held again after an approval": {
			entries: latestFirst(change(1, 0), entry("held", 1, 50), approved(1, 60, "1 of 1: ann: a sale"),
				entry("held", 1, 70)),
			outcome: "held by the guard", tone: "held",
		},
		"an approval too late": {
			entries: latestFirst(change(1, 0), applied(1, 50),
				approved(1, 60, "ignored, because it is not held: the approval of ann: a sale")),
			outcome: "nothing to write", tone: "good", took: 50 * time.Millisecond, ended: true,
		},
		"released": {
			entries: latestFirst(change(1, 0), entry("held", 1, 50), entry("released", 1, 60)),
			outcome: "let pass by the guard, on its way", tone: "busy",
		},
		"failing": {
			entries: latestFirst(change(1, 0), entry("failed", 1, 50)), outcome: "failing", tone: "bad",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := story.Changes(c.entries)
			require.Len(t, all, 1)
			require.Equal(t, story.Change{
				Entry: all[0].Entry, Outcome: c.outcome, Tone: c.tone, Took: c.took, By: c.by, Ended: c.ended,
			}, all[0])
		})
	}
}

func TestChanges_LeadsToTheChangeThatCarriedAnother(t *testing.T) {
	t.Parallel()
	underway := story.Changes(latestFirst(change(1, 0), change(2, 5), change(3, 9)))
	require.Equal(t, []uint64{0, 3, 2}, []uint64{underway[0].By, underway[1].By, underway[2].By})
	require.False(t, underway[2].Ended)

	done := story.Changes(latestFirst(change(1, 0), entry("held", 1, 2), change(2, 5), change(3, 9), applied(3, 40)))
	require.Equal(t, []uint64{0, 3, 3}, []uint64{done[0].By, done[1].By, done[2].By})
	require.Equal(t, "carried by a later change", done[2].Outcome)
	require.True(t, done[2].Ended)
}

func TestChanges_TakesNoTimeFromAStateThatWasOnlyRead(t *testing.T) {
	t.Parallel()
	read := change(1, 0)
	read.Detail = "snapshot; upsert"
	all := story.Changes(latestFirst(read, applied(1, 20)))
	require.Zero(t, all[0].Took)
}

func TestTell_HasEveryPartOfTheWay(t *testing.T) {
	t.Parallel()
	c := change(1, 0)
	c.CapturedAt = at(30 * time.Millisecond)
	a := applied(1, 210, "a", "b")
	a.Steps[0].Took, a.Steps[0].Waited = durationpb.New(50*time.Millisecond), durationpb.New(40*time.Millisecond)
	a.Steps[0].SentAt = at(140 * time.Millisecond)
	event := entry("stripe_event", 0, 160)
	event.StripeEventId = "evt_a"
	s, ok := story.Tell(latestFirst(c, event, a, confirmed("a", 230), change(2, 300)), 1)
	require.True(t, ok)
	type line struct {
		title      string
		start, end int
	}
	var got []line
	for _, x := range s.Steps {
		got = append(got, line{
			x.Title, int(x.Start.Sub(begin).Milliseconds()), int(x.End.Sub(begin).Milliseconds()),
		})
	}
	require.Equal(t, []line{
		{"Committed", 0, 0},
		{"Captured", 0, 30},
		{"Queued", 30, 100},
		{"Waited for a turn", 100, 140},
		{"step a", 140, 150},
		{"Confirmed by Stripe's event", 150, 230},
		// The answer of the second call has no time of its own: it is that of the entry.
		{"step b", 200, 210},
	}, got)
	require.Equal(t, 160*time.Millisecond, s.Steps[5].Received.Sub(begin))
	require.Equal(t, "written, not confirmed yet", s.Outcome)
	require.Equal(t, 230*time.Millisecond, s.End.Sub(s.Start))
}

func TestTell_ShowsAttemptsAndTheHoldUntilItsDecision(t *testing.T) {
	t.Parallel()
	failed := entry("failed", 1, 100)
	failed.Attempts, failed.Detail, failed.StripeRequestId = 4, "Stripe: no such tax code", "req_1"
	failed.NextAttemptAt = at(time.Second)
	s, ok := story.Tell(latestFirst(change(1, 0), entry("held", 1, 20), approved(1, 40, "1 of 2: ann: a sale"),
		approved(1, 80, "2 of 2: bob: a sale"), failed), 1)
	require.True(t, ok)
	require.Equal(t, "Held by the guard", s.Steps[2].Title)
	require.Equal(t, 60*time.Millisecond, s.Steps[2].Took())
	require.Equal(t, []string{"held", "good"}, []string{s.Steps[3].Tone, s.Steps[4].Tone}, "it takes two people")
	last := s.Steps[len(s.Steps)-1]
	require.Equal(t, "Attempt 4 failed", last.Title)
	require.Equal(t, "Stripe: no such tax code", last.Text)
	require.Equal(t, "req_1", last.Request)
	require.Equal(t, begin.Add(time.Second), last.Next)
}

func TestTell_DoesNotInventAChange(t *testing.T) {
	t.Parallel()
	_, ok := story.Tell(latestFirst(change(1, 0), applied(2, 30)), 2)
	require.False(t, ok)
}
