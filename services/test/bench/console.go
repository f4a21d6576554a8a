package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

type consoleCmd struct {
	Products int    `default:"200000" help:"Products in the ledger. One in fifty differs, is held or is refused."`
	Requests int    `default:"100" help:"Requests of each page, one after the other."`
	Visitors int    `default:"20" help:"Visitors who look at the first page at the same time, each with a token of its own."`
	Page     string `placeholder:"TEXT" help:"Measure only pages whose name has this text."`
	Dir      string `placeholder:"DIR" help:"Keep the servers' data in this directory, and use what it has. Filling a ledger takes minutes."`
}

// consoleVisitors is how long the visitors look.
const consoleVisitors = 20 * time.Second

// consoleBench is a mesh without push and pull, whose ledger is full, with the console's program.
type consoleBench struct {
	*consoleCmd
	database, nats string
	postgres       *local.Postgres
	pool           *pgx.Conn
	services       map[string]*process
	// tokens are those of the visitors.
	tokens []string
	result *consoleResult
	close  []func() error
}

func (cmd *consoleCmd) Run(ctx context.Context, c *cli) (err error) {
	b := &consoleBench{consoleCmd: cmd, services: map[string]*process{}, result: &consoleResult{Products: cmd.Products}}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := runSteps(ctx, []step{
		{"starting Postgres and NATS", b.startServers},
		{"filling the ledger", b.fill},
		{"starting the services and the console", b.startServices},
		{"waiting for reconciliation's own work on a new ledger", b.settle},
		{"measuring the bare query and the empty page", b.measurePeers},
		{"measuring the pages", b.measurePages},
		{"measuring the first paint in Chromium", b.measurePaint},
		{"measuring with visitors", b.measureVisitors},
	}); err != nil {
		return err
	}
	return c.report(b.result.text(), b.result)
}

func (b *consoleBench) stop() (err error) {
	for _, f := range slices.Backward(b.close) {
		err = errors.Join(err, f())
	}
	b.close = nil
	return err
}

func (b *consoleBench) startServers(ctx context.Context) error {
	dir := b.Dir
	if dir == "" {
		temporary, err := os.MkdirTemp("", "driftless-bench-")
		if err != nil {
			return fmt.Errorf("make a data directory: %w", err)
		}
		dir = temporary
		b.close = append(b.close, func() error { return os.RemoveAll(dir) })
	}
	// Postgres' own user must be able to enter it.
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { //nolint:gosec // see above
		return fmt.Errorf("make a data directory: %w", err)
	}
	pg, err := local.StartPostgres(ctx, local.PostgresConfig{DataDir: filepath.Join(dir, "postgres")})
	if err != nil {
		return err
	}
	b.close = append(b.close, pg.Close)
	b.postgres, b.database = pg, pg.URL()
	server, err := local.StartNATS(ctx, local.NATSConfig{DataDir: filepath.Join(dir, "nats")})
	if err != nil {
		return err
	}
	b.close = append(b.close, server.Close)
	b.nats = server.URL()
	m, err := mesh.Connect(ctx, mesh.Config{URL: b.nats, Name: "bench"})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := topology.Apply(ctx, m.JetStream(), topology.Options{}); err != nil {
		return err
	}
	if b.pool, err = pgx.Connect(ctx, b.database); err != nil {
		return fmt.Errorf("connect to the ledger: %w", err)
	}
	b.close = append(b.close, func() error { return b.pool.Close(context.WithoutCancel(ctx)) })
	return nil
}

// startServices starts what the console asks, and the console.
func (b *consoleBench) startServices(ctx context.Context) error {
	var entries auth.Entries
	for i := range max(b.Visitors, 1) {
		token := auth.NewToken()
		hash, err := auth.HashToken(token)
		if err != nil {
			return err
		}
		b.tokens = append(b.tokens, token)
		entries = append(entries, auth.Entry{Name: fmt.Sprintf("visitor-%d", i+1), Role: auth.Approve, Hash: hash})
	}
	if err := b.start(ctx, topology.Reconciliation, "DRIFTLESS_TOKENS="+entries.String()); err != nil {
		return err
	}
	if err := b.start(ctx, topology.Ingestion, "DRIFTLESS_TOKENS="+entries.String()); err != nil {
		return err
	}
	return b.start(ctx, consoleName, "DRIFTLESS_CONTROL_URL="+b.services[topology.Reconciliation].url,
		"DRIFTLESS_INGEST_URL="+b.services[topology.Ingestion].url)
}

// consoleName is the name of the console's program.
const consoleName = "console"

// start starts a program. The ledger's drift is only reported, and what differs stays pending.
func (b *consoleBench) start(ctx context.Context, name string, env ...string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	p, err := startProcess(ctx, name, addr, append([]string{
		"NATS_URL=" + b.nats, "DATABASE_URL=" + b.database, "DRIFTLESS_DRIFT_POLICY=report",
		"DRIFTLESS_GRACE_PERIOD=9000h", "DRIFTLESS_SCAN_INTERVAL=0",
	}, env...)...)
	if err != nil {
		return err
	}
	b.services[name] = p
	b.close = append(b.close, p.stop)
	return nil
}

func (b *consoleBench) url() string { return b.services[consoleName].url }

// measurePeers measures a read of a page's rows by their primary key, and a page that asks nobody.
func (b *consoleBench) measurePeers(ctx context.Context) (err error) {
	if b.result.Bare, err = b.times(func(n int) error { return b.readBare(ctx, n) }); err != nil {
		return err
	}
	b.result.Empty, err = b.times(func(int) error { return b.get(ctx, http.DefaultClient, "/sign-in") })
	return err
}

// readBare reads a hundred products by the primary key, anywhere in the table.
func (b *consoleBench) readBare(ctx context.Context, n int) error {
	rows, err := b.pool.Query(ctx, `SELECT product_id, state, desired, observed FROM driftless_ledger.product
		WHERE account = $1 AND product_id > $2 ORDER BY product_id LIMIT 100`,
		topology.DefaultAccount, consoleProduct(n*7919%b.Products))
	if err != nil {
		return fmt.Errorf("read products: %w", err)
	}
	for rows.Next() {
		_ = rows.RawValues()
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read products: %w", err)
	}
	return nil
}
