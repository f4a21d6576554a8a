// Package databaseprobe asks the catalog database and the ledger. It changes nothing there.
package databaseprobe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/redact"
)

// Database is a database and the setting that names it.
type Database struct {
	postgres.Database

	// Unset says which setting to set. It is empty if URL is set.
	Unset string
	// Now is the clock of this machine. Defaults to time.Now.
	Now func() time.Time
}

func (d Database) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// Clock returns the clock of the catalog's database server.
func (d Database) Clock() doctor.Clock {
	return doctor.Clock{ID: doctor.ClocksDatabase, Name: "the database server", Read: d.readClock}
}

func (d Database) readClock(ctx context.Context) (time.Duration, error) {
	if d.URL == "" {
		return 0, errors.New(d.Unset + " is not set")
	}
	conn, err := d.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var there time.Time
	sent := d.now()
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
		return 0, fmt.Errorf("read the time of the database server: %w", err)
	}
	return doctor.Ahead(sent, d.now(), there), nil
}

func (d Database) connect(ctx context.Context) (*pgx.Conn, error) {
	db := d.Database
	db.Application = "driftless-doctor"
	conn, err := db.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("the database at %s does not answer: %w", redact.URL(d.URL), err)
	}
	return conn, nil
}

// Catalog returns the probes of the catalog's database server. slot is the name of ingestion's slot, which may be
// without a reader for as long as patience.
func Catalog(db Database, slot string, patience time.Duration) []doctor.Probe {
	return []doctor.Probe{
		reachable(doctor.DatabaseReachable, "the catalog database", db),
		{
			Name: "the catalog's database server",
			Covers: []string{
				doctor.DatabaseVersion, doctor.DatabaseEncoding, doctor.DatabaseStandby, doctor.DatabaseSlot,
				doctor.DatabaseSlotUnread, doctor.DatabaseSlotLost, doctor.DatabaseSlotBehind, doctor.DatabaseSlotsFull,
				doctor.DatabaseSendersFull, doctor.DatabaseForeignSlot,
			},
			Needs: []string{doctor.DatabaseReachable},
			Run: func(ctx context.Context, r *doctor.Recorder) error {
				return lookAtServer(ctx, r, db, slot, patience)
			},
		},
	}
}

// reachable is the probe that connects to a database.
func reachable(id, name string, db Database) doctor.Probe {
	return doctor.Probe{
		Name: name, Covers: []string{id}, Run: func(ctx context.Context, r *doctor.Recorder) error {
			if db.URL == "" {
				r.NotLooked(db.Unset+" is not set", id)
				return nil
			}
			conn, err := db.connect(ctx)
			if err != nil {
				r.Foundf(id, "", "%v", err)
				return nil
			}
			return conn.Close(ctx)
		},
	}
}

func lookAtServer(ctx context.Context, r *doctor.Recorder, db Database, slot string, patience time.Duration) error {
	conn, err := db.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var facts doctor.DatabaseFacts
	err = doctor.Until(ctx, patience, func() (bool, error) {
		facts, err = databaseFacts(ctx, conn, slot)
		return !facts.IsUnread() && !facts.IsUnfinished(), err
	})
	if err != nil {
		return err
	}
	doctor.JudgeDatabase(r, facts)
	return nil
}

func databaseFacts(ctx context.Context, conn *pgx.Conn, slot string) (f doctor.DatabaseFacts, err error) {
	f.OwnSlot = slot
	err = conn.QueryRow(ctx,
		`SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'),
		current_setting('server_encoding'), pg_is_in_recovery(), current_setting('max_replication_slots')::int,
		current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication),
		current_setting('max_slot_wal_keep_size'), current_database()`).
		Scan(&f.Version, &f.VersionText, &f.Encoding, &f.IsStandby, &f.MaxSlots, &f.MaxSenders, &f.Senders, &f.KeepSize,
			&f.Database)
	if err != nil {
		return f, fmt.Errorf("read the settings of the database server: %w", err)
	}
	rows, err := conn.Query(ctx, `WITH log AS (
			SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn)
		SELECT slot_name::text, coalesce(plugin::text, ''), coalesce(database::text, ''), active, coalesce(wal_status, ''),
			coalesce(pg_wal_lsn_diff(log.lsn, restart_lsn), 0)::bigint,
			active AND confirmed_flush_lsn IS NULL
		FROM pg_replication_slots, log ORDER BY slot_name`)
	if err != nil {
		return f, fmt.Errorf("read the replication slots: %w", err)
	}
	f.Slots, err = pgx.CollectRows(rows, pgx.RowToStructByPos[doctor.SlotFacts])
	if err != nil {
		return f, fmt.Errorf("read the replication slots: %w", err)
	}
	return f, nil
}
