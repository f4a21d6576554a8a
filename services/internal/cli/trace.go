package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/driftless-sync/driftless/services/internal/jaeger"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type traceCmd struct {
	address
	Product string        `arg:"" optional:"" help:"Id of the product whose latest traces are shown."`
	Jaeger  string        `name:"jaeger" env:"DRIFTLESS_JAEGER_URL" default:"http://127.0.0.1:16686" placeholder:"URL" help:"Address of Jaeger's query API and user interface."`
	TraceID string        `name:"trace-id" placeholder:"ID" help:"Id of the trace to show, from the logs or driftless history."`
	Last    int           `default:"1" placeholder:"N" help:"How many traces of the product to show: the latest, ordered by time. One is shown with what it came from and what carried it on."`
	Since   time.Duration `default:"168h" placeholder:"DURATION" help:"How far back to search Jaeger if the ledger does not name the trace."`
	All     bool          `help:"Draw also the spans of bookkeeping."`
	Width   int           `default:"0" placeholder:"COLUMNS" help:"Width of the output. Defaults to the terminal's, or 120."`
}

// jaegerTimeout is the timeout of all requests to Jaeger.
const jaegerTimeout = time.Minute

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
	told, err := cmd.find(ctx, c)
	if err != nil {
		return err
	}
	last := judgeTrace(told.traces[len(told.traces)-1], cmd.Product, time.Now())
	if c.Output == "json" {
		return printJSON(traceAnswer{Traces: told.traces, Verdict: last, Warnings: told.warnings})
	}
	cmd.draw(told)
	sayf(stdout, "\n%s: %s\n", visible.Words(last.State), last.Text)
	return nil
}

// draw draws the traces of a story, with the warnings first.
func (cmd *traceCmd) draw(told story) {
	for _, w := range told.warnings {
		say(stdout, "Note: "+w+".")
	}
	filter := spanFilter{product: cmd.Product, bookkeeping: cmd.All}
	for i, t := range told.traces {
		if i > 0 {
			say(stdout)
		}
		if i == len(told.traces)-1 && told.between > 0 {
			sayf(stdout, "(%s between, which only carried the change on)\n\n", countOf(told.between, "trace", "traces"))
		}
		drawTrace(stdout, t, filter, outputWidth(cmd.Width), time.Now())
	}
}

func (cmd *traceCmd) find(ctx context.Context, c *cli) (story, error) {
	client := &jaeger.Client{URL: cmd.Jaeger}
	if cmd.TraceID != "" {
		t, err := client.Trace(ctx, cmd.TraceID)
		if errors.Is(err, jaeger.ErrNoTrace) {
			return story{}, fmt.Errorf(
				"Jaeger has no trace %s: it may not have been sampled (OTEL_TRACES_SAMPLER), or Jaeger may have dropped it", cmd.TraceID)
		}
		return story{traces: []*jaeger.Trace{t}}, err
	}
	teller := newStoryTeller(cmd.Product, client)
	traces, warnings, err := teller.latest(ctx, c, cmd.address, cmd.Since, cmd.Last)
	if err != nil {
		return story{}, err
	}
	if len(traces) == 0 {
		return story{}, fmt.Errorf(
			"Jaeger has no trace of product %s from the last %s: spans arrive some seconds after the change. If none arrive, set OTEL_EXPORTER_OTLP_ENDPOINT of the services, and check whether the change was sampled (OTEL_TRACES_SAMPLER). `driftless history %s` works without traces", cmd.Product, cmd.Since, visible.Argument(cmd.Product))
	}
	told := story{traces: traces}
	if cmd.Last == 1 {
		if told, err = teller.tell(ctx, traces[0]); err != nil {
			return story{}, err
		}
	}
	told.warnings = warnings
	return told, nil
}
