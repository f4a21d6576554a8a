package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nuid"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

type compareCmd struct {
	Products int `default:"1000000" help:"Products in the built-in tables, with one price each."`
	Differ   int `default:"1000" help:"Products that differ between CATALOG and the tables."`
}

type compareResult struct {
	Products int `json:"products"`
	// SnapshotSeconds is the duration of the snapshot, which publishes every product.
	SnapshotSeconds   float64 `json:"snapshot_seconds"`
	SnapshotPerSecond float64 `json:"snapshot_per_second"`
	// BareSeconds is the duration of a loop that reads the same rows with pgx and does nothing else.
	BareSeconds   float64 `json:"bare_seconds"`
	BarePerSecond float64 `json:"bare_per_second"`

	CompareSeconds   float64 `json:"compare_seconds"`
	ComparePerSecond float64 `json:"compare_per_second"`
	BareRatio        float64 `json:"bare_ratio"`
	Planted          int     `json:"planted"`
	Found            uint64  `json:"found"`
	// PeakRSSMB is the peak memory of ingestion, including the snapshot.
	PeakRSSMB float64 `json:"peak_rss_mb"`
	// The processor time of ingestion and of all processes of Postgres during the comparison.
	IngestionCPUSeconds float64 `json:"ingestion_cpu_seconds"`
	PostgresCPUSeconds  float64 `json:"postgres_cpu_seconds"`
	// PostgresCores is the number of cores that Postgres uses during the comparison. BarePostgresCPUSeconds is its
	// processor time for the bare loop.
	PostgresCores          float64 `json:"postgres_cores"`
	BarePostgresCPUSeconds float64 `json:"bare_postgres_cpu_seconds"`
}

func (r *compareResult) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "snapshot of %d products: %.1f s, %.0f a second\n",
		r.Products, r.SnapshotSeconds, r.SnapshotPerSecond)
	fmt.Fprintf(&b, "bare loop over the same rows: %.1f s, %.0f products a second\n", r.BareSeconds, r.BarePerSecond)
	fmt.Fprintf(&b, "comparison with CATALOG:      %.1f s, %.0f products a second; ratio %.2f\n",
		r.CompareSeconds, r.ComparePerSecond, r.BareRatio)
	fmt.Fprintf(&b, "found %d of %d planted differences\n", r.Found, r.Planted)
	fmt.Fprintf(&b, "ingestion: at most %.0f MB, %.1f s of processor time\n", r.PeakRSSMB, r.IngestionCPUSeconds)
	fmt.Fprintf(&b, "Postgres: %.1f s of processor time, %.2f cores; %.1f s for the bare loop\n",
		r.PostgresCPUSeconds, r.PostgresCores, r.BarePostgresCPUSeconds)
	return b.String()
}

// compareBench has the servers of captureBench. Ingestion is a process, so that its memory can be measured.
type compareBench struct {
	*compareCmd

	servers *captureBench
	result  *compareResult
	service *process
	addr    string
}

func (cmd *compareCmd) Run(ctx context.Context, c *cli) (err error) {
	servers, err := newCaptureBench(ctx, &captureCmd{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.stop()) }()
	b := &compareBench{compareCmd: cmd, servers: servers, result: &compareResult{Products: cmd.Products}}
	if b.addr, err = freeAddr(); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"filling the tables", b.fillTables},
		{"reading the catalog for the first time", b.snapshot},
		{"reading the rows in a bare loop", b.bare},
		{"planting differences", b.plant},
		{"comparing", b.compare},
	} {
		begun := time.Now()
		fmt.Fprintf(os.Stderr, "%s ...", step.what)
		if err := step.do(ctx); err != nil {
			fmt.Fprintln(os.Stderr)
			return fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Fprintf(os.Stderr, " %.1f s\n", time.Since(begun).Seconds())
	}
	return c.report(b.result.text(), b.result)
}

