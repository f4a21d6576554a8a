// Package ingestion is the service between the catalog database and CATALOG: it captures committed changes from the
// write-ahead log, reads the catalog as a whole when it must, writes back what Stripe has of a product where it is ordered to, and
// serves the API that writes the built-in tables.
//
// It alone touches the catalog database. It holds no Stripe key, and decides nothing about Stripe but whether a
// product could be accepted there.
package ingestion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/config"
	"github.com/driftless-sync/driftless/services/httpserver"
	"github.com/driftless-sync/driftless/services/ingestion/internal/api"
	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/metrics"
	"github.com/driftless-sync/driftless/services/postgres"
)

// Config of the service.
type Config struct {
	// Account is the name of the Stripe account in subjects.
	Account string
	NATS    mesh.Config
	// DatabaseURL of the catalog.
	DatabaseURL string
	// DatabaseURLFile is the file that it was read from, and that is read again at every connection; empty for none.
	DatabaseURLFile string
	// Mapping of the operator's own tables; nil for the built-in ones, which are then made if absent.
	Mapping *config.Mapping
	// Slot and Publication in the catalog database; made if absent.
	Slot, Publication string
	// CheckMigrations has the built-in tables checked instead of made: Migrate made them.
	CheckMigrations bool
	// HTTP serves the API, health and metrics.
	HTTP httpserver.Config
	// Token that the API asks for; none if empty.
	Token  string
	Logger *slog.Logger
}

// ingester holds what the parts of the service share.
type ingester struct {
	account string
	mesh    *mesh.Mesh
	// maxBody is what NATS takes in a message, in bytes.
	maxBody  int
	pool     *pgxpool.Pool
	source   *wal.Source
	mapping  *mapping.Mapping
	writer   *writeback.Writer
	validate *validation.Validator
	logger   *slog.Logger
	barriers *barriers
	progress *progress
	turns    turns
	crowd    *crowd
	gate     *mesh.Gate
	// reread asks for the whole catalog to be read again.
	reread chan struct{}
	// backfilling is held while an order to read products again is carried out.
	backfilling sync.Mutex
}

// Run ingests until ctx ends. It returns an error at once if the catalog database, its settings, the mapping or NATS
// do not allow the work; the error says what mends that.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	in, prepared, err := prepare(ctx, cfg)
	if err != nil {
		return err
	}
	defer in.mesh.Close()
	defer in.pool.Close()

	cfg.HTTP.Handler = api.New(api.Config{
		Pool: in.pool, Validator: in.validate, WaitCaptured: in.waitCaptured, BuiltIn: cfg.Mapping == nil,
		Token: cfg.Token, Logger: cfg.Logger,
	})
	cfg.HTTP.Ready = in.ready
	cfg.HTTP.Role = in.turns.role
	defer metrics.Observe(in.turns.report, metrics.IngestionActive)()

	g, ctx := errgroup.WithContext(ctx)
	work := func(run func(context.Context) error) {
		g.Go(func() error { return in.gate.Run(ctx, run) })
	}
	g.Go(func() error { return in.mesh.Closed(ctx) })
	g.Go(func() error { return in.gate.Keep(ctx) })
	g.Go(func() error { return httpserver.Run(ctx, cfg.HTTP) })
	work(func(ctx context.Context) error { return in.capture(ctx, prepared) })
	work(in.readWhole)
	g.Go(func() error { return in.watchLag(ctx) })
	work(func(ctx context.Context) error {
		return mesh.Work(ctx, in.mesh, mesh.Worker{Service: mesh.Ingestion, Consumer: mesh.IngestionCommand, Concurrency: commandConcurrency}, in.command)
	})
	cfg.Logger.Info("ingestion is running", "account", cfg.Account, "slot", cfg.Slot)
	return g.Wait()
}

// prepare checks and makes everything that the service needs.
func prepare(ctx context.Context, cfg Config) (*ingester, wal.Prepared, error) {
	if cfg.DatabaseURL == "" {
		return nil, wal.Prepared{}, errors.New("DATABASE_URL is not set: give the catalog's Postgres database, like postgres://user:password@host:5432/database")
	}
	pool, err := connect(ctx, cfg.database())
	if err != nil {
		return nil, wal.Prepared{}, err
	}
	in, prepared, err := prepareWith(ctx, cfg, pool)
	if err != nil {
		pool.Close()
	}
	return in, prepared, err
}

func prepareWith(ctx context.Context, cfg Config, pool *pgxpool.Pool) (*ingester, wal.Prepared, error) {
	queries := cfg.Mapping
	if queries == nil {
		makeTables := builtin.Migrate
		if cfg.CheckMigrations {
			makeTables = builtin.Check
		}
		if err := alone(ctx, cfg.database(), func() error { return makeTables(ctx, cfg.DatabaseURL) }); err != nil {
			return nil, wal.Prepared{}, err
		}
		queries = builtin.Mapping()
	}
	checked, err := mapping.New(ctx, pool, queries)
	if err != nil {
		return nil, wal.Prepared{}, err
	}
	validator, err := validation.New()
	if err != nil {
		return nil, wal.Prepared{}, fmt.Errorf("set up validation: %w", err)
	}
	writer, err := writeback.New(ctx, writeback.Config{
		Pool: pool, Mapping: checked, Statements: queries.WriteBack, BuiltIn: cfg.Mapping == nil, Validate: validator.Product,
	})
	if err != nil {
		return nil, wal.Prepared{}, err
	}
	cfg.NATS.Account = cfg.Account
	m, err := mesh.Connect(ctx, cfg.NATS)
	if err != nil {
		return nil, wal.Prepared{}, err
	}
	in := &ingester{
		account: cfg.Account, mesh: m, maxBody: m.MaxBody(), pool: pool, mapping: checked, writer: writer, validate: validator, logger: cfg.Logger,
		source:   &wal.Source{Database: cfg.database(), Slot: cfg.Slot, Publication: cfg.Publication, Tables: queries.Watch},
		barriers: newBarriers(), progress: &progress{}, crowd: newCrowd(), reread: make(chan struct{}, 1),
	}
	prepared, err := in.bind(ctx)
	if err == nil {
		in.gate, err = m.Gate(ctx, mesh.Ingestion)
	}
	if err != nil {
		m.Close()
	}
	return in, prepared, err
}

