package ingestion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// idPageSize is the number of ids that are listed at once. Each list sorts the products of the query.
	idPageSize = 50_000
	// comparePageSize is the number of products that are read at once.
	comparePageSize = mesh.MaxBatch
	// firstPageSize is the number of products that are read first while CATALOG is empty. If Stripe would refuse all of
	// them, the mapping is wrong, and the rest is not tried.
	firstPageSize = 50
	// throttledRate is the rate of a comparison that nothing waits for, in products per second.
	throttledRate = 2000
	// maxNamedMissed is the maximum number of missed products that a comparison names.
	maxNamedMissed = 20
)

// errAllRefused means that Stripe would refuse all of the first products of a catalog.
var errAllRefused = errors.New("the first products would all be refused")

// comparison reads products from the tables, and publishes those that differ from CATALOG in the bulk lane. Everything
// that is not read because of a change in the log is read by a comparison: snapshots, rereads, periodic comparisons and
// recovery.
type comparison struct {
	in *ingester
	t  *turn
	// schema is used from the beginning of the comparison to its end.
	schema *schema
	result *meshv1.TableComparison
	// label is the position of the mark behind which the current page is read.
	label position
	// seen has a hash of each product that the queries returned, 8 bytes each.
	seen []uint64

	// after is the product after which the comparison continues. startedAt is when it began, if it was interrupted.
	after     string
	startedAt time.Time
	// isFirst reports whether CATALOG is empty, or counts as empty.
	isFirst bool
	// countsMissed reports whether every change was in the log, so that a difference was missed.
	countsMissed bool
	// sweepsLost removes also products that CATALOG has lost. Comparisons after writes run too often to read every
	// observed state that is not in CATALOG.
	sweepsLost bool
	// isThrottled limits the rate, because nothing waits for the comparison.
	isThrottled bool
	// traced counts the products that were published in the trace of the command.
	traced int
	// signedAgain counts the products that were published again only to sign them with the current key.
	signedAgain uint64
	// hadOutstanding reports whether products that a change of shared rows concerns had yet to be read when the
	// comparison began.
	hadOutstanding bool
	// onProgress is called after each page with the last product. It may be nil.
	onProgress func(last string) error
}

func (in *ingester) newComparison(t *turn, reason string) *comparison {
	return &comparison{in: in, t: t, schema: t.schema, result: &meshv1.TableComparison{Reason: reason}}
}

