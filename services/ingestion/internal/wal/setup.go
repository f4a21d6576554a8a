// Package wal reads the catalog database's write-ahead log through a logical replication slot: it checks that the
// database and the watched tables allow it, makes publication and slot, and yields what committed transactions did.
// It does not know what products look like, only which column names them.
package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/config"
	"github.com/driftless-sync/driftless/services/postgres"
)

// Source is the log of one database, read through one slot.
type Source struct {
	Database    postgres.Database
	Slot        string
	Publication string
	Tables      []config.WatchedTable
}

// Prepared is a source that can be read, once it has its slot.
type Prepared struct {
	// SystemID identifies the database cluster: positions of two clusters cannot be compared.
	SystemID string
	// Confirmed is the slot's position; everything committed up to it was captured before, or was there before the
	// slot was.
	Confirmed pglogrepl.LSN
	// Current is the end of the log at the moment.
	Current pglogrepl.LSN
	// Missing: the slot does not exist, or its log is gone; Create makes it, and what happened before it is known from
	// a snapshot only.
	Missing bool
}

// Check checks everything that reading the log needs, and makes or alters the publication, not the slot. Its errors
// say what is missing and the statement that mends it.
func (s *Source) Check(ctx context.Context, pool *pgxpool.Pool) (Prepared, error) {
	if err := s.checkServer(ctx, pool); err != nil {
		return Prepared{}, err
	}
	for _, t := range s.Tables {
		if err := checkTable(ctx, pool, t); err != nil {
			return Prepared{}, err
		}
	}
	if err := s.Publish(ctx, pool); err != nil {
		return Prepared{}, err
	}
	return s.look(ctx, pool)
}

// Create makes the slot, in place of one whose log is gone.
func (s *Source) Create(ctx context.Context, pool *pgxpool.Pool) (Prepared, error) {
	out, err := s.look(ctx, pool)
	if err != nil || !out.Missing {
		return out, err
	}
	// The log it stood for is gone.
	if _, err := pool.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", s.Slot); err != nil {
		return out, fmt.Errorf("replication slot %s has lost its log and could not be dropped: %w", s.Slot, err)
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return out, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	made, err := pglogrepl.CreateReplicationSlot(ctx, conn, s.Slot, "pgoutput", pglogrepl.CreateReplicationSlotOptions{SnapshotAction: "NOEXPORT_SNAPSHOT"})
	if err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "53400" {
			return out, errors.New("the catalog database has no replication slot left: run `ALTER SYSTEM SET max_replication_slots = ...;` with a higher number and restart Postgres, or drop a slot that nobody uses (see pg_replication_slots)")
		}
		return out, fmt.Errorf("make replication slot %s: %w", s.Slot, err)
	}
	if out.Confirmed, err = pglogrepl.ParseLSN(made.ConsistentPoint); err != nil {
		return out, fmt.Errorf("read the position of replication slot %s: %w", s.Slot, err)
	}
	out.Missing = false
	return out, nil
}

func (s *Source) checkServer(ctx context.Context, pool *pgxpool.Pool) error {
	var level, role string
	var replicates bool
	err := pool.QueryRow(ctx, `SELECT current_setting('wal_level'), current_user, r.rolreplication OR r.rolsuper
		OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(current_user, m.oid, 'member'))
		FROM pg_roles r WHERE r.rolname = current_user`).Scan(&level, &role, &replicates)
	switch {
	case err != nil:
		return fmt.Errorf("read the settings of the catalog database: %w", err)
	case level != "logical":
		return fmt.Errorf("the catalog database has wal_level %s, which carries no row changes: run `ALTER SYSTEM SET wal_level = logical;` and restart Postgres", level)
	case !replicates:
		return fmt.Errorf("role %s may not replicate: run `ALTER ROLE %s REPLICATION;` as a superuser", role, quoted(role))
	}
	return nil
}

// checkTable checks that a table is there and that the log names the product of every change to it; of a partitioned
// table, that of every partition, since it is the partition's replica identity that the log follows.
func checkTable(ctx context.Context, pool *pgxpool.Pool, t config.WatchedTable) error {
	var exists, readable, hasColumn bool
	var kind string
	var unidentified []string
	// Of a partitioned table the root and its inner nodes hold no rows.
	err := pool.QueryRow(ctx, `WITH watched AS (SELECT to_regclass($1)::oid AS oid)
		SELECT c.oid IS NOT NULL, coalesce(has_table_privilege(c.oid, 'SELECT'), false), coalesce(c.relkind::text, ''),
		EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped),
		coalesce((SELECT array_agg(l.oid::regclass::text ORDER BY 1) FROM pg_class l
			WHERE (l.oid = c.oid OR l.oid IN (SELECT relid FROM pg_partition_tree(c.oid))) AND l.relkind <> 'p' AND l.relreplident <> 'f'
			AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
				WHERE i.indrelid = l.oid AND a.attname = $2
				AND (l.relreplident = 'd' AND i.indisprimary OR l.relreplident = 'i' AND i.indisreplident))), '{}')
		FROM watched LEFT JOIN pg_class c ON c.oid = watched.oid`, t.Table, t.ProductID).
		Scan(&exists, &readable, &kind, &hasColumn, &unidentified)
	switch {
	case err != nil:
		return fmt.Errorf("look at watched table %s: %w", t.Table, err)
	case !exists:
		return fmt.Errorf("watched table %s does not exist: create it, or mend catalog.watch in the configuration", t.Table)
	case !hasColumn:
		return fmt.Errorf("watched table %s has no column %s: mend product_id under catalog.watch in the configuration", t.Table, t.ProductID)
	case !readable:
		return fmt.Errorf("watched table %s may not be read: run `GRANT SELECT ON %s TO` the role of DATABASE_URL", t.Table, t.Table)
	case kind != "r" && kind != "p":
		return fmt.Errorf("%s under catalog.watch is no table: name the tables whose rows it shows, a view has none in the log", t.Table)
	case len(unidentified) == 0:
		return nil
	case kind == "p":
		return fmt.Errorf("partitions of watched table %s have no usable replica identity: when a row is deleted or moves to another product, the log does not say to which product it belonged (column %s); run `%s`",
			t.Table, t.ProductID, full(unidentified))
	}
	return fmt.Errorf("watched table %s has no usable replica identity: when a row is deleted or moves to another product, the log does not say to which product it belonged (column %s); run `%s`",
		t.Table, t.ProductID, full([]string{t.Table}))
}

