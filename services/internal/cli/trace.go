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
	Product string        `arg:"" optional:"" help:"Id of the product whose latest traces are shown."`
	Jaeger  string        `name:"jaeger" env:"DRIFTLESS_JAEGER_URL" default:"http://127.0.0.1:16686" placeholder:"URL" help:"Address of Jaeger's query API and user interface."`
	TraceID string        `name:"trace-id" placeholder:"ID" help:"Id of the trace to show, from the logs or driftless history."`
	Last    int           `default:"1" placeholder:"N" help:"How many traces of the product to show: the latest, ordered by time."`
	Since   time.Duration `default:"168h" placeholder:"DURATION" help:"How far back to look for the product's traces."`
	Width   int           `default:"0" placeholder:"COLUMNS" help:"Width of the output. Defaults to the terminal's, or 120."`
}

// jaegerTimeout is the timeout of all requests to Jaeger.
const jaegerTimeout = 30 * time.Second

var traceID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func (cmd *traceCmd) Run(ctx context.Context, c *cli) error {
	switch {
	case (cmd.Product == "") == (cmd.TraceID == ""):
		return errors.New("set either a product or --trace-id")
	case cmd.TraceID != "" && !traceID.MatchString(cmd.TraceID):
		return fmt.Errorf("--trace-id %q: must be 32 hexadecimal digits in lower case", cmd.TraceID)
	case cmd.Last < 1:
		return errors.New("--last: must be at least 1")
	}
	ctx, cancel := context.WithTimeout(ctx, jaegerTimeout)
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
				"Jaeger has no trace %s: it may not have been sampled (OTEL_TRACES_SAMPLER), or Jaeger may have dropped it", cmd.TraceID)
		}
		return []*jaeger.Trace{t}, err
	}
	traces, err := client.Product(ctx, cmd.Product, time.Now().Add(-cmd.Since), cmd.Last)
	if err != nil {
		return nil, err
	}
	if len(traces) == 0 {
		return nil, fmt.Errorf(
			"Jaeger has no trace of product %s from the last %s: spans arrive some seconds after the change. If none arrive, set OTEL_EXPORTER_OTLP_ENDPOINT of the services, and check whether the change was sampled (OTEL_TRACES_SAMPLER). `driftless history %s` works without traces", cmd.Product, cmd.Since, cmd.Product)
	}
	return traces, nil
}
