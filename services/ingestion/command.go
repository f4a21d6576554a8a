package ingestion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// commandConcurrency is the number of commands that run concurrently. A snapshot takes long, and write-backs must not
// wait for it.
const commandConcurrency = 4

// standbyDelay is how long a command waits for the leader, or for the reread before it.
const standbyDelay = time.Second

// command handles a command: reread products, or write Stripe's values to the tables.
func (in *ingester) command(ctx context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
	switch verb := msg.Body.GetVerb().(type) {
	case *meshv1.Command_Backfill:
		return in.backfill(ctx, msg.Body, verb.Backfill)
	case *meshv1.Command_WriteBack:
		return in.writeBack(ctx, msg.Body, verb.WriteBack)
	default:
		return mesh.Dead(&meshv1.DeadLetter{
			Account: msg.Body.GetAccount(), ProductId: "unknown", Reason: topology.ReasonUndecodable,
			Message: fmt.Sprintf("ingestion does not support the command on %s", msg.Subject),
		})
	}
}

// backfill reads products, or the whole catalog, and publishes what differs from CATALOG.
func (in *ingester) backfill(ctx context.Context, command *meshv1.Command, request *meshv1.Backfill) mesh.Verdict {
	t := in.turns.current()
	if t == nil {
		// Only the leader knows what is captured.
		return mesh.Busy(standbyDelay)
	}
	// Rereads run one at a time. If two read the same product, the one that read it first might be stored last.
	if !in.rereadMu.TryLock() {
		return mesh.Busy(standbyDelay)
	}
	defer in.rereadMu.Unlock()
	ctx, cancel := t.withContext(ctx)
	defer cancel()
	// Capture itself requests the reread of products that a watched row may concern. So it has not missed them.
	byCapture := request.GetConcerned()
	reason := command.GetReason()
	if !byCapture {
		reason = "asked for: " + reason
	}
	c := in.newComparison(t, reason)
	c.result.Id = command.GetId()
	c.countsMissed, c.sweepsLost = !byCapture, true
	var err error
	if ids := request.GetProductIds(); len(ids) > 0 {
		if len(ids) == 1 {
			about := telemetry.About{Account: in.account, Product: ids[0]}
			telemetry.SetAbout(trace.SpanFromContext(ctx), about)
			ctx = telemetry.ContextAbout(ctx, about)
		}
		err = c.runNamed(ctx, ids, byCapture)
	} else {
		err = c.run(ctx)
	}
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errTurnOver), errors.Is(err, mesh.ErrFenced):
		return mesh.Busy(standbyDelay)
	case err != nil:
		return mesh.Retry(err)
	}
	return mesh.Ack()
}

// runNamed compares the products with the given ids. byCapture reports whether capture has requested it, which keeps a
// list of such requests.
func (c *comparison) runNamed(ctx context.Context, ids []string, byCapture bool) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.in.report.setRunning(nil)
	for page := range slices.Chunk(ids, comparePageSize) {
		reading, err := c.in.readProducts(ctx, c.schema.mapping, page)
		if err != nil {
			return err
		}
		compared := withSpellings(page, reading)
		for _, id := range compared {
			if _, ok := reading.States[id]; ok {
				c.result.Products++
			}
		}
		if err := c.publishDifferences(ctx, compared, reading); err != nil {
			return err
		}
	}
	if byCapture {
		c.in.report.removeOutstanding(c.result.GetId())
		return c.in.report.write(ctx)
	}
	return c.in.report.finishNamed(ctx, c.result)
}

// withSpellings returns each id as the queries spell it, and as it was given. CATALOG may have a product under a
// spelling that the queries no longer return. The product with that spelling is gone.
func withSpellings(ids []string, reading mapping.Reading) []string {
	var out []string
	for _, id := range ids {
		for _, spelled := range []string{reading.Spelling(id), id} {
			if !slices.Contains(out, spelled) {
				out = append(out, spelled)
			}
		}
	}
	return out
}
