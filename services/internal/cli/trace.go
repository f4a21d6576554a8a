package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/driftless-sync/driftless/services/internal/jaeger"
)

type traceCmd struct {
	Product string        `arg:"" optional:"" help:"Id of the product whose newest traces are shown."`
	Jaeger  string        `name:"jaeger" env:"DRIFTLESS_JAEGER_URL" default:"http://127.0.0.1:16686" placeholder:"URL" help:"Address of Jaeger's query API, the one of its user interface."`
	TraceID string        `name:"trace-id" placeholder:"ID" help:"The trace to show, as logs and driftless history name it."`
	Last    int           `default:"1" placeholder:"N" help:"How many traces of the product to show: the newest, in the order of time."`
	Since   time.Duration `default:"168h" placeholder:"DURATION" help:"How far back to look for the product's traces."`
	Width   int           `default:"0" placeholder:"COLUMNS" help:"Width of the output; the terminal's, or 120, if not given."`
}

// jaegerLimit is how long Jaeger may take to answer.
const jaegerLimit = 30 * time.Second

var traceID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func (cmd *traceCmd) Run(ctx context.Context, c *cli) error {
	switch {
	case (cmd.Product == "") == (cmd.TraceID == ""):
		return errors.New("name either a product or a trace with --trace-id")
	case cmd.TraceID != "" && !traceID.MatchString(cmd.TraceID):
		return fmt.Errorf("--trace-id %q: must be 32 hexadecimal digits in lower case", cmd.TraceID)
	case cmd.Last < 1:
		return errors.New("--last: must be at least 1")
	}
	ctx, cancel := context.WithTimeout(ctx, jaegerLimit)
	defer cancel()
	traces, err := cmd.find(ctx, &jaeger.Client{URL: cmd.Jaeger})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		out := json.NewEncoder(jsonOut)
		out.SetIndent("", "  ")
		if err := out.Encode(map[string]any{"traces": traces}); err != nil {
			return fmt.Errorf("encode the traces: %w", err)
		}
		return nil
	}
	for i, t := range traces {
		if i > 0 {
			say(stdout)
		}
		drawTrace(stdout, t, outputWidth(cmd.Width), time.Now())
	}
	return nil
}

func (cmd *traceCmd) find(ctx context.Context, client *jaeger.Client) ([]*jaeger.Trace, error) {
	if cmd.TraceID != "" {
		t, err := client.Trace(ctx, cmd.TraceID)
		if errors.Is(err, jaeger.ErrNoTrace) {
			return nil, fmt.Errorf(
				"Jaeger has no trace %s: it may not have been sampled (OTEL_TRACES_SAMPLER), or be older than what Jaeger keeps", cmd.TraceID)
		}
		return []*jaeger.Trace{t}, err
	}
	traces, err := client.Product(ctx, cmd.Product, time.Now().Add(-cmd.Since), cmd.Last)
	if err != nil {
		return nil, err
	}
	if len(traces) == 0 {
		return nil, fmt.Errorf(
			"Jaeger has no trace of product %s from the last %s: spans come some seconds after the change; if none come, set OTEL_EXPORTER_OTLP_ENDPOINT of the services, and see whether the change was sampled (OTEL_TRACES_SAMPLER). `driftless history %s` shows what is known without traces", cmd.Product, cmd.Since, cmd.Product)
	}
	return traces, nil
}
