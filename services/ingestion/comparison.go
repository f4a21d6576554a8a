package ingestion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// idsPage is how many ids are listed at once: each list sorts the products of the query.
	idsPage = 50_000
	// comparePage is how many products are read at once.
	comparePage = mesh.MaxBatch
	// firstPage is how many products are read first where CATALOG has none: if all of them would be refused, the
	// mapping is wrong, and the rest is not tried.
	firstPage = 50
	// gentlePace is the products a second of a comparison that nobody waits for.
	gentlePace = 2000
	// namedMissed is how many products a comparison names.
	namedMissed = 20
)

// errAllRefused: the first products of a catalog would all be refused.
var errAllRefused = errors.New("the first products would all be refused")

// comparison reads products from the tables and publishes, in the bulk lane, what differs from CATALOG. It is the one
// way in which the catalog is read other than by changes in the log: snapshot, reread, periodic comparison and
// recovery.
type comparison struct {
	in *ingester
	t  *turn
	// schema is the one by which it reads, from its beginning to its end.
	schema *schema
	result *meshv1.TableComparison
	// label is of the mark behind which the present page is read.
	label position
	// seen are hashes of the products that the queries returned: 8 bytes for each.
	seen []uint64

	// after is the product after which it begins; startedAt when it began, if it was interrupted.
	after     string
	startedAt time.Time
	// first: CATALOG is empty, or is taken to be.
	first bool
	// expectsNothing: the log has told everything, so that what differs was missed.
	expectsNothing bool
	// gently: nobody waits for it.
	gently bool
	// signed counts the products that were published again only because they were not signed with the present key.
	signed uint64
	// owed: products that a change of shared rows concerns were still to be read when it began.
	owed bool
	// moved is told how far it has come; nil if nobody needs to know.
	moved func(last string) error
}

func (in *ingester) newComparison(t *turn, reason string) *comparison {
	return &comparison{in: in, t: t, schema: t.schema, result: &meshv1.TableComparison{Reason: reason}}
}

// run compares the whole catalog.
func (c *comparison) run(ctx context.Context) error {
	begun := time.Now()
	var paid []string
	if c.after == "" {
		paid = c.in.report.owing()
	}
	c.owed = len(c.in.report.owing()) > 0
	if err := c.begin(ctx); err != nil {
		return err
	}
	err := c.pages(ctx)
	if err == nil && ctx.Err() == nil {
		err = c.sweep(ctx)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	c.in.report.compared(ctx, c.result, paid, err)
	if err == nil {
		err = c.in.report.write(ctx)
	}
	if err != nil {
		return err
	}
	metrics.ComparisonDuration.Record(ctx, time.Since(begun).Seconds())
	c.log(ctx, time.Since(begun))
	return nil
}

// begin marks the log: everything committed before the comparison is captured first, so that what differs then is not
// on its way.
func (c *comparison) begin(ctx context.Context) error {
	now, err := c.in.mesh.Clock().Now(ctx)
	if err != nil {
		return err
	}
	if !c.startedAt.IsZero() {
		now = c.startedAt
	}
	c.result.StartedAt = timestamppb.New(now)
	c.in.report.comparing(c.result)
	c.label, err = c.in.label(ctx)
	return err
}

func (c *comparison) log(ctx context.Context, took time.Duration) {
	r := c.result
	attrs := []any{
		"reason", r.GetReason(), "products", r.GetProducts(), "published", r.GetPublished(), "missed", r.GetMissed(),
		"removed", r.GetRemoved(),
		"dead", r.GetDead(), "signed_again", c.signed, "took", took.Round(time.Millisecond),
	}
	if r.GetMissed() == 0 {
		level := slog.LevelInfo
		if r.GetReason() == reasonWritten && c.signed == 0 {
			// Every few seconds in a small catalog that is worked on.
			level = slog.LevelDebug
		}
		c.in.logger.Log(ctx, level, "the tables are compared", attrs...)
		return
	}
	attrs = append(attrs, "first", r.GetMissedProducts(), "likely_cause", c.cause())
	c.in.logger.WarnContext(ctx, "the tables are compared: changes had been missed, and are published now", attrs...)
}

// cause is the likely reason that changes were missed.
func (c *comparison) cause() string {
	if len(c.schema.unwatched) == 0 {
		return "what the queries return depends on the time, on functions, or on tables outside of this database"
	}
	return fmt.Sprintf("the queries read tables that nobody watches: %v", c.schema.unwatched)
}

// pages compares the products that the queries return.
func (c *comparison) pages(ctx context.Context) error {
	size := comparePage
	if c.first && c.after == "" {
		size = firstPage
	}
	for ctx.Err() == nil {
		ids, err := c.schema.mapping.IDs(ctx, c.after, idsPage)
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
			if size == firstPage && len(page) == firstPage && c.result.GetDead() == uint64(len(page)) {
				return c.allRefused(ctx)
			}
			size = comparePage
			c.after = page[len(page)-1]
			c.result.After = c.after
			metrics.CatalogReadProducts.Add(ctx, int64(len(page)))
			metrics.ComparedProducts.Add(ctx, int64(len(page)))
			c.in.report.comparing(c.result)
			if c.moved != nil {
				if err := c.moved(c.after); err != nil {
					return err
				}
			}
			if c.gently && !c.in.pause(ctx, time.Duration(len(page))*time.Second/gentlePace-time.Since(begun)) {
				return context.Cause(ctx)
			}
		}
	}
	return context.Cause(ctx)
}

