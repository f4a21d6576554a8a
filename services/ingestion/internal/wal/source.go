// Package wal reads the catalog database's write-ahead log through a logical replication slot. It checks that the
// database and the watched tables allow it, creates publication and slot, and returns the changes of committed
// transactions. It does not know products, only the columns that name them.
package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/internal/postgres"
)

// Source is the log of one database, read through one slot.
type Source struct {
	Database    postgres.Database
	Slot        string
	Publication string
	// Tables are the watched tables.
	Tables []Table
	// AllowRowSecurity reports whether the operator says that row level security shows the role every row.
	AllowRowSecurity bool
}

// SlotState is the state of the database and its replication slot.
type SlotState struct {
	// SystemID identifies the database cluster: positions of two clusters cannot be compared.
	SystemID string
	// Confirmed is the slot's position. Everything up to it was captured before, or was committed before the slot was
	// created.
	Confirmed pglogrepl.LSN
	// Current is the end of the log now.
	Current pglogrepl.LSN
	// IsMissing reports whether the slot does not exist, or has lost its log. Create creates it. Changes from before
	// are found only by a snapshot.
	IsMissing bool
	// IsBeingCreated reports whether another session is creating the slot, and waits for open transactions to end.
	IsBeingCreated bool
}

// Find reads the state of the slot. It fails if the slot belongs to another use.
func (s *Source) Find(ctx context.Context, pool *pgxpool.Pool) (SlotState, error) {
	out, conn, err := s.connectAndRead(ctx, pool)
	if conn != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
	}
	return out, err
}

// Drop drops the slot if it exists and no process reads it.
func (s *Source) Drop(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx,
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1",
		s.Slot); err != nil {
		return fmt.Errorf("drop replication slot %s, whose log can no longer be read: %w", s.Slot, err)
	}
	return nil
}

// Create creates the slot, and first drops one that has lost its log. Postgres waits for every open transaction that
// has written: see Blocker.
func (s *Source) Create(ctx context.Context, pool *pgxpool.Pool) (SlotState, error) {
	out, conn, err := s.connectAndRead(ctx, pool)
	if conn != nil {
		defer conn.Close(context.WithoutCancel(ctx))
	}
	if err != nil || !out.IsMissing || out.IsBeingCreated {
		return out, err
	}
	// The existing slot has lost its log.
	if err := s.Drop(ctx, pool); err != nil {
		return out, err
	}
	made, err := pglogrepl.CreateReplicationSlot(ctx, conn, s.Slot, "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{SnapshotAction: "NOEXPORT_SNAPSHOT"})
	if err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "42710" {
			// Another replica was faster.
			return s.readState(ctx, pool, conn)
		}
		if errors.As(err, &pg) && pg.Code == "53400" {
			return out, errors.New(
				"the catalog database has no replication slot left: run `ALTER SYSTEM SET max_replication_slots = " +
					"...;` with a higher number and restart Postgres, or drop an unused slot (see " +
					"pg_replication_slots)")
		}
		return out, fmt.Errorf("create replication slot %s: %w", s.Slot, err)
	}
	if out.Confirmed, err = pglogrepl.ParseLSN(made.ConsistentPoint); err != nil {
		return out, fmt.Errorf("read the position of replication slot %s: %w", s.Slot, err)
	}
	out.IsMissing = false
	return out, nil
}

// connectAndRead opens a connection with the replication protocol and reads the state of the slot. The caller closes
// the connection, unless it is nil.
func (s *Source) connectAndRead(ctx context.Context, pool *pgxpool.Pool) (SlotState, *pgconn.PgConn, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return SlotState{}, nil, explainPooler(err)
	}
	out, err := s.readState(ctx, pool, conn)
	return out, conn, err
}

// readState reads the state of the slot. conn has the replication protocol.
func (s *Source) readState(ctx context.Context, pool *pgxpool.Pool, conn *pgconn.PgConn) (SlotState, error) {
	system, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return SlotState{}, explainPooler(fmt.Errorf("identify the catalog database: %w", err))
	}
	out := SlotState{SystemID: system.SystemID, Current: system.XLogPos}

	var plugin, confirmed, status string
	var database string
	var here, active bool
	err = pool.QueryRow(ctx,
		`SELECT plugin, coalesce(database, ''), coalesce(database = current_database(), false), active,
		coalesce(confirmed_flush_lsn::text, ''), coalesce(wal_status, '')
		FROM pg_replication_slots WHERE slot_name = $1`, s.Slot).Scan(&plugin, &database, &here, &active, &confirmed,
		&status)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		out.IsMissing = true
	case err != nil:
		return out, fmt.Errorf("query replication slot %s: %w", s.Slot, err)
	case !here:
		return out, fmt.Errorf(
			"replication slot %s belongs to database %q of the same server: choose another name with DRIFTLESS_SLOT",
			s.Slot, database)
	case plugin != "pgoutput":
		return out, fmt.Errorf(
			"replication slot %s belongs to another use (plugin %s): choose another name with DRIFTLESS_SLOT", s.Slot,
			plugin)
	case confirmed == "" && active:
		out.IsMissing, out.IsBeingCreated = true, true
	case status == "lost" || confirmed == "":
		out.IsMissing = true
	default:
		if out.Confirmed, err = pglogrepl.ParseLSN(confirmed); err != nil {
			return out, fmt.Errorf("read the position of replication slot %s: %w", s.Slot, err)
		}
	}
	return out, nil
}

// senderTimeout is the setting for how long the server waits for a sign of life before it ends the connection and frees
// the slot. A value in DATABASE_URL has precedence.
const senderTimeout = "wal_sender_timeout"

// peerTimeout is the time without an answer after which either side considers the other gone. Signs of life come every
// StatusInterval.
const peerTimeout = 10 * time.Second

// connect opens a connection with the replication protocol.
func (s *Source) connect(ctx context.Context) (*pgconn.PgConn, error) {
	parsed, err := s.Database.Config()
	if err != nil {
		return nil, err
	}
	cfg := &parsed.Config
	cfg.RuntimeParams["replication"] = "database"
	if _, set := cfg.RuntimeParams[senderTimeout]; !set {
		cfg.RuntimeParams[senderTimeout] = peerTimeout.String()
	}
	cfg.DialFunc = dial
	RequirePrimary(cfg)
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if errors.Is(err, pgconn.ErrStandbyConnection) {
		return nil, fmt.Errorf("the catalog database is a standby: set DATABASE_URL to the primary: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open a replication connection to the catalog database: %w", s.Database.Explain(err))
	}
	return conn, nil
}

// RequirePrimary makes a connection lead to the primary, unless target_session_attrs in DATABASE_URL names another kind
// of server. Only the primary takes writes and has the slot. The driver would take the first server that answers, of
// several in DATABASE_URL or behind one name. After a failover, connections would lead to different servers.
func RequirePrimary(cfg *pgconn.Config) {
	if cfg.ValidateConnect == nil {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
}

// explainPooler explains the errors with which connection poolers answer the replication protocol.
func explainPooler(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	// PgBouncer: 08P01 "unsupported startup parameter: replication". Others pass IDENTIFY_SYSTEM on as SQL.
	if pg.Code == "08P01" || strings.Contains(pg.Message, "startup parameter") ||
		pg.Code == "42601" && strings.Contains(pg.Message, "IDENTIFY_SYSTEM") {
		return fmt.Errorf(
			"%w: DATABASE_URL leads through a connection pooler, which does not support replication: set it to a "+
				"direct connection to Postgres", err)
	}
	return err
}
