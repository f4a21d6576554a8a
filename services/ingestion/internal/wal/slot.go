package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// InUse reports whether a process reads the slot. It is false if there is no slot.
func (s *Source) InUse(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	var active bool
	err := pool.QueryRow(ctx, "SELECT active FROM pg_replication_slots WHERE slot_name = $1", s.Slot).Scan(&active)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("check whether replication slot %s is in use: %w", s.Slot, err)
	}
	return active, nil
}

// Confirmed returns the slot's position, up to which everything is captured. It is 0 if there is no slot.
func (s *Source) Confirmed(ctx context.Context, pool *pgxpool.Pool) (pglogrepl.LSN, error) {
	var confirmed string
	err := pool.QueryRow(ctx,
		"SELECT coalesce(confirmed_flush_lsn, '0/0')::text FROM pg_replication_slots WHERE slot_name = $1",
		s.Slot).Scan(&confirmed)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("query the position of replication slot %s: %w", s.Slot, err)
	}
	lsn, err := pglogrepl.ParseLSN(confirmed)
	if err != nil {
		return 0, fmt.Errorf("read the position of replication slot %s: %w", s.Slot, err)
	}
	return lsn, nil
}

// End returns the position of the next record of the log. Every commit is below it, whether it is flushed to disk or
// not.
func (s *Source) End(ctx context.Context, pool *pgxpool.Pool) (pglogrepl.LSN, error) {
	var end string
	if err := pool.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&end); err != nil {
		return 0, fmt.Errorf("query the end of the log: %w", err)
	}
	lsn, err := pglogrepl.ParseLSN(end)
	if err != nil {
		return 0, fmt.Errorf("read the end of the log: %w", err)
	}
	return lsn, nil
}

// Position returns Confirmed, or 0 if the database does not answer.
func (s *Source) Position(ctx context.Context, pool *pgxpool.Pool) pglogrepl.LSN {
	lsn, err := s.Confirmed(ctx, pool)
	if err != nil {
		return 0
	}
	return lsn
}

// Mark writes a mark into the log, which Chunk.Barriers returns. It returns a flushed position of the log beyond the
// mark.
func (s *Source) Mark(ctx context.Context, pool *pgxpool.Pool, mark string) (pglogrepl.LSN, error) {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// Only the flushed part of the log counts, and can be read.
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

// Blocker describes the oldest transaction that delays the creation of a slot. Postgres waits until every transaction
// that has written something has ended. It is empty if there is none. It does not include the transaction's statements.
func (s *Source) Blocker(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	var description string
	err := pool.QueryRow(ctx,
		`SELECT format('the transaction of process %s (%s, user %s, %s), open for %s s', pid, coalesce(nullif(application_name, ''), 'no application name'),
			usename, state, extract(epoch FROM clock_timestamp() - xact_start)::bigint)
			FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY xact_start LIMIT 1`).Scan(&description)
	if errors.Is(err, pgx.ErrNoRows) {
		err = pool.QueryRow(ctx,
			`SELECT format('the prepared transaction %L of %s, prepared %s s ago', gid, owner, extract(epoch FROM clock_timestamp() - prepared)::bigint)
			FROM pg_prepared_xacts ORDER BY prepared LIMIT 1`).Scan(&description)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("list the open transactions: %w", err)
	}
	return description, nil
}

// LockWait describes the lock that one of ingestion's queries waits for, found by the application name. It is empty if
// none waits.
func (s *Source) LockWait(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	var description string
	err := pool.QueryRow(ctx, `SELECT format('a query waits for a lock that process %s holds (%s, user %s, %s)', b.pid,
			coalesce(nullif(b.application_name, ''), 'no application name'), b.usename, b.state)
			FROM pg_stat_activity a CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) w(pid) JOIN pg_stat_activity b ON b.pid = w.pid
			WHERE a.application_name = 'driftless-ingestion' AND a.datname = current_database() AND a.wait_event_type = 'Lock' LIMIT 1`).Scan(&description)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("list the lock waits: %w", err)
	}
	return description, nil
}