// products compares a page of products.
func (c *comparison) products(ctx context.Context, ids []string) error {
	// Before the reading: a removal that comes by the log meanwhile is then not taken for one of a product that CATALOG
	// never had.
	c.in.lately.add(ids...)
	reading, err := c.schema.mapping.Read(ctx, ids)
	if err != nil {
		return err
	}
	var present []string
	for _, id := range ids {
		spelled := spelling(reading, id)
		if _, ok := reading.States[spelled]; ok && !slices.Contains(present, spelled) {
			present = append(present, spelled)
			c.seen = append(c.seen, hashed(spelled))
		}
	}
	c.result.Products += uint64(len(present))
	return c.settle(ctx, present, reading)
}

// settle publishes those products of a reading that differ from CATALOG.
func (c *comparison) settle(ctx context.Context, ids []string, reading mapping.Reading) error {
	differs, dead, err := c.differing(ctx, ids, reading)
	if err != nil {
		return err
	}
	if c.first && c.result.GetProducts() == firstPage && len(dead) == firstPage {
		c.result.Dead += uint64(len(dead))
		c.refusals(dead)
		return nil
	}
	var out []mesh.Outgoing
	var suspects []string
	for _, d := range differs {
		if d.unsigned && d.latest < c.label.version {
			c.signed++
			out = append(out, d.out)
			continue
		}
		// One that CATALOG had before may have changed since the mark: that is on its way, and is looked at once more.
		if d.known && !d.letter && (c.expectsNothing || d.latest >= c.label.version) {
			suspects = append(suspects, d.id)
			continue
		}
		out = append(out, d.out)
	}
	if err := c.publish(ctx, out, dead); err != nil {
		return err
	}
	return c.confirm(ctx, suspects, reading)
}

// confirm looks at products once more that differ from CATALOG although the log was captured. A change that was on its
// way has arrived then. What still differs, and still reads as before, the log did not tell.
func (c *comparison) confirm(ctx context.Context, suspects []string, before mapping.Reading) error {
	if len(suspects) == 0 {
		return nil
	}
	var err error
	if c.label, err = c.in.label(ctx); err != nil {
		return err
	}
	reading, err := c.schema.mapping.Read(ctx, suspects)
	if err != nil {
		return err
	}
	differs, dead, err := c.differing(ctx, suspects, reading)
	if err != nil {
		return err
	}
	var out []mesh.Outgoing
	for _, d := range differs {
		if d.latest > c.label.version {
			// It changed again meanwhile, and that has come by the log.
			continue
		}
		out = append(out, d.out)
		if d.unsigned {
			c.signed++
			continue
		}
		// What is still to be read because a shared row changed, the log has told.
		if c.expectsNothing && !d.letter && len(c.in.report.owing()) == 0 && !c.owed &&
			same(before.States[d.id].Product, reading.States[d.id].Product) {
			c.result.Missed++
			if len(c.result.GetMissedProducts()) < namedMissed {
				c.result.MissedProducts = append(c.result.MissedProducts, d.id)
			}
			metrics.MissedProducts.Add(ctx, 1)
		}
	}
	return c.publish(ctx, out, dead)
}

// same reports whether two states of a product are the same. A state that an earlier version stored may have its prices
// in the order of the rows.
func same(a, b *catalogv1.Product) bool {
	if proto.Equal(a, b) || a == nil || b == nil || len(a.GetPrices()) != len(b.GetPrices()) {
		return proto.Equal(a, b)
	}
	ordered := proto.CloneOf(a)
	slices.SortFunc(ordered.GetPrices(),
		func(x, y *catalogv1.Price) int { return strings.Compare(x.GetId(), y.GetId()) })
	return proto.Equal(ordered, b)
}

