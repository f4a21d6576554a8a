package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Lag is how far a slot is behind the log.
type Lag struct {
	// End of the log, and the slot's confirmed position.
	End, Confirmed pglogrepl.LSN
	// Retained is how many bytes of log the database keeps for the slot.
	Retained uint64
	// Headroom is how many more bytes may be written before the slot loses its log; nil if there is no limit.
	Headroom *int64
	// Active: somebody reads the slot.
	Active bool
}

// Behind is how many bytes of log are not confirmed.
func (l Lag) Behind() uint64 { return uint64(max(l.End, l.Confirmed) - l.Confirmed) }

// ErrNoSlot: the replication slot does not exist, as before the first start.
var ErrNoSlot = errors.New("there is no replication slot")

// Lag asks the database how far the slot is behind.
func (s *Source) Lag(ctx context.Context, pool *pgxpool.Pool) (Lag, error) {
	var end, confirmed string
	var out Lag
	var retained int64
	err := pool.QueryRow(ctx,
		`WITH log AS (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn)
		SELECT log.lsn::text, coalesce(confirmed_flush_lsn, log.lsn)::text, coalesce(pg_wal_lsn_diff(log.lsn, restart_lsn), 0)::bigint, safe_wal_size, active
		FROM pg_replication_slots, log WHERE slot_name = $1`, s.Slot).Scan(&end, &confirmed, &retained, &out.Headroom,
		&out.Active)
	if errors.Is(err, pgx.ErrNoRows) {
		return Lag{}, ErrNoSlot
	}
	if err != nil {
		return Lag{}, fmt.Errorf("ask how far replication slot %s is behind: %w", s.Slot, err)
	}
	out.Retained = uint64(max(retained, 0))
	if out.End, err = pglogrepl.ParseLSN(end); err != nil {
		return Lag{}, fmt.Errorf("read the end of the log: %w", err)
	}
	if out.Confirmed, err = pglogrepl.ParseLSN(confirmed); err != nil {
		return Lag{}, fmt.Errorf("read the position of replication slot %s: %w", s.Slot, err)
	}
	return out, nil
}
