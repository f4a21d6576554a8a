package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Taken says whether somebody reads the slot. One that does not exist nobody reads.
func (s *Source) Taken(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	var active bool
	err := pool.QueryRow(ctx, "SELECT active FROM pg_replication_slots WHERE slot_name = $1", s.Slot).Scan(&active)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("look whether replication slot %s is read: %w", s.Slot, err)
	}
	return active, nil
}

// Confirmed is the slot's position: everything committed up to it is captured. It is 0 while there is no slot.
func (s *Source) Confirmed(ctx context.Context, pool *pgxpool.Pool) (pglogrepl.LSN, error) {
	var confirmed string
	err := pool.QueryRow(ctx, "SELECT coalesce(confirmed_flush_lsn, '0/0')::text FROM pg_replication_slots WHERE slot_name = $1", s.Slot).Scan(&confirmed)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the position of replication slot %s: %w", s.Slot, err)
	}
	lsn, err := pglogrepl.ParseLSN(confirmed)
	if err != nil {
		return 0, fmt.Errorf("read the position of replication slot %s: %w", s.Slot, err)
	}
	return lsn, nil
}

// Mark writes a mark into the log, for Chunk.Barriers, and returns a position beyond it that the log has reached.
func (s *Source) Mark(ctx context.Context, pool *pgxpool.Pool, mark string) (pglogrepl.LSN, error) {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// Only what is flushed counts as the log's end, and is read.
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = local"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, $1, $2)", BarrierPrefix, mark)
		return err
	})
	var end string
	if err == nil {
		err = pool.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&end)
	}
	if err != nil {
		return 0, fmt.Errorf("write a mark into the log: %w", err)
	}
	lsn, err := pglogrepl.ParseLSN(end)
	if err != nil {
		return 0, fmt.Errorf("read the end of the log: %w", err)
	}
	return lsn, nil
}
