package ingestion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/mesh"
)

// history ties versions to the write-ahead log. A version is a position in the log plus the epoch, which grows when a
// log goes back: to an earlier state of its volume, or to a standby that was behind (failover slots of Postgres 17).
//
// What was captured before is in the log again after a crash only. So the last transaction that was captured must be
// met again if the slot is before it. If another one is in its place, or the log goes on without it, the history is
// another one, and what was committed there below the old position would be skipped as known.
type history struct {
	epoch uint64
	// published is the position of the last transaction with a message in the live lane: what is below it is stored.
	published pglogrepl.LSN
	// expected is the position of the last transaction that versions were made of; 0 if none has to be met again.
	expected   pglogrepl.LSN
	expectedAt time.Time
}

// version is the version that a position stands for.
func (h *history) version(lsn pglogrepl.LSN) uint64 { return uint64(lsn) + h.epoch }

// met takes a transaction of the log into account.
func (h *history) met(c *wal.Chunk) error {
	switch {
	case h.expected == 0 || c.CommitLSN < h.expected:
		return nil
	case c.CommitLSN == h.expected && (h.expectedAt.IsZero() || c.CommittedAt.Equal(h.expectedAt)):
		h.expected = 0
		return nil
	default:
		return fmt.Errorf("%w: at %s it has another transaction than before", errHistory, h.expected)
	}
}

// reached takes into account that the log was read up to a position.
func (h *history) reached(end pglogrepl.LSN) error {
	if h.expected != 0 && end > h.expected {
		return fmt.Errorf("%w: it goes on to %s without the transaction at %s", errHistory, end, h.expected)
	}
	return nil
}

// newHistory makes the history of a turn that begins at a slot's position, of what is recorded, and of the version and
// commit time of the last message of the live lane.
func newHistory(recorded *meshv1.CatalogHistory, live uint64, liveAt time.Time, confirmed pglogrepl.LSN) history {
	h := history{epoch: recorded.GetEpoch()}
	// Those of an earlier epoch say nothing of this log.
	if live > h.epoch {
		h.published = pglogrepl.LSN(live - h.epoch)
		h.expected, h.expectedAt = h.published, liveAt
	}
	if v := recorded.GetVersion(); v > h.epoch && pglogrepl.LSN(v-h.epoch) > h.expected {
		h.expected, h.expectedAt = pglogrepl.LSN(v-h.epoch), recorded.GetCommittedAt().AsTime()
	}
	if h.expected < confirmed {
		// A slot that was confirmed beyond it has been there.
		h.expected = 0
	}
	return h
}

// learn reads the history for a turn. If the log ends before what was captured, or was found to be another one,
// versions go on above the old ones from a new epoch, and the tables are read as a whole.
func (in *ingester) learn(ctx context.Context, prepared wal.Prepared) (history, error) {
	recorded := &meshv1.CatalogHistory{}
	revision, err := in.mesh.History(in.account).GetAt(ctx, recorded)
	if err != nil {
		return history{}, err
	}
	live, liveAt, err := in.lastLive(ctx)
	if err != nil {
		return history{}, err
	}
	h := newHistory(recorded, live, liveAt, prepared.Confirmed)
	highest := max(live, recorded.GetVersion())
	if h.version(prepared.Current) >= highest && !in.whole.otherHistory.Load() {
		return h, nil
	}
	// Transactions that are open now are committed beyond the end of the log.
	epoch := h.epoch
	if now := h.version(prepared.Current); now < highest {
		epoch += highest - now + 1
	}
	next := &meshv1.CatalogHistory{Epoch: epoch}
	if err := in.want(ctx, "the catalog database went back to an earlier state"); err != nil {
		return h, err
	}
	if _, err := in.mesh.History(in.account).CompareAndPut(ctx, next, revision); err != nil {
		return h, err
	}
	in.whole.otherHistory.Store(false)
	in.logger.WarnContext(
		ctx, "the catalog database is not where it was when it was captured last, as after a restore or a failover to a standby that was behind; reading the tables as a whole",
		"position", prepared.Current.String(), "epoch", epoch)
	// Nothing of the old log is expected of the new one, nor is anything in it known.
	return history{epoch: epoch}, nil
}

// lastLive is the version and the commit time of the last message in the live lane; zero if there is none.
func (in *ingester) lastLive(ctx context.Context) (version uint64, committed time.Time, err error) {
	last, err := in.mesh.Desired().LastLiveChange(ctx, in.account)
	if err != nil || last == nil {
		return 0, time.Time{}, err
	}
	if at := last.GetCommittedAt(); at != nil {
		committed = at.AsTime()
	}
	return last.GetVersion(), committed, nil
}

// record keeps a version before anything is labelled with it: should the log go back below it, that must be noticed.
func (in *ingester) record(ctx context.Context, p position) error {
	cursor := in.mesh.History(in.account)
	for {
		recorded := &meshv1.CatalogHistory{}
		revision, err := cursor.GetAt(ctx, recorded)
		if err != nil || recorded.GetVersion() >= p.version {
			return err
		}
		recorded.Version, recorded.CommittedAt = p.version, timestamppb.New(p.committed)
		if _, err = cursor.CompareAndPut(ctx, recorded, revision); !errors.Is(err, mesh.ErrConflict) {
			return err
		}
	}
}
