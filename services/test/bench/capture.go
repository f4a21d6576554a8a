package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

type captureCmd struct {
	Products    int    `default:"20000" help:"Products to change."`
	Transaction int    `default:"100" help:"Products changed by one transaction."`
	Footprint   bool   `negatable:"" default:"true" help:"Also measure each service's memory and time to ready."`
	CPUProfile  string `name:"cpu-profile" placeholder:"FILE" help:"Write a CPU profile of the capture."`
}

type captureResult struct {
	Products            int                  `json:"products"`
	CapturePerSecond    float64              `json:"capture_per_second"`
	RawPublishPerSecond float64              `json:"raw_publish_per_second"`
	PgRecvlogicalPerSec float64              `json:"pg_recvlogical_per_second"`
	RatioToSlower       float64              `json:"ratio_to_slower"`
	Services            map[string]footprint `json:"services,omitempty"`
}

// benchSlot is the slot of pg_recvlogical. Both slots read the same log.
const benchSlot = "driftless_bench"

func (cmd *captureCmd) Run(ctx context.Context, c *cli) (err error) {
	b, err := newCaptureBench(ctx, cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	result, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if cmd.Footprint {
		if result.Services, err = footprints(ctx, b.database, b.nats); err != nil {
			return err
		}
	}
	return c.report(result.text(), result)
}

func (r *captureResult) text() string {
	var b strings.Builder
	fmt.Fprintf(&b,
		"captured %d products at %.0f a second, from the log to JetStream's acknowledgement (sync always)\n",
		r.Products, r.CapturePerSecond)
	fmt.Fprintf(&b, "raw atomic batches of the same payloads: %.0f a second\n", r.RawPublishPerSecond)
	fmt.Fprintf(&b, "pg_recvlogical on the same log:          %.0f a second\n", r.PgRecvlogicalPerSec)
	fmt.Fprintf(&b, "ratio to the slower of the two:          %.2f\n", r.RatioToSlower)
	for _, name := range serviceNames {
		if f, ok := r.Services[name]; ok {
			fmt.Fprintf(&b, "%-15s ready in %4.0f ms, %5.1f MB resident when idle\n", name, f.ReadyMillis, f.ResidentMB)
		}
	}
	return b.String()
}

type captureBench struct {
	*captureCmd
	database, nats string
	pg             *local.Postgres
	mesh           *mesh.Mesh
	stores         *state.Stores
	close          []func() error
}

// newCaptureBench starts a Postgres and a NATS server.
func newCaptureBench(ctx context.Context, cmd *captureCmd) (b *captureBench, err error) {
	b = &captureBench{captureCmd: cmd}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.stop())
		}
	}()
	dir, err := os.MkdirTemp("", "driftless-bench-")
	if err != nil {
		return b, fmt.Errorf("make a data directory: %w", err)
	}
	b.close = append(b.close, func() error { return os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres' own user must be able to enter it
		return b, fmt.Errorf("make a data directory: %w", err)
	}
	pg, err := local.StartPostgres(ctx, local.PostgresConfig{DataDir: filepath.Join(dir, "postgres")})
	if err != nil {
		return b, err
	}
	b.pg = pg
	b.close = append(b.close, pg.Close)
	server, err := local.StartNATS(ctx, local.NATSConfig{DataDir: filepath.Join(dir, "nats")})
	if err != nil {
		return b, err
	}
	b.close = append(b.close, server.Close)
	b.database, b.nats = pg.URL(), server.URL()
	if b.mesh, err = mesh.Connect(ctx, mesh.Config{URL: b.nats, Name: "bench"}); err != nil {
		return b, err
	}
	b.stores = state.New(b.mesh)
	b.close = append(b.close, func() error { b.mesh.Close(); return nil })
	return b, topology.Apply(ctx, b.mesh.JetStream(), topology.Options{})
}

func (b *captureBench) stop() (err error) {
	for _, f := range slices.Backward(b.close) {
		err = errors.Join(err, f())
	}
	b.close = nil
	return err
}

// measure makes ingestion create the tables and its slot, changes every product while ingestion is stopped, and
// measures how long it takes to catch up.
func (b *captureBench) measure(ctx context.Context) (*captureResult, error) {
	conn, err := b.fill(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", benchSlot); err != nil {
		return nil, fmt.Errorf("make a slot: %w", err)
	}
	if err := b.edit(ctx, conn); err != nil {
		return nil, err
	}
	var end string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&end); err != nil {
		return nil, fmt.Errorf("read the log's end: %w", err)
	}
	r := &captureResult{Products: b.Products}
	var took time.Duration
	if err := b.catchUp(ctx, &took); err != nil {
		return nil, err
	}
	r.CapturePerSecond = float64(b.Products) / took.Seconds()
	if took, err = b.recvlogical(ctx, end); err != nil {
		return nil, err
	}
	r.PgRecvlogicalPerSec = float64(b.Products) / took.Seconds()
	if took, err = b.rawPublish(ctx); err != nil {
		return nil, err
	}
	r.RawPublishPerSecond = float64(b.Products) / took.Seconds()
	r.RatioToSlower = r.CapturePerSecond / min(r.RawPublishPerSecond, r.PgRecvlogicalPerSec)
	return r, nil
}

