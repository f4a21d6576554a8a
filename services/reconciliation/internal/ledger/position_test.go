package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

func TestGaps_AreWhatTheLedgerMayLack(t *testing.T) {
	t.Parallel()
	made, again := noon, noon.Add(time.Hour)
	stored := map[string]ledger.StreamPosition{"CATALOG": {Stream: "CATALOG", Created: made, Sequence: 100}}
	for name, c := range map[string]struct {
		stored    map[string]ledger.StreamPosition
		delivered ledger.Delivered
		want      []ledger.Gap
		damage    ledger.Damage
	}{
		"new mesh": {delivered: ledger.Delivered{Created: made, Last: 7}},
		"lost ledger": {
			delivered: ledger.Delivered{Created: made, Last: 120, Begun: true, To: 110},
			want:      []ledger.Gap{{Stream: "CATALOG", Created: made, First: 1, Last: 110}},
		},
		"complete": {
			stored:    stored,
			delivered: ledger.Delivered{Created: made.Add(time.Nanosecond), Last: 120, Begun: true, To: 100},
		},
		"older copy": {
			stored:    stored,
			delivered: ledger.Delivered{Created: made, Last: 120, Begun: true, To: 110},
			want:      []ledger.Gap{{Stream: "CATALOG", Created: made, First: 101, Last: 110}},
		},
		"consumer made again": {
			stored:    stored,
			delivered: ledger.Delivered{Created: made, Last: 120},
		},
		"stream made again": {
			stored:    stored,
			delivered: ledger.Delivered{Created: again, Last: 5},
			want:      []ledger.Gap{{Stream: "CATALOG", Created: again, First: 1}},
			damage:    ledger.Damage{Other: "CATALOG"},
		},
		"stream restored from an older copy, with other messages since": {
			stored: map[string]ledger.StreamPosition{
				"CATALOG": {Stream: "CATALOG", Created: made, Sequence: 100, MessageAt: noon},
			},
			delivered: ledger.Delivered{Created: made, Last: 120, Begun: true, To: 80, MessageAt: again},
			want:      []ledger.Gap{{Stream: "CATALOG", Created: made, First: 1, Last: 80}},
			damage:    ledger.Damage{Other: "CATALOG"},
		},
		"unread messages were removed": {
			stored: stored,
			delivered: ledger.Delivered{
				Created: made, Last: 120, Begun: true, To: 100, HasRemoved: true, ReadTo: 120,
			},
			want:   []ledger.Gap{{Stream: "CATALOG", Created: made, First: 101, Last: 100, ReadTo: 120}},
			damage: ledger.Damage{Removed: "CATALOG"},
		},
		"process that has just started": {
			stored: map[string]ledger.StreamPosition{
				"CATALOG": {Stream: "CATALOG", Created: made, Sequence: 100, ReadTo: 150},
			},
			delivered: ledger.Delivered{Created: made, Last: 150, Begun: true, To: 110, ReadTo: 100},
			want:      []ledger.Gap{{Stream: "CATALOG", Created: made, First: 101, Last: 110, ReadTo: 150}},
		},
		"consumer that forgot its last deliveries": {
			stored: map[string]ledger.StreamPosition{
				"CATALOG": {Stream: "CATALOG", Created: made, Sequence: 100, MessageAt: noon},
			},
			delivered: ledger.Delivered{
				Created: made, Last: 120, Begun: true, To: 80, MessageAt: noon.Add(time.Nanosecond),
			},
		},
		"stream restored from an older copy": {
			stored:    stored,
			delivered: ledger.Delivered{Created: made, Last: 90, Begun: true, To: 80},
			want:      []ledger.Gap{{Stream: "CATALOG", Created: made, First: 1, Last: 80}},
			damage:    ledger.Damage{Other: "CATALOG"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.delivered.Stream = "CATALOG"
			gaps, damage := ledger.Gaps(c.stored, []ledger.Delivered{c.delivered})
			require.Empty(t, cmp.Diff(c.want, gaps))
			require.Equal(t, c.damage, damage)
		})
	}
}

func TestAllGaps_AreEverythingWithTheDamageSinceTheCopy(t *testing.T) {
	t.Parallel()
	made, again := noon, noon.Add(time.Hour)
	stored := map[string]ledger.StreamPosition{
		"CATALOG": {Stream: "CATALOG", Created: made, Sequence: 100},
		"STRIPE":  {Stream: "STRIPE", Created: made, Sequence: 9},
		"SYNC":    {Stream: "SYNC", Created: made, Sequence: 5},
	}
	gaps, damage := ledger.AllGaps(stored, []ledger.Delivered{
		{Stream: "CATALOG", Created: made, Last: 100, Begun: true, To: 100},
		{Stream: "STRIPE", Created: made, Last: 30, Begun: true, To: 30, HasRemoved: true, ReadTo: 30},
		{Stream: "SYNC", Created: again},
	})
	require.Empty(t, cmp.Diff([]ledger.Gap{
		{Stream: "CATALOG", Created: made, First: 1, Last: 100},
		{Stream: "STRIPE", Created: made, First: 1, Last: 30, ReadTo: 30},
		{Stream: "SYNC", Created: again, First: 1},
	}, gaps))
	require.Equal(t, ledger.Damage{Other: "SYNC", Removed: "STRIPE"}, damage)
}
