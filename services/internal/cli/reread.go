package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

type rereadCmd struct {
	address
	Products []string `arg:"" optional:"" help:"Ids of products. Defaults to the whole catalog."`
	because
	NoWait  bool          `name:"no-wait" help:"Only send the command; driftless status shows the progress."`
	Timeout time.Duration `default:"1h" help:"How long to wait until it ends, 0 for no limit. The read itself continues."`
}

// Help is shown by --help.
func (*rereadCmd) Help() string {
	return `Makes ingestion read products, or the whole catalog, from your tables again, compare them with the captured
states, and publish the differences. It finds changes that are not in the write-ahead log: changes of tables
that the mapping reads and does not watch, or of a query that depends on the time.

Exits with 0 if nothing differed or all differences are published, and with 1 if the read failed or products became
dead letters.`
}

// rereadStartTimeout is the timeout until ingestion begins a read while it does no other, and until the control API
// answers again.
const rereadStartTimeout = 30 * time.Second

func (cmd *rereadCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	waitCtx, cancel := ctx, context.CancelFunc(func() {})
	if cmd.Timeout > 0 {
		waitCtx, cancel = context.WithTimeoutCause(
			ctx,
			cmd.Timeout,
			fmt.Errorf(
				"the read has not ended within %s; it continues, and `driftless status` shows the progress",
				cmd.Timeout,
			),
		)
	}
	defer cancel()
	pages := [][]string{nil}
	if len(cmd.Products) > 0 {
		pages = slices.Collect(slices.Chunk(cmd.Products, maxSyncPage))
	}
	line := &progress{}
	sum := &meshv1.TableComparison{}
	var unwatched []string
	var sent startedAnswer
	for _, page := range pages {
		resp, err := client.Reread(waitCtx, connect.NewRequest(&controlv1.RereadRequest{
			ProductIds: page,
			Actor:      cmd.actor(),
			Reason:     cmd.Reason,
		}))
		if err != nil {
			return err
		}
		if cmd.NoWait {
			sent.IDs = append(sent.IDs, resp.Msg.GetId())
			continue
		}
		done, tables, err := awaitReread(waitCtx, client, resp.Msg.GetId(), func(words string) {
			if c.Output != "json" {
				line.showf("%s", words)
			}
		})
		line.clear()
		if ctx.Err() != nil {
			return fmt.Errorf("%w: the read continues", context.Cause(ctx))
		}
		if err != nil {
			return err
		}
		unwatched = tables
		addComparison(sum, done)
	}
	if cmd.NoWait {
		if c.Output == "json" {
			return printJSON(sent)
		}
		say(stdout, "The command is sent: `driftless status` shows the progress.")
		return nil
	}
	if c.Output == "json" {
		err = printJSON(sum)
	} else {
		say(stdout, rereadSummary(sum, unwatched))
	}
	switch {
	case err != nil:
		return err
	case sum.GetError() != "":
		return fmt.Errorf("the tables could not be read: %s", sum.GetError())
	case sum.GetDead() > 0:
		return fmt.Errorf(
			"%s could not be published: `driftless dead list` shows why",
			countOf(sum.GetDead(), "product", "products"),
		)
	default:
		return nil
	}
}

