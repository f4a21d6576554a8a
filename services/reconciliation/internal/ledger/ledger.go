// Package ledger owns the ledger database. For every product it has what the catalog wants, what Stripe holds, since
// when they differ, and the audit trail. It decides states. The commands that follow from them are issued elsewhere.
package ledger

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/migrate"
	"github.com/driftless-sync/driftless/services/internal/postgres"
)

//go:embed migrations
var migrations embed.FS

// Config configures a ledger.
type Config struct {
	// Account is the name of the Stripe account.
	Account string
	// Policy says which side is right where they differ. Nil means that the catalog owns everything.
	Policy *catalog.Policy
	// Extras is what is done about active products that the catalog never had. Defaults to ExtrasIgnore.
	Extras Extras
	// NoEvents stores no events for other programs.
	NoEvents bool
	// Listener defaults to Unheard.
	Listener Listener
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// Ledger is a connection to the ledger database. It is safe for concurrent use, also by several processes.
type Ledger struct {
	pool     database
	account  string
	policy   *catalog.Policy
	extras   Extras
	noEvents bool
	listener Listener
	now      func() time.Time
	search   textSearch
	// writer is nil until the process joins.
	writer atomic.Pointer[writer]
}

// maxConnections is the maximum number of connections to the database.
const maxConnections = 12

func schema(url string) migrate.Config {
	return migrate.Config{URL: url, Schema: "driftless_ledger", Table: "migrations", Files: migrations}
}

// Migrate creates the schema or upgrades it. It grants a role the rights that the service needs; none if grantTo is
// empty.
func Migrate(ctx context.Context, url, grantTo string) error {
	cfg := schema(url)
	cfg.GrantTo = grantTo
	return up(ctx, cfg)
}

// Check returns an error if the schema is not up to date, which migrate.IsOutdated recognizes, and any other if it
// could not check. It changes nothing.
func Check(ctx context.Context, db postgres.Database) error {
	connection, err := db.Config()
	if err != nil {
		return err
	}
	cfg := schema(db.URL)
	cfg.CheckOnly, cfg.Connection = true, connection
	return up(ctx, cfg)
}

func up(ctx context.Context, cfg migrate.Config) error {
	if err := migrate.Up(ctx, cfg); err != nil {
		return fmt.Errorf("the ledger (LEDGER_DATABASE_URL, or else DATABASE_URL): %w", err)
	}
	return nil
}

// Open upgrades the schema and connects.
func Open(ctx context.Context, url string, cfg Config) (*Ledger, error) {
	if err := Migrate(ctx, url, ""); err != nil {
		return nil, err
	}
	return OpenMigrated(ctx, postgres.Database{URL: url}, cfg)
}

// OpenMigrated connects to a ledger whose schema is up to date.
func OpenMigrated(ctx context.Context, db postgres.Database, cfg Config) (*Ledger, error) {
	db.Setting, db.Application = "LEDGER_DATABASE_URL (or else DATABASE_URL)", "driftless-reconciliation"
	pgxCfg, err := db.PoolConfig()
	if err != nil {
		return nil, err
	}
	pgxCfg.MaxConns = maxConnections
	pool, err := pgxpool.NewWithConfig(ctx, pgxCfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the ledger: %w", err)
	}
	return newLedger(database{pool}, cfg), nil
}

func newLedger(pool database, cfg Config) *Ledger {
	if cfg.Listener == nil {
		cfg.Listener = Unheard{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Ledger{
		pool:     pool,
		account:  cfg.Account,
		policy:   cfg.Policy,
		extras:   cfg.Extras,
		noEvents: cfg.NoEvents,
		listener: cfg.Listener,
		now:      cfg.Now,
	}
}

// Encoding returns the encoding of the ledger's database, such as UTF8 or LATIN1.
func (l *Ledger) Encoding(ctx context.Context) (name string, err error) {
	if err := l.pool.QueryRow(ctx, "SELECT current_setting('server_encoding')").Scan(&name); err != nil {
		return "", fmt.Errorf("read the encoding of the ledger: %w", err)
	}
	return name, nil
}

// Close disconnects.
func (l *Ledger) Close() { l.pool.Close() }

// Ready returns an error if the ledger cannot be reached.
func (l *Ledger) Ready(ctx context.Context) error {
	if err := l.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Entry is a line of the audit trail.
type Entry struct {
	// EventID is unique among all entries. A second entry with the same id is dropped.
	EventID string
	Product string
	At      time.Time
	// Kind is what happened, such as catalog_change, stripe_event, dead, ordered, or the name of an outcome.
	Kind string
	// Version is the catalog version that the entry is about, 0 for none.
	Version uint64
	Detail  string
	// TraceID is the trace of the message, empty for none.
	TraceID string
	// Data is a driftless.control.v1.HistoryEntry as JSON, without the fields that Entry has. Nil if it has no others.
	Data []byte
}

// closingKinds are the kinds of entries that close the product's earlier dead letters without a version: since then the
// product was brought to its latest state, or an operator issued a command for it.
var closingKinds = []string{"applied", "repaired", "ordered"}

// record adds entries.
func (l *Ledger) record(ctx context.Context, tx pgx.Tx, entries ...Entry) error {
	_, err := l.recordMarked(ctx, tx, nil, entries...)
	return err
}

// recordMarked adds entries, counts the transaction, and returns how many of the entries are new.
func (l *Ledger) recordMarked(ctx context.Context, tx pgx.Tx, m *mark, entries ...Entry) (added int, err error) {
	if len(entries) == 0 {
		return 0, nil
	}
	batch := &pgx.Batch{}
	for _, e := range entries {
		batch.Queue(
			`INSERT INTO driftless_ledger.history (event_id, account, product_id, at, kind, version, detail, trace_id, data)
			VALUES ($1, $2, $3, $4, $5, $6::text::numeric, $7, $8, $9) ON CONFLICT (event_id) DO NOTHING`,
			cleanKey(e.EventID), l.account, e.Product, e.At, e.Kind, number(e.Version), e.Detail, e.TraceID, e.Data)
	}
	if m != nil {
		m.queue(batch)
	}
	results := tx.SendBatch(ctx, batch)
	for _, e := range entries {
		tag, err := results.Exec()
		if err != nil {
			_ = results.Close()
			return 0, fmt.Errorf("record %s of product %s: %w", e.Kind, e.Product, err)
		}
		added += int(tag.RowsAffected())
	}
	if m != nil {
		if err := m.check(results); err != nil {
			_ = results.Close()
			return 0, err
		}
	}
	if err := results.Close(); err != nil {
		return 0, fmt.Errorf("record entries: %w", err)
	}
	return added, nil
}

// number writes a version for a numeric column. An LSN may exceed a bigint.
func number(v uint64) string { return strconv.FormatUint(v, 10) }
