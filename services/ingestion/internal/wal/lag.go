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
	// Retained is the size of the log that the database keeps for the slot, in bytes.
	Retained uint64
	// Headroom is how many more bytes can be written before the slot loses its log. It is nil if there is no limit.
	Headroom *int64
	// Active reports whether a process reads the slot.
	Active bool
}

// Behind returns the size of the unconfirmed log, in bytes.
func (l Lag) Behind() uint64 { return uint64(max(l.End, l.Confirmed) - l.Confirmed) }

// ErrNoSlot means that the replication slot does not exist, as before the first start.
var ErrNoSlot = errors.New("there is no replication slot")

// Lag returns how far the slot is behind. It returns ErrNoSlot if there is no slot.
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
		return Lag{}, fmt.Errorf("read the lag of replication slot %s: %w", s.Slot, err)
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

// InactiveSlot is a replication slot that nobody reads. The database keeps the log for it.
type InactiveSlot struct {
	Name string
	// Retained is the size of the log that the database keeps for it, in bytes.
	Retained uint64
}

// maxInactiveSlots bounds how many slots are returned.
const maxInactiveSlots = 20

// InactiveSlots returns the replication slots of the server that nobody reads, other than the own slot and those that
// keep no log. The slots that keep the most come first, at most 20.
func (s *Source) InactiveSlots(ctx context.Context, pool *pgxpool.Pool) ([]InactiveSlot, error) {
	rows, err := pool.Query(ctx,
		`WITH log AS (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn)
		SELECT slot_name::text, greatest(pg_wal_lsn_diff(log.lsn, restart_lsn), 0)::bigint
		FROM pg_replication_slots, log WHERE NOT active AND restart_lsn IS NOT NULL AND slot_name <> $1
		ORDER BY 2 DESC, 1 LIMIT $2`, s.Slot, maxInactiveSlots)
	if err != nil {
		return nil, fmt.Errorf("read the replication slots: %w", err)
	}
	slots, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (InactiveSlot, error) {
		var name string
		var retained int64
		err := row.Scan(&name, &retained)
		return InactiveSlot{name, uint64(retained)}, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the replication slots: %w", err)
	}
	return slots, nil
}
