// Command bench measures Driftless against a ceiling that is measured in the same run. scripts/bench runs it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	JSON      bool         `name:"json" help:"Print the result as one JSON object, on the last line of standard output."`
	Capture   captureCmd   `cmd:"" help:"Products per second from the write-ahead log to JetStream, against raw publishing and pg_recvlogical; and the services' footprint."`
	Compare   compareCmd   `cmd:"" help:"A comparison of a large catalog's tables with CATALOG, against a bare loop over the same rows: time, peak memory, load on Postgres."`
	Preview   previewCmd   `cmd:"" help:"A preview of statements on a large catalog, against a bare loop that reads the rows once: time and peak memory."`
	Tracing   tracingCmd   `cmd:"" help:"Throughput of capture and push with tracing off, at 1% and at 100%."`
	Push      pushCmd      `cmd:"" help:"Calls per second at Stripe's limit with several replicas, pushes per second without it against a bare stripe-go loop, and latency of live changes."`
	Nodes     nodesCmd     `cmd:"" help:"The longest wait of a change when one of three NATS nodes is killed or frozen, against a bare client."`
	Console   consoleCmd   `cmd:"" help:"Every page of the console on a large ledger: server time, first paint in Chromium, memory with live visitors, against a bare query by primary key and an empty page."`
	Reconcile reconcileCmd `cmd:"" help:"A full scan of a large catalog with drift in it, against a bare stripe-go listing loop: time, calls, peak memory, what was found; and the time to detect a change."`
}

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	var c cli
	parsed := kong.Parse(&c, kong.Name("bench"),
		kong.Description("Measures Driftless against a ceiling taken in the same run."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&c))
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// report prints figures, or their JSON for programs.
func (c *cli) report(text string, figures any) error {
	if !c.JSON {
		fmt.Print(text)
		return nil
	}
	fmt.Fprint(os.Stderr, text)
	if err := json.NewEncoder(os.Stdout).Encode(figures); err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	return nil
}
