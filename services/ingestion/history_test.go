package ingestion

import (
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/state"
)

func TestHistory_RequiresLastTransactionAgain(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	tx := func(lsn pglogrepl.LSN, at time.Time) *wal.Chunk { return &wal.Chunk{CommitLSN: lsn, CommittedAt: at} }
	for name, c := range map[string]struct {
		recorded  *meshv1.CatalogHistory
		live      uint64
		confirmed pglogrepl.LSN
		log       []*wal.Chunk
		end       pglogrepl.LSN
		other     bool
	}{
		"first start":         {log: []*wal.Chunk{tx(10, noon)}, end: 20},
		"confirmed beyond it": {live: 100, confirmed: 120, log: []*wal.Chunk{tx(130, noon)}, end: 140},
		"met after a crash": {
			live:      100,
			confirmed: 50,
			log:       []*wal.Chunk{tx(60, noon), tx(100, noon), tx(130, noon)},
			end:       140,
		},
		"another transaction in its place": {
			live:      100,
			confirmed: 50,
			log:       []*wal.Chunk{tx(60, noon), tx(100, noon.Add(time.Second))},
			other:     true,
		},
		"another transaction behind its place": {
			live:      100,
			confirmed: 50,
			log:       []*wal.Chunk{tx(60, noon), tx(105, noon)},
			other:     true,
		},
		"an idle log beyond its place": {live: 100, confirmed: 50, end: 101, other: true},
		"an idle log before its place": {live: 100, confirmed: 50, end: 99},
		"a label above the last live message": {
			live: 100, confirmed: 120,
			recorded: &meshv1.CatalogHistory{Version: 150, CommittedAt: timestamppb.New(noon)},
			log:      []*wal.Chunk{tx(150, noon.Add(time.Second))}, other: true,
		},
		"a version of an epoch before": {
			live:      100,
			recorded:  &meshv1.CatalogHistory{Epoch: 100},
			confirmed: 10,
			log:       []*wal.Chunk{tx(20, noon)},
			end:       30,
		},
		"a version of this epoch": {
			live:      160,
			recorded:  &meshv1.CatalogHistory{Epoch: 100},
			confirmed: 10,
			log:       []*wal.Chunk{tx(70, noon)},
			other:     true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(c.recorded, c.live, noon, c.confirmed)
			var err error
			for _, chunk := range c.log {
				if err == nil {
					err = h.checkTransaction(chunk)
				}
			}
			if err == nil && c.end > 0 {
				err = h.checkEnd(c.end)
			}
			if c.other {
				require.ErrorIs(t, err, errHistory)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestCatalogLost_DetectsLossOfMessages(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	before := &meshv1.CaptureReport{
		CatalogCreated:      timestamppb.New(created),
		CatalogLastSequence: 100,
		CatalogMessages:     80,
	}
	for name, c := range map[string]struct {
		now  state.CatalogState
		want string
	}{
		"as it was":       {state.CatalogState{Created: created, LastSeq: 100, Messages: 80}, ""},
		"more was stored": {state.CatalogState{Created: created, LastSeq: 140, Messages: 90}, ""},
		"older ones were evicted": {
			state.CatalogState{Created: created, FirstSeq: 100, LastSeq: 140, Messages: 80}, "",
		},
		"purged, and more was stored since": {
			state.CatalogState{Created: created, FirstSeq: 101, LastSeq: 300, Messages: 200}, "purged",
		},
		"purged":           {state.CatalogState{Created: created, LastSeq: 100}, "purged"},
		"a product purged": {state.CatalogState{Created: created, LastSeq: 100, Messages: 78}, "purged"},
		"created again": {
			state.CatalogState{Created: created.Add(time.Hour), LastSeq: 200, Messages: 200},
			"created again",
		},
		"restored": {state.CatalogState{Created: created, LastSeq: 90, Messages: 80}, "restored"},
	} {
		got := catalogLost(before, c.now)
		if c.want == "" {
			require.Empty(t, got, name)
		} else {
			require.Contains(t, got, c.want, name)
		}
	}
	require.Empty(t, catalogLost(&meshv1.CaptureReport{}, state.CatalogState{}),
		"before the first report nothing is known")
}