func (b *compareBench) fillTables(ctx context.Context) error {
	if err := ingestion.Migrate(ctx, b.servers.database, "driftless", ""); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, b.servers.database)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO driftless.products (id, name, description, metadata)
			SELECT 'product-' || i, 'Product ' || i, repeat('Words about it. ', 8), '{"sku": "S-1"}'
			FROM generate_series(1, %d) i`, b.Products),
		fmt.Sprintf(`INSERT INTO driftless.prices (id, product, currency, unit_amount)
			SELECT 'price-' || i, 'product-' || i, 'eur', 1000 FROM generate_series(1, %d) i`, b.Products),
		"VACUUM ANALYZE driftless.products, driftless.prices",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("fill the tables: %w", err)
		}
	}
	return nil
}

func (b *compareBench) start(ctx context.Context) (err error) {
	b.service, err = startProcess(ctx, topology.Ingestion, b.addr,
		"DATABASE_URL="+b.servers.database, "NATS_URL="+b.servers.nats)
	if err != nil {
		return err
	}
	b.servers.close = append(b.servers.close, b.service.stop)
	return nil
}

// snapshot starts ingestion and waits for the end of the snapshot.
func (b *compareBench) snapshot(ctx context.Context) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	done, err := b.await(ctx, func(r *meshv1.CaptureReport) *meshv1.TableComparison { return r.GetCompared() })
	if err != nil {
		return err
	}
	if done.GetProducts() != uint64(b.Products) || done.GetDead() > 0 {
		return fmt.Errorf("%d products were read, %d dead", done.GetProducts(), done.GetDead())
	}
	b.result.SnapshotSeconds = done.GetFinishedAt().AsTime().Sub(done.GetStartedAt().AsTime()).Seconds()
	b.result.SnapshotPerSecond = float64(b.Products) / b.result.SnapshotSeconds
	return nil
}

// await waits for the end of a comparison.
func (b *compareBench) await(
	ctx context.Context, choose func(*meshv1.CaptureReport) *meshv1.TableComparison,
) (*meshv1.TableComparison, error) {
	for {
		report := &meshv1.CaptureReport{}
		if _, err := b.servers.stores.Capture(benchAccount).Get(ctx, report); err != nil {
			return nil, err
		}
		done := choose(report)
		switch {
		case report.GetState() == meshv1.CaptureState_CAPTURE_STATE_STOPPED:
			return nil, errors.New(report.GetReason())
		case done.GetError() != "":
			return nil, errors.New(done.GetError())
		case done.GetFinishedAt() != nil:
			return done, nil
		}
		if err := rest(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// bare reads all products and prices as rows, and does nothing else.
func (b *compareBench) bare(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.servers.database)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	before, err := cpuOfGroup(b.servers.pg.Pid())
	if err != nil {
		return err
	}
	begun, read := time.Now(), 0
	for _, query := range []string{
		"SELECT * FROM driftless.products ORDER BY id",
		"SELECT * FROM driftless.prices ORDER BY product",
	} {
		rows, err := conn.Query(ctx, query)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		for rows.Next() {
			_ = rows.RawValues()
			read++
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	b.result.BareSeconds = time.Since(begun).Seconds()
	b.result.BarePerSecond = float64(b.Products) / b.result.BareSeconds
	if read != 2*b.Products {
		return fmt.Errorf("%d rows were read, want %d", read, 2*b.Products)
	}
	after, err := cpuOfGroup(b.servers.pg.Pid())
	b.result.BarePostgresCPUSeconds = after - before
	return err
}

// plant gives some products another name in CATALOG than in the tables, without a change in the log.
func (b *compareBench) plant(ctx context.Context) error {
	every := max(b.Products/max(b.Differ, 1), 1)
	for i := every; i <= b.Products && b.result.Planted < b.Differ; i += every {
		id := fmt.Sprintf("product-%d", i)
		change, err := b.servers.stores.Desired().Latest(ctx, benchAccount, id)
		if err != nil {
			return err
		}
		change.Product.Name += ", otherwise"
		if err := b.servers.mesh.Publish(ctx, topology.CatalogSubject(benchAccount, topology.Bulk, id),
			change); err != nil {
			return err
		}
		b.result.Planted++
	}
	return nil
}

// compare makes ingestion compare everything, and measures the cost.
func (b *compareBench) compare(ctx context.Context) error {
	pid := b.service.cmd.Process.Pid
	postgres, err := cpuOfGroup(b.servers.pg.Pid())
	if err != nil {
		return err
	}
	own, err := cpuOf(pid, false)
	if err != nil {
		return err
	}
	asked := nuid.Next()
	if err := b.servers.mesh.RequestReread(ctx, benchAccount, asked, "benchmark", nil, false); err != nil {
		return err
	}
	done, err := b.await(ctx, func(r *meshv1.CaptureReport) *meshv1.TableComparison {
		for _, c := range r.GetAsked() {
			if c.GetId() == asked {
				return c
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	after, err := cpuOfGroup(b.servers.pg.Pid())
	if err != nil {
		return err
	}
	r := b.result
	r.Found = done.GetPublished()
	r.CompareSeconds = done.GetFinishedAt().AsTime().Sub(done.GetStartedAt().AsTime()).Seconds()
	r.ComparePerSecond = float64(b.Products) / r.CompareSeconds
	r.BareRatio = r.ComparePerSecond / r.BarePerSecond
	r.PostgresCPUSeconds = after - postgres
	r.PostgresCores = r.PostgresCPUSeconds / r.CompareSeconds
	if r.IngestionCPUSeconds, err = cpuOf(pid, false); err != nil {
		return err
	}
	r.IngestionCPUSeconds -= own
	if r.PeakRSSMB, err = b.service.peakMemory(); err != nil {
		return err
	}
	if done.GetProducts() != uint64(b.Products) {
		return fmt.Errorf("%d products were compared, want %d", done.GetProducts(), b.Products)
	}
	if r.Found != uint64(r.Planted) {
		return fmt.Errorf("%d differences were found, %d were planted", r.Found, r.Planted)
	}
	return nil
}
