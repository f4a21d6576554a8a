package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/ingestion"
)

type previewCmd struct {
	Products int `default:"100000" help:"Products in the built-in tables, with one price each."`
	Differ   int `default:"1000" help:"Products that the previewed statement changes."`
	// Part runs one measurement in a process of its own, whose peak memory can be measured.
	Part     string `hidden:"" enum:",bare,preview" default:""`
	Database string `hidden:""`
	Prices   int    `hidden:"" help:"Prices that the statement changes."`
}

// previewPart is the result of one process.
type previewPart struct {
	Seconds   float64 `json:"seconds"`
	PeakRSSMB float64 `json:"peak_rss_mb"`
	// CPUSeconds is the processor time of the process, without Postgres.
	CPUSeconds float64 `json:"cpu_seconds"`
	Differing  int     `json:"differing"`
}

type previewResult struct {
	Products int `json:"products"`
	// Bare is a loop that reads the rows of the mapping once with pgx and does nothing else.
	Bare previewPart `json:"bare"`
	// Few is the preview of a statement that changes --differ products, and All of one that changes all. A preview
	// reads the rows twice.
	Few previewPart `json:"few"`
	All previewPart `json:"all"`
}

func (r *previewResult) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d products, read once in a bare loop: %.1f s, %.1f s of processor time, at most %.0f MB\n",
		r.Products, r.Bare.Seconds, r.Bare.CPUSeconds, r.Bare.PeakRSSMB)
	for _, p := range []previewPart{r.Few, r.All} {
		fmt.Fprintf(&b, "preview of a change of %d products: %.1f s, %.1f times the bare loop; ", p.Differing, p.Seconds,
			p.Seconds/r.Bare.Seconds)
		fmt.Fprintf(&b, "%.1f s of processor time; at most %.0f MB, %.1f times the bare loop\n", p.CPUSeconds,
			p.PeakRSSMB, p.PeakRSSMB/r.Bare.PeakRSSMB)
	}
	return b.String()
}

func (cmd *previewCmd) Run(ctx context.Context, c *cli) (err error) {
	if cmd.Part != "" {
		return cmd.runPart(ctx)
	}
	servers, err := newCaptureBench(ctx, &captureCmd{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.stop()) }()
	tables := &compareBench{compareCmd: &compareCmd{Products: cmd.Products}, servers: servers}
	r := &previewResult{Products: cmd.Products}
	measure := func(out *previewPart, part string, prices int) func(context.Context) error {
		return func(ctx context.Context) (err error) {
			*out, err = cmd.start(ctx, servers.database, part, prices)
			if err == nil && part == "preview" && out.Differing != prices {
				err = fmt.Errorf("the preview found %d products, not %d", out.Differing, prices)
			}
			return err
		}
	}
	if err := runSteps(ctx, []step{
		{"filling the tables", tables.fillTables},
		{"reading the rows in a bare loop", measure(&r.Bare, "bare", 0)},
		{"previewing a small change", measure(&r.Few, "preview", cmd.Differ)},
		{"previewing a change of everything", measure(&r.All, "preview", cmd.Products)},
	}); err != nil {
		return err
	}
	return c.report(r.text(), r)
}

// start measures a part in a process of its own.
func (cmd *previewCmd) start(ctx context.Context, database, part string, prices int) (out previewPart, err error) {
	program, err := os.Executable()
	if err != nil {
		return out, fmt.Errorf("find this program: %w", err)
	}
	child := exec.CommandContext(ctx, program, "preview", "--part", part, "--database", database,
		"--prices", strconv.Itoa(prices))
	var stdout bytes.Buffer
	child.Stdout, child.Stderr = &stdout, os.Stderr
	if err := child.Run(); err != nil {
		return out, fmt.Errorf("measure %s: %w", part, err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		return out, fmt.Errorf("measure %s: %w", part, err)
	}
	if usage, ok := child.ProcessState.SysUsage().(*syscall.Rusage); ok {
		out.PeakRSSMB = float64(usage.Maxrss) / 1024
	}
	out.CPUSeconds = (child.ProcessState.UserTime() + child.ProcessState.SystemTime()).Seconds()
	return out, nil
}

func (cmd *previewCmd) runPart(ctx context.Context) (err error) {
	begun, out := time.Now(), previewPart{}
	if cmd.Part == "bare" {
		err = readBare(ctx, cmd.Database)
	} else {
		out.Differing, err = cmd.preview(ctx)
	}
	if err != nil {
		return err
	}
	out.Seconds = time.Since(begun).Seconds()
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	return nil
}

func (cmd *previewCmd) preview(ctx context.Context) (differing int, err error) {
	statements, err := ingestion.ParseScript("change", fmt.Sprintf(`UPDATE driftless.prices SET unit_amount = 1200
		WHERE id IN (SELECT 'price-' || i FROM generate_series(1, %d) i)`, cmd.Prices))
	if err != nil {
		return 0, err
	}
	result, err := ingestion.Preview(ctx, ingestion.PreviewConfig{DatabaseURL: cmd.Database, Statements: statements})
	if err != nil {
		return 0, err
	}
	defer result.Close()
	return differing, result.Each(func(ingestion.PreviewChange) error {
		differing++
		return nil
	})
}

// readBare reads all rows of the built-in tables once.
func readBare(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, table := range []string{"driftless.products", "driftless.prices"} {
		rows, err := conn.Query(ctx, "SELECT * FROM "+table+" ORDER BY id") //nolint:unqueryvet // all columns are read
		if err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
		for rows.Next() {
			_ = rows.RawValues()
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
	}
	return nil
}