// fill creates and fills the tables, and waits until that is captured. It is not part of a measurement.
func (b *captureBench) fill(ctx context.Context) (*pgx.Conn, error) {
	stop, _, err := b.startIngestion(ctx)
	if err != nil {
		return nil, err
	}
	if err := stop(); err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, b.database)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO driftless.products (id, name, description, metadata)
			SELECT 'product-' || i, 'Product ' || i, repeat('Words about it. ', 8), '{"sku": "S-1"}' FROM generate_series(1, %d) i`, b.Products),
		fmt.Sprintf(`INSERT INTO driftless.prices (id, product, currency, unit_amount)
			SELECT 'price-' || i || '-' || j, 'product-' || i, 'eur', 1000 + j FROM generate_series(1, %d) i, generate_series(1, 2) j`, b.Products),
		"ANALYZE driftless.products, driftless.prices",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("fill the catalog: %w", err), conn.Close(context.WithoutCancel(ctx)))
		}
	}
	if err := b.catchUp(ctx, nil); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// edit changes every product.
func (b *captureBench) edit(ctx context.Context, conn *pgx.Conn) error {
	for from := 1; from <= b.Products; from += b.Transaction {
		if _, err := conn.Exec(ctx,
			`UPDATE driftless.products SET name = name || '!' FROM generate_series($1::int, $2::int) i WHERE id = 'product-' || i`,
			from, from+b.Transaction-1); err != nil {
			return fmt.Errorf("change the catalog: %w", err)
		}
	}
	return nil
}

// catchUp runs ingestion until everything committed so far is captured. It stores the time from readiness until then.
func (b *captureBench) catchUp(ctx context.Context, took *time.Duration) error {
	if took != nil && b.CPUProfile != "" {
		file, err := os.Create(b.CPUProfile)
		if err != nil {
			return fmt.Errorf("write a profile: %w", err)
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return fmt.Errorf("write a profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	start := time.Now()
	stop, url, err := b.startIngestion(ctx)
	if err != nil {
		return err
	}
	client := ingestv1connect.NewIngestServiceClient(http.DefaultClient, url)
	if _, err := client.WaitCaptured(ctx, connect.NewRequest(&ingestv1.WaitCapturedRequest{})); err != nil {
		return errors.Join(fmt.Errorf("wait for capture: %w", err), stop())
	}
	if took != nil {
		*took = time.Since(start)
	}
	return stop()
}

// startIngestion runs the service in this process.
func (b *captureBench) startIngestion(ctx context.Context) (stop func() error, url string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a local address
	if err != nil {
		return nil, "", fmt.Errorf("listen: %w", err)
	}
	url = "http://" + listener.Addr().String()
	runCtx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- ingestion.Run(runCtx, ingestion.Config{
			Account: "default", NATS: mesh.Config{URL: b.nats, Name: "ingestion"}, DatabaseURL: b.database,
			Slot: "driftless", Publication: "driftless", HTTP: httpserver.Config{Listener: listener},
		})
	}()
	stop = func() error { cancel(); return <-done }
	for !ready(ctx, url) {
		select {
		case err := <-done:
			cancel()
			return nil, "", fmt.Errorf("ingestion ended: %w", err)
		case <-ctx.Done():
			return nil, "", errors.Join(context.Cause(ctx), stop())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return stop, url, nil
}

func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

// recvlogical reads the same log with Postgres' own client, and discards it.
func (b *captureBench) recvlogical(ctx context.Context, end string) (time.Duration, error) {
	program, err := recvlogicalProgram()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	out, err := exec.CommandContext(ctx, program, "--dbname", b.database, "--slot", benchSlot, "--start", "--endpos",
		end, "--file", os.DevNull,
		"--option", "proto_version=1", "--option", "publication_names=driftless", "--option", "messages=true",
		"--no-loop").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pg_recvlogical: %w: %s", err, out)
	}
	return time.Since(start), nil
}

func recvlogicalProgram() (string, error) {
	// Debian's /usr/bin/pg_recvlogical is a wrapper that requires a cluster of its own.
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_recvlogical")
	if err == nil && len(found) > 0 {
		return found[len(found)-1], nil
	}
	path, err := exec.LookPath("pg_recvlogical")
	if err != nil {
		return "", errors.New("pg_recvlogical is not installed: it comes with Debian's package postgresql-client")
	}
	return path, nil
}

// rawPublish publishes the captured payloads again, in the largest atomic batches, and does nothing else.
func (b *captureBench) rawPublish(ctx context.Context) (time.Duration, error) {
	const stream = "BENCH"
	js := b.mesh.JetStream()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name:               stream,
		Subjects:           []string{"bench.*"},
		AllowAtomicPublish: true,
		MaxMsgsPerSubject:  16,
	}); err != nil {
		return 0, fmt.Errorf("make a stream: %w", err)
	}
	payloads := make([][]byte, b.Products)
	catalog, err := js.Stream(ctx, topology.StreamCatalog)
	if err != nil {
		return 0, fmt.Errorf("read what was captured: %w", err)
	}
	for i := range payloads {
		msg, err := catalog.GetLastMsgForSubject(ctx,
			topology.CatalogSubject("default", topology.Live, fmt.Sprintf("product-%d", i+1)))
		if err != nil {
			return 0, fmt.Errorf("read what was captured: %w", err)
		}
		payloads[i] = msg.Data
	}
	start := time.Now()
	for from := 0; from < len(payloads); from += mesh.MaxBatch {
		batch := payloads[from:min(from+mesh.MaxBatch, len(payloads))]
		msgs := make([]*nats.Msg, len(batch))
		for i, data := range batch {
			msgs[i] = &nats.Msg{Subject: fmt.Sprintf("bench.product-%d", from+i+1), Data: data, Header: nats.Header{}}
		}
		if _, err := jetstreamext.PublishMsgBatch(ctx, js, msgs); err != nil {
			return 0, fmt.Errorf("publish a batch: %w", err)
		}
	}
	return time.Since(start), nil
}