// full is the statements that give tables a replica identity of all their columns.
func full(tables []string) string {
	statements := make([]string, len(tables))
	for i, t := range tables {
		statements[i] = "ALTER TABLE " + t + " REPLICA IDENTITY FULL;"
	}
	return strings.Join(statements, " ")
}

// Publish makes the publication, or brings its tables up to date.
func (s *Source) Publish(ctx context.Context, pool *pgxpool.Pool) error {
	want := make([]string, len(s.Tables))
	for i, t := range s.Tables {
		if err := pool.QueryRow(ctx, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.oid = to_regclass($1)`, t.Table).Scan(&want[i]); err != nil {
			return fmt.Errorf("look at watched table %s: %w", t.Table, err)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	var complete bool
	var have []string
	err := pool.QueryRow(ctx, `SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot,
		coalesce((SELECT array_agg(format('%I.%I', t.schemaname, t.tablename) ORDER BY 1) FROM pg_publication_tables t WHERE t.pubname = p.pubname), '{}')
		FROM pg_publication p WHERE p.pubname = $1`, s.Publication).Scan(&complete, &have)
	tables := strings.Join(want, ", ")
	name := quoted(s.Publication)
	var statements []string
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		statements = []string{"CREATE PUBLICATION " + name + " FOR TABLE " + tables + " WITH (publish_via_partition_root = true)"}
	case err != nil:
		return fmt.Errorf("look at publication %s: %w", s.Publication, err)
	default:
		slices.Sort(have)
		if !complete {
			statements = append(statements, "ALTER PUBLICATION "+name+" SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)")
		}
		if !slices.Equal(want, have) {
			statements = append(statements, "ALTER PUBLICATION "+name+" SET TABLE "+tables)
		}
	}
	for _, statement := range statements {
		if _, err := pool.Exec(ctx, statement); err != nil {
			var pg *pgconn.PgError
			if errors.As(err, &pg) && pg.Code == "42501" {
				return fmt.Errorf("the role of DATABASE_URL may not make or alter publication %s (%s): run `%s;` as the owner of the tables, with the right to create in the database",
					s.Publication, pg.Message, statement)
			}
			return fmt.Errorf("make publication %s: %w", s.Publication, err)
		}
	}
	return nil
}

// look finds the slot.
func (s *Source) look(ctx context.Context, pool *pgxpool.Pool) (Prepared, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return Prepared{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	system, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return Prepared{}, fmt.Errorf("identify the catalog database: %w", err)
	}
	out := Prepared{SystemID: system.SystemID, Current: system.XLogPos}

	var plugin, confirmed, status string
	var here bool
	err = pool.QueryRow(ctx, `SELECT plugin, coalesce(database = current_database(), false), coalesce(confirmed_flush_lsn::text, ''), coalesce(wal_status, '')
		FROM pg_replication_slots WHERE slot_name = $1`, s.Slot).Scan(&plugin, &here, &confirmed, &status)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		out.Missing = true
	case err != nil:
		return out, fmt.Errorf("look at replication slot %s: %w", s.Slot, err)
	case plugin != "pgoutput" || !here:
		return out, fmt.Errorf("replication slot %s belongs to another use (plugin %s): choose another name with DRIFTLESS_SLOT", s.Slot, plugin)
	case status == "lost" || confirmed == "":
		out.Missing = true
	default:
		if out.Confirmed, err = pglogrepl.ParseLSN(confirmed); err != nil {
			return out, fmt.Errorf("read the position of replication slot %s: %w", s.Slot, err)
		}
	}
	return out, nil
}

// senderTimeout is the setting of how long the server waits for a sign of life before it ends the connection, and so frees the
// slot. What DATABASE_URL says of it stands.
const senderTimeout = "wal_sender_timeout"

// silence is after what time without an answer either side takes the other for gone. Signs of life come every StatusEvery.
const silence = 10 * time.Second

// connect opens a connection that speaks the replication protocol.
func (s *Source) connect(ctx context.Context) (*pgconn.PgConn, error) {
	parsed, err := s.Database.Config()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the setting
	}
	cfg := &parsed.Config
	cfg.RuntimeParams["replication"] = "database"
	if _, set := cfg.RuntimeParams[senderTimeout]; !set {
		cfg.RuntimeParams[senderTimeout] = silence.String()
	}
	cfg.DialFunc = dial
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open a replication connection to the catalog database: %w", s.Database.Explain(err))
	}
	return conn, nil
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }
