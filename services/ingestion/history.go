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
	"github.com/driftless-sync/driftless/services/internal/state"
)

// history converts positions in the write-ahead log to versions. A version is a position plus the epoch. The epoch
// grows when the log goes back: to an earlier state of its volume, or to a standby that was behind (failover slots of
// Postgres 17).
//
// The log has captured transactions again only after a crash. So if the slot is before the last captured transaction,
// that transaction must come again. Another transaction in its place, or a log that continues without it, means another
// history. Transactions of that history below the old position would be skipped as captured.
type history struct {
	epoch uint64
	// publishedUpTo is the position of the last transaction with a message in the live lane. Everything below it is
	// stored.
	publishedUpTo pglogrepl.LSN
	// expected is the position of the last transaction that has a version. It is 0 if no transaction must come again.
	expected   pglogrepl.LSN
	expectedAt time.Time
}

// version returns the version of a position.
func (h *history) version(lsn pglogrepl.LSN) uint64 { return uint64(lsn) + h.epoch }

// checkTransaction checks the next transaction of the log.
func (h *history) checkTransaction(c *wal.Chunk) error {
	switch {
	case h.expected == 0 || c.CommitLSN < h.expected:
		return nil
	case c.CommitLSN == h.expected && (h.expectedAt.IsZero() || c.CommittedAt.Equal(h.expectedAt)):
		h.expected = 0
		return nil
	default:
		return fmt.Errorf("%w: it has another transaction at %s than before", errHistory, h.expected)
	}
}

// checkEnd checks that the log was read up to a position.
func (h *history) checkEnd(end pglogrepl.LSN) error {
	if h.expected != 0 && end > h.expected {
		return fmt.Errorf("%w: it continues to %s without the transaction at %s", errHistory, end, h.expected)
	}
	return nil
}

// newHistory returns the history of a turn. recorded is the stored history, live and liveAt are the version and the
// commit time of the last live message, and confirmed is the slot's position.
func newHistory(recorded *meshv1.CatalogHistory, live uint64, liveAt time.Time, confirmed pglogrepl.LSN) history {
	h := history{epoch: recorded.GetEpoch()}
	// Versions of an earlier epoch say nothing about this log.
	if live > h.epoch {
		h.publishedUpTo = pglogrepl.LSN(live - h.epoch)
		h.expected, h.expectedAt = h.publishedUpTo, liveAt
	}
	if v := recorded.GetVersion(); v > h.epoch && pglogrepl.LSN(v-h.epoch) > h.expected {
		h.expected, h.expectedAt = pglogrepl.LSN(v-h.epoch), recorded.GetCommittedAt().AsTime()
	}
	if h.expected < confirmed {
		// A slot that was confirmed beyond the transaction has passed it.
		h.expected = 0
	}
	return h
}

// loadHistory reads the history for a turn. The log may end before the last captured position, or may be another log.
// Then a new epoch begins, so that versions continue above the old ones, and the tables are compared.
func (in *ingester) loadHistory(ctx context.Context, slot wal.SlotState) (history, error) {
	recorded := &meshv1.CatalogHistory{}
	revision, err := in.stores.History(in.account).GetAt(ctx, recorded)
	if err != nil {
		return history{}, err
	}
	live, liveAt, err := in.lastLive(ctx)
	if err != nil {
		return history{}, err
	}
	h := newHistory(recorded, live, liveAt, slot.Confirmed)
	highest := max(live, recorded.GetVersion())
	if h.version(slot.Current) >= highest && !in.snapshot.historyChanged.Load() {
		return h, nil
	}
	// Transactions that are open now will commit beyond the end of the log.
	epoch := h.epoch
	if now := h.version(slot.Current); now < highest {
		epoch += highest - now + 1
	}
	next := &meshv1.CatalogHistory{Epoch: epoch}
	if err := in.requestSnapshot(ctx, "the catalog database went back to an earlier state"); err != nil {
		return h, err
	}
	if _, err := in.stores.History(in.account).CompareAndPut(ctx, next, revision); err != nil {
		return h, err
	}
	in.snapshot.historyChanged.Store(false)
	in.logger.WarnContext(
		ctx, "the catalog database is behind the last captured position, for example after a restore or a failover to a standby that lagged; comparing all tables",
		"position", slot.Current.String(), "epoch", epoch)
	// Nothing of the old log is expected of the new one, and nothing in it is captured.
	return history{epoch: epoch}, nil
}

// lastLive returns the version and the commit time of the last live message, zero if there is none.
func (in *ingester) lastLive(ctx context.Context) (version uint64, committed time.Time, err error) {
	last, err := in.stores.Desired().LastLiveChange(ctx, in.account)
	if err != nil || last == nil {
		return 0, time.Time{}, err
	}
	if at := last.GetCommittedAt(); at != nil {
		committed = at.AsTime()
	}
	return last.GetVersion(), committed, nil
}

// recordVersion stores a version before anything is labelled with it, so that a log that goes back below it is
// detected.
func (in *ingester) recordVersion(ctx context.Context, p position) error {
	record := in.stores.History(in.account)
	for {
		recorded := &meshv1.CatalogHistory{}
		revision, err := record.GetAt(ctx, recorded)
		if err != nil || recorded.GetVersion() >= p.version {
			return err
		}
		recorded.Version, recorded.CommittedAt = p.version, timestamppb.New(p.committed)
		if _, err = record.CompareAndPut(ctx, recorded, revision); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}