// run compares the whole catalog.
func (c *comparison) run(ctx context.Context) error {
	begun := time.Now()
	var read []string
	if c.after == "" {
		read = c.in.report.outstanding()
	}
	c.hadOutstanding = len(c.in.report.outstanding()) > 0
	if err := c.begin(ctx); err != nil {
		return err
	}
	err := c.pages(ctx)
	if err == nil && ctx.Err() == nil {
		err = c.sweep(ctx)
	}
	if err == nil && ctx.Err() == nil && c.sweepsLost {
		err = c.sweepLost(ctx)
	}
	if err == nil && ctx.Err() == nil {
		err = c.in.finishChecks(ctx, c.schema.mapping, begun)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	c.in.report.finishComparison(ctx, c.result, read, err)
	if err == nil {
		err = c.in.report.write(ctx)
	}
	if err != nil {
		return err
	}
	metrics.ComparisonDuration.Record(ctx, time.Since(begun).Seconds())
	c.logResult(ctx, time.Since(begun))
	return nil
}

// begin marks the log and waits until the mark is captured. Everything that was committed before is then in CATALOG, so
// a difference is not on its way.
func (c *comparison) begin(ctx context.Context) error {
	now, err := c.in.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	if !c.startedAt.IsZero() {
		now = c.startedAt
	}
	c.result.StartedAt = timestamppb.New(now)
	c.in.report.setRunning(c.result)
	c.label, err = c.in.label(ctx)
	return err
}

func (c *comparison) logResult(ctx context.Context, took time.Duration) {
	r := c.result
	attrs := []any{
		"reason", r.GetReason(), "products", r.GetProducts(), "published", r.GetPublished(), "missed", r.GetMissed(),
		"removed", r.GetRemoved(),
		"dead", r.GetDead(), "signed_again", c.signedAgain, "took", took.Round(time.Millisecond),
	}
	if r.GetMissed() == 0 {
		level := slog.LevelInfo
		if r.GetReason() == reasonWritten && c.signedAgain == 0 {
			// A small catalog that changes often is compared every few seconds.
			level = slog.LevelDebug
		}
		c.in.logger.Log(ctx, level, "compared the tables", attrs...)
		return
	}
	attrs = append(attrs, "first", r.GetMissedProducts(), "likely_cause", c.likelyCause())
	c.in.logger.WarnContext(ctx, "compared the tables: published changes that had been missed", attrs...)
}

// likelyCause returns the likely reason why changes were missed.
func (c *comparison) likelyCause() string {
	if len(c.schema.unwatched) == 0 {
		return "the result of the queries depends on the time, on functions, or on tables outside this database"
	}
	return fmt.Sprintf("the queries read tables that catalog.watch does not name: %v", c.schema.unwatched)
}

// pages compares the products that the queries return.
func (c *comparison) pages(ctx context.Context) error {
	size := comparePageSize
	if c.isFirst && c.after == "" {
		size = firstPageSize
	}
	for ctx.Err() == nil {
		ids, err := c.schema.mapping.IDs(ctx, c.after, idPageSize)
		if err != nil || len(ids) == 0 {
			return err
		}
		c.result.Expected = max(c.result.GetExpected(), c.result.GetProducts()+uint64(len(ids)))
		for len(ids) > 0 {
			page := ids[:min(len(ids), size)]
			ids = ids[len(page):]
			begun := time.Now()
			if err := c.products(ctx, page); err != nil {
				return err
			}
			if size == firstPageSize && len(page) == firstPageSize && c.result.GetDead() == uint64(len(page)) {
				return c.allRefusedError(ctx)
			}
			size = comparePageSize
			c.after = page[len(page)-1]
			c.result.After = c.after
			metrics.CatalogReadProducts.Add(ctx, int64(len(page)))
			metrics.ComparedProducts.Add(ctx, int64(len(page)))
			c.in.report.setRunning(c.result)
			if c.onProgress != nil {
				if err := c.onProgress(c.after); err != nil {
					return err
				}
			}
			if c.isThrottled && !c.in.sleep(ctx, time.Duration(len(page))*time.Second/throttledRate-time.Since(begun)) {
				return context.Cause(ctx)
			}
		}
	}
	return context.Cause(ctx)
}

// products compares a page of products.
func (c *comparison) products(ctx context.Context, ids []string) error {
	// The ids are noted before the read. A removal that arrives through the log meanwhile then does not count as one of
	// a product that CATALOG never had.
	c.in.recent.add(ids...)
	reading, err := c.in.readProducts(ctx, c.schema.mapping, ids)
	if err != nil {
		return err
	}
	var present []string
	for _, id := range ids {
		spelled := reading.Spelling(id)
		if _, ok := reading.States[spelled]; ok && !slices.Contains(present, spelled) {
			present = append(present, spelled)
			c.seen = append(c.seen, hashProduct(spelled))
		}
	}
	c.result.Products += uint64(len(present))
	return c.publishDifferences(ctx, present, reading)
}

// publishDifferences publishes the products that differ from CATALOG.
func (c *comparison) publishDifferences(ctx context.Context, ids []string, reading mapping.Reading) error {
	differs, dead, err := c.differences(ctx, ids, reading)
	if err != nil {
		return err
	}
	if c.isFirst && c.result.GetProducts() == firstPageSize && len(dead) == firstPageSize {
		c.result.Dead += uint64(len(dead))
		c.recordRefusals(dead)
		return nil
	}
	var out []mesh.Outgoing
	var suspects []string
	for _, d := range differs {
		if d.isUnsigned && d.latestVersion < c.label.version {
			c.signedAgain++
			out = append(out, d.out)
			continue
		}
		// A product that CATALOG has may have changed since the mark, and that change is on its way. So it is read
		// again.
		if d.inCatalog && !d.hasLetter && (c.countsMissed || d.latestVersion >= c.label.version) {
			suspects = append(suspects, d.id)
			continue
		}
		out = append(out, d.out)
	}
	if err := c.publish(ctx, out, dead); err != nil {
		return err
	}
	return c.rereadSuspects(ctx, suspects, reading)
}

// rereadSuspects reads products again that differ from CATALOG although the log was captured. A change that was on its
// way has arrived by then. A product that still differs, and still reads as before, was missed: the log did not have
// its change.
func (c *comparison) rereadSuspects(ctx context.Context, suspects []string, before mapping.Reading) error {
	if len(suspects) == 0 {
		return nil
	}
	var err error
	if c.label, err = c.in.label(ctx); err != nil {
		return err
	}
	reading, err := c.in.readProducts(ctx, c.schema.mapping, suspects)
	if err != nil {
		return err
	}
	differs, dead, err := c.differences(ctx, suspects, reading)
	if err != nil {
		return err
	}
	var out []mesh.Outgoing
	for _, d := range differs {
		if d.latestVersion > c.label.version {
			// It changed again, and that change has arrived through the log.
			continue
		}
		out = append(out, d.out)
		if d.isUnsigned {
			c.signedAgain++
			continue
		}
		// Changes of shared rows were in the log. The products that they concern do not count as missed while they have
		// yet to be read.
		if c.countsMissed && !d.hasLetter && !d.isProductEqual &&
			len(c.in.report.outstanding()) == 0 && !c.hadOutstanding &&
			equalProducts(before.States[d.id].Product, reading.States[d.id].Product) {
			c.result.Missed++
			if len(c.result.GetMissedProducts()) < maxNamedMissed {
				c.result.MissedProducts = append(c.result.MissedProducts, d.id)
			}
			metrics.MissedProducts.Add(ctx, 1)
		}
	}
	return c.publish(ctx, out, dead)
}

func (c *comparison) source() catalogv1.Source {
	switch {
	case c.result.GetId() != "":
		return catalogv1.Source_SOURCE_BACKFILL
	case c.countsMissed:
		return catalogv1.Source_SOURCE_COMPARISON
	default:
		return catalogv1.Source_SOURCE_SNAPSHOT
	}
}

func (c *comparison) publish(ctx context.Context, out []mesh.Outgoing, dead []deadProduct) error {
	c.separateTraces(ctx, out, dead)
	if err := c.in.publish(ctx, c.t, topology.Bulk, out, dead); err != nil {
		return err
	}
	c.result.Published += uint64(len(out))
	c.result.Dead += uint64(len(dead))
	return nil
}

// sweep publishes the removal of products that CATALOG wants but the queries no longer return.
func (c *comparison) sweep(ctx context.Context) error {
	slices.Sort(c.seen)
	return c.in.stores.Desired().EachProduct(ctx, c.in.account, func(tokens []string) error {
		var unseen []string
		for _, token := range tokens {
			if _, ok := slices.BinarySearch(c.seen, hashToken(token)); !ok {
				unseen = append(unseen, token)
			}
		}
		for page := range slices.Chunk(unseen, comparePageSize) {
			if err := c.sweepPage(ctx, page); err != nil {
				return err
			}
		}
		return nil
	})
}

// sweepPage reads products that CATALOG has but the pages did not have. They are gone, or new, or the comparison
// continued after an interruption.
func (c *comparison) sweepPage(ctx context.Context, tokens []string) error {
	latest, err := c.in.stores.Desired().StatesByToken(ctx, c.in.account, tokens)
	if err != nil {
		return err
	}
	var ids []string
	for _, l := range latest {
		// A removal is published again only to be signed.
		if l.Change != nil && (l.Change.GetOperation() != catalogv1.Operation_OPERATION_DELETE || !l.Current) {
			ids = append(ids, l.Change.GetProductId())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return c.removeGone(ctx, ids)
}

// removeGone publishes the removal of those of the products that the queries do not return.
func (c *comparison) removeGone(ctx context.Context, ids []string) error {
	reading, err := c.in.readProducts(ctx, c.schema.mapping, ids)
	if err != nil {
		return err
	}
	// A product that the queries spell in another way is another product to CATALOG. The one with this spelling is
	// gone.
	gone := slices.DeleteFunc(ids, func(id string) bool {
		_, present := reading.States[id]
		return present
	})
	before := c.result.GetPublished() - c.signedAgain
	if err := c.publishDifferences(ctx, gone, reading); err != nil {
		return err
	}
	c.result.Removed += c.result.GetPublished() - c.signedAgain - before
	return nil
}
