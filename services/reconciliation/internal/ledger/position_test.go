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
		other     string
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
			other:     "CATALOG",
		},
		"stream restored from an older copy, with other messages since": {
			stored: map[string]ledger.StreamPosition{
				"CATALOG": {Stream: "CATALOG", Created: made, Sequence: 100, MessageAt: noon},
			},
			delivered: ledger.Delivered{Created: made, Last: 120, Begun: true, To: 80, MessageAt: again},
			want:      []ledger.Gap{{Stream: "CATALOG", Created: made, First: 1, Last: 80}},
			other:     "CATALOG",
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
			other:     "CATALOG",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.delivered.Stream = "CATALOG"
			gaps, other := ledger.Gaps(c.stored, []ledger.Delivered{c.delivered})
			require.Empty(t, cmp.Diff(c.want, gaps))
			require.Equal(t, c.other, other)
		})
	}
}