// awaitReread waits until a read of the tables ends, and returns its result and the tables that are not watched. It
// returns an error if ctx ends or if ingestion does not begin the read.
func awaitReread(
	ctx context.Context,
	client controlv1connect.ControlServiceClient,
	id string,
	show func(string),
) (*meshv1.TableComparison, []string, error) {
	begun := false
	// since is the last time at which ingestion and the control API were known to work.
	for since := time.Now(); ; {
		resp, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		e := &controlv1.Equality{}
		if err == nil && resp.Msg.GetEquality() != nil {
			e = resp.Msg.GetEquality()
		}
		report := e.GetCapture()
		comparison := rereadOf(report, id)
		switch {
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case err != nil && !isTransient(connect.CodeOf(err)):
			return nil, nil, err
		case comparison.GetFinishedAt() != nil || comparison.GetError() != "":
			return comparison, e.GetUnwatchedTables(), nil
		case time.Since(since) > rereadStartTimeout && err != nil:
			return nil, nil, err
		case time.Since(since) > rereadStartTimeout:
			why := "is it running?"
			if e.GetUnknown() != "" {
				why = e.GetUnknown()
			}
			return nil, nil, fmt.Errorf(
				"ingestion has not begun the read within %s: %s. The command stays queued until it can be carried out",
				rereadStartTimeout,
				why,
			)
		case err == nil && !isFresh(e):
			// The last report of an ingestion that is gone says nothing about now.
		case comparison != nil:
			begun, since = true, time.Now()
			show(comparisonProgress(comparison))
		case begun:
			return nil, nil, errors.New(
				"the read is neither running nor among the latest that have ended: its result is unknown",
			)
		case report.GetRunning() != nil:
			since = time.Now() // ingestion does another read first
			show("waiting for another: " + comparisonProgress(report.GetRunning()))
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// isFresh reports whether ingestion's report is recent.
func isFresh(e *controlv1.Equality) bool {
	const maxAge = 5 * time.Second
	return e.GetCapture().GetAt() != nil && e.GetAt().AsTime().Sub(e.GetCapture().GetAt().AsTime()) <= maxAge
}

// rereadOf returns the comparison in ingestion's report that has the id of a command, or nil.
func rereadOf(r *meshv1.CaptureReport, id string) *meshv1.TableComparison {
	if id == "" {
		return nil
	}
	for _, c := range append([]*meshv1.TableComparison{r.GetRunning()}, r.GetAsked()...) {
		if c.GetId() == id {
			return c
		}
	}
	return nil
}

// comparisonProgress describes the progress of a comparison in one line.
func comparisonProgress(c *meshv1.TableComparison) string {
	words := formatCount(c.GetProducts()) + " products read"
	if all := c.GetExpected(); all > 0 {
		words = fmt.Sprintf(
			"%s %s of about %s products read",
			bar(int(c.GetProducts()), int(all)),
			formatCount(c.GetProducts()),
			formatCount(max(all, c.GetProducts())),
		)
	}
	words += fmt.Sprintf(", %s differed", formatCount(c.GetPublished()))
	if c.GetReason() != "" {
		words += " (" + c.GetReason() + ")"
	}
	return words
}

// maxNamedProducts is the maximum number of products that are named.
const maxNamedProducts = 10

// addComparison adds the result of one page of products to the sum.
func addComparison(sum, page *meshv1.TableComparison) {
	sum.Id, sum.Reason, sum.FinishedAt = page.GetId(), page.GetReason(), page.GetFinishedAt()
	if sum.StartedAt == nil {
		sum.StartedAt = page.GetStartedAt()
	}
	sum.Products += page.GetProducts()
	sum.Expected += page.GetExpected()
	sum.Published += page.GetPublished()
	sum.Missed += page.GetMissed()
	sum.MissedProducts = append(sum.MissedProducts, page.GetMissedProducts()...)
	sum.Removed += page.GetRemoved()
	sum.Dead += page.GetDead()
	if sum.Error == "" {
		sum.Error = page.GetError()
	}
}

// rereadSummary describes the result of a read of the tables.
func rereadSummary(c *meshv1.TableComparison, unwatched []string) string {
	words := countOf(c.GetProducts(), "product", "products") + " read, "
	if c.GetPublished() == 0 {
		words += "none differed"
	} else {
		words += formatCount(c.GetPublished()) + " differed"
		if names := c.GetMissedProducts(); len(names) > 0 {
			shown := strings.Join(names[:min(len(names), maxNamedProducts)], ", ")
			if c.GetPublished() > uint64(min(len(names), maxNamedProducts)) {
				shown += ", ..."
			}
			words += ": " + shown
		}
		words += "; published"
	}
	if n := c.GetRemoved(); n > 0 {
		words += "; " + formatCount(n) + " left the catalog"
	}
	if n := c.GetDead(); n > 0 {
		words += "; " + countOf(n, "became a dead letter", "became dead letters")
	}
	words += "."
	if c.GetMissed() > 0 && len(unwatched) > 0 {
		verb, noun := "are", "tables"
		if len(unwatched) == 1 {
			verb, noun = "is", "table"
		}
		words += fmt.Sprintf(
			" The %s %s %s read by the mapping and not watched: the likely cause.",
			noun,
			joinNames(unwatched),
			verb,
		)
	} else if c.GetMissed() > 0 {
		words += " " + countOf(c.GetMissed(), "change of them was", "changes of them were") +
			" not in the write-ahead log, or not read from it. A query that depends on the time, or that reads by a function, has this effect."
	}
	return words
}