// difference is a product that CATALOG holds in another state than the tables.
type difference struct {
	id  string
	out mesh.Outgoing
	// known: CATALOG has a state of it, with the version latest.
	known  bool
	latest uint64
	// letter: it could not be read, or would have been refused, until now.
	letter bool
	// unsigned: CATALOG has it as it is, and not signed with the present key.
	unsigned bool
}

// differing are the products of a reading that differ from CATALOG, and those that Stripe would refuse.
func (c *comparison) differing(ctx context.Context, ids []string,
	reading mapping.Reading,
) (out []difference, dead []deadProduct, err error) {
	latest, err := c.in.mesh.Desired().States(ctx, c.in.account, ids)
	if err != nil {
		return nil, nil, err
	}
	letters, err := c.in.mesh.OpenLetters(ctx, topology.Ingestion, c.in.account, ids)
	if err != nil {
		return nil, nil, err
	}
	for i, id := range ids {
		change := &catalogv1.ProductChange{
			Account: c.in.account, ProductId: id, Version: c.label.version, Source: c.source(),
			CapturedAt: timestamppb.Now(),
		}
		o, letter := c.in.outgoing(change, reading.States[id], topology.Bulk)
		open := ofState(letters[i])
		if letter != nil {
			if open && letters[i].GetMessage() == letter.GetMessage() && !c.first {
				// It has been told.
				c.result.Dead++
				continue
			}
			dead = append(dead, deadProduct{letter: letter, ctx: ctx})
			continue
		}
		have := latest[i].Change
		// An open letter is closed by a later version, also if the product is again as CATALOG has it.
		same := equal(have, change) && !open
		if same && latest[i].Current {
			continue
		}
		if have == nil && change.GetOperation() == catalogv1.Operation_OPERATION_DELETE && !open {
			continue
		}
		out = append(out, difference{
			id:       id,
			out:      o,
			known:    have != nil,
			latest:   have.GetVersion(),
			letter:   open,
			unsigned: same,
		})
	}
	return out, dead, nil
}

// equal reports whether a state of CATALOG wants what a change wants.
func equal(have, want *catalogv1.ProductChange) bool {
	if have == nil || have.GetOperation() != want.GetOperation() {
		return false
	}
	return same(have.GetProduct(), want.GetProduct()) && slices.Equal(have.GetUnmanagedFields(),
		want.GetUnmanagedFields())
}

func (c *comparison) source() catalogv1.Source {
	switch {
	case c.result.GetId() != "":
		return catalogv1.Source_SOURCE_BACKFILL
	case c.expectsNothing:
		return catalogv1.Source_SOURCE_COMPARISON
	default:
		return catalogv1.Source_SOURCE_SNAPSHOT
	}
}

func (c *comparison) publish(ctx context.Context, out []mesh.Outgoing, dead []deadProduct) error {
	if err := c.in.publish(ctx, c.t, topology.Bulk, out, dead); err != nil {
		return err
	}
	c.result.Published += uint64(len(out))
	c.result.Dead += uint64(len(dead))
	return nil
}

// sweep publishes the removal of products that CATALOG wants and the queries no longer return.
func (c *comparison) sweep(ctx context.Context) error {
	slices.Sort(c.seen)
	return c.in.mesh.Desired().EachProduct(ctx, c.in.account, func(tokens []string) error {
		var unseen []string
		for _, token := range tokens {
			if _, ok := slices.BinarySearch(c.seen, hashedToken(token)); !ok {
				unseen = append(unseen, token)
			}
		}
		for page := range slices.Chunk(unseen, comparePage) {
			if err := c.sweepPage(ctx, page); err != nil {
				return err
			}
		}
		return nil
	})
}

// sweepPage looks at products that CATALOG has and the pages did not come to: they are gone, or are new, or the
// comparison went on after an interruption.
func (c *comparison) sweepPage(ctx context.Context, tokens []string) error {
	latest, err := c.in.mesh.Desired().StatesByToken(ctx, c.in.account, tokens)
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
	reading, err := c.schema.mapping.Read(ctx, ids)
	if err != nil {
		return err
	}
	// What the queries return in another spelling is another product to CATALOG: the one with this spelling is gone.
	gone := slices.DeleteFunc(ids, func(id string) bool {
		_, present := reading.States[id]
		return present
	})
	before := c.result.GetPublished() - c.signed
	if err := c.settle(ctx, gone, reading); err != nil {
		return err
	}
	c.result.Removed += c.result.GetPublished() - c.signed - before
	return nil
}