// bind checks the topology, makes sure that the positions in CATALOG are of this log, and prepares the log.
func (in *ingester) bind(ctx context.Context) (prepared wal.Prepared, err error) {
	// Not while others wait for the lock: without NATS it takes long.
	if err := in.mesh.Ready(ctx); err != nil {
		return prepared, err
	}
	if err := in.mesh.Bind(ctx, mesh.IngestionCommand); err != nil {
		return prepared, err
	}
	err = alone(ctx, in.source.Database, func() error {
		prepared, err = in.bindAlone(ctx)
		return err
	})
	return prepared, err
}

func (in *ingester) bindAlone(ctx context.Context) (wal.Prepared, error) {
	found, err := in.source.Check(ctx, in.pool)
	if err != nil {
		return found, err
	}
	last, err := in.mesh.Desired().LastLive(ctx, in.account)
	if err != nil {
		return found, err
	}
	origin := in.mesh.Cursor("origin." + in.account)
	known, err := origin.GetString(ctx)
	switch {
	case err != nil:
		return found, err
	case known != "" && known != found.SystemID:
		return found, fmt.Errorf("CATALOG holds changes of another Postgres server (system %s, this one is %s), and their positions cannot be compared: set DATABASE_URL to that server, or, if the catalog has moved here, stop all services and start them with another DRIFTLESS_ACCOUNT; the catalog is then read as a whole", known, found.SystemID)
	case last > uint64(found.Current):
		return found, fmt.Errorf("the catalog database (at %s) is behind what was captured from it (%s), as after a restore from a backup: new changes would count as old, also with CATALOG purged; stop all services and start them with another DRIFTLESS_ACCOUNT; the catalog is then read as a whole (see docs/operations.md)", found.Current, pglogrepl.LSN(last))
	}
	if err := origin.PutString(ctx, found.SystemID); err != nil {
		return found, err
	}
	if !found.Missing {
		in.progress.reach(found.Confirmed)
		return found, nil
	}
	// Before the slot is made, so that a crash leaves no slot without a reading of what was before it; and after, so
	// that a reading under way starts over: what it read before the slot was there may have changed unseen.
	if err := in.wholeCursor().PutString(ctx, wholeWanted); err != nil {
		return found, err
	}
	made, err := in.source.Create(ctx, in.pool)
	if err != nil {
		return made, err
	}
	in.progress.reach(made.Confirmed)
	return made, in.wholeCursor().PutString(ctx, wholeWanted)
}

// wantWholeIfMapped asks for the whole catalog to be read if the mapping is not that of the turn before: what a changed query
// says of products shows in no change of rows. It is asked for once the slot is won: one with the old mapping, whose turn it
// still was, would read the catalog by that.
func (in *ingester) wantWholeIfMapped(ctx context.Context) error {
	cursor := in.mesh.Cursor("mapping." + in.account)
	known, err := cursor.GetString(ctx)
	if err != nil || known == in.mapping.Fingerprint() {
		return err
	}
	if known != "" {
		in.logger.InfoContext(ctx, "the mapping has changed; reading the whole catalog again")
		if err := in.wholeCursor().PutString(ctx, wholeWanted); err != nil {
			return err
		}
	}
	return cursor.PutString(ctx, in.mapping.Fingerprint())
}

// database is the catalog's, with the file that its URL was read from; empty for none.
func database(url, file string) postgres.Database {
	return postgres.Database{URL: url, File: file, Setting: "DATABASE_URL", Application: "driftless-ingestion"}
}

func (cfg Config) database() postgres.Database {
	db := database(cfg.DatabaseURL, cfg.DatabaseURLFile)
	db.Logger = cfg.Logger
	return db
}

func connect(ctx context.Context, db postgres.Database) (*pgxpool.Pool, error) {
	cfg, err := db.PoolConfig()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the setting
	}
	cfg.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the catalog database: %w", err)
	}
	pingCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := pool.Ping(pingCtx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("cannot reach the catalog database at %s: %w; start it, or mend DATABASE_URL", config.RedactURL(db.URL), db.Explain(err))
	}
	if err := postgres.CheckEncoding(pingCtx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("the catalog database: %w", err)
	}
	return pool, nil
}

// ready says why the replica can do nothing now. One that stands by is ready: its API writes to the database, and a rolling
// update that waited for it to read the log would wait for the one before it to end.
func (in *ingester) ready(ctx context.Context) error {
	if err := in.mesh.Ready(ctx); err != nil {
		return err
	}
	if in.turns.role() == "" && !in.gate.Shut() {
		return errors.New("the write-ahead log is not being read")
	}
	return nil
}
