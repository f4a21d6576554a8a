package ingestion

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/mesh"
	"github.com/driftless-sync/driftless/services/metrics"
)

// wholePage is how many products are read at once.
const wholePage = mesh.BatchLimit

// lookForWhole is how often is looked whether another reading is wanted of which nobody has told this process.
const lookForWhole = 10 * time.Second

// Values of the cursor of whole readings: wanted, "after <product id>", done.
const (
	wholeWanted = "wanted"
	wholeAfter  = "after "
	wholeDone   = "done"
)

func (in *ingester) wholeCursor() *mesh.Cursor { return in.mesh.Cursor("snapshot." + in.account) }

func (in *ingester) requestReread() {
	select {
	case in.reread <- struct{}{}:
	default:
	}
}

// readWhole reads the whole catalog whenever that is wanted: at the first start, after the slot was lost, a table
// truncated or the mapping changed. A reading that was interrupted goes on where it was; one during which another
// became wanted starts over. Only the replica that reads the log does it, and every turn begins with a request.
func (in *ingester) readWhole(ctx context.Context) error {
	for {
		var err error
		if t := in.turns.mine(); t != nil {
			err = in.readIfWanted(ctx, t)
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, mesh.ErrOvertaken):
			in.logger.InfoContext(ctx, "leaving the reading of the catalog to the turn after this one")
		case errors.Is(err, mesh.ErrMoved):
			in.logger.InfoContext(ctx, "the catalog has to be read again from its beginning")
			continue
		default:
			in.logger.ErrorContext(ctx, "reading the catalog was interrupted; it goes on shortly", "error", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(reconnectDelay):
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-in.reread:
		case <-time.After(lookForWhole):
		}
	}
}

func (in *ingester) readIfWanted(ctx context.Context, t *turn) error {
	cursor := in.wholeCursor()
	position, revision, err := cursor.At(ctx)
	if err != nil || position == wholeDone {
		return err
	}
	after, _ := strings.CutPrefix(position, wholeAfter)
	if position == wholeWanted {
		after = ""
	}
	// That another reading is wanted must not be overwritten by the progress of this one.
	move := func(to string) error {
		revision, err = cursor.Move(ctx, to, revision)
		return err
	}
	if err := in.whole(ctx, t, catalogv1.Source_SOURCE_SNAPSHOT, after, func(last string) error { return move(wholeAfter + last) }); err != nil {
		return err
	}
	return move(wholeDone)
}

// whole publishes every product after the given id in the bulk lane, then the removal of those that CATALOG still
// wants and the mapping no longer returns.
func (in *ingester) whole(ctx context.Context, t *turn, source catalogv1.Source, after string, reached func(last string) error) error {
	start, n := time.Now(), 0
	logged := start
	seen := map[string]bool{}
	for {
		// Before the reading: see progress.
		label := in.progress.label()
		ids, err := in.mapping.IDs(ctx, after, wholePage)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		if err := in.states(ctx, t, ids, label, source); err != nil {
			return err
		}
		for _, id := range ids {
			seen[mesh.Token(id)] = true
		}
		after = ids[len(ids)-1]
		n += len(ids)
		metrics.CatalogReadProducts.Add(ctx, int64(len(ids)))
		if err := reached(after); err != nil {
			return err
		}
		if time.Since(logged) > 5*time.Second {
			logged = time.Now()
			in.logger.InfoContext(ctx, "reading the catalog", "products", n, "per_second", int(float64(n)/time.Since(start).Seconds()))
		}
	}
	removed, err := in.sweep(ctx, t, source, seen)
	if err != nil {
		return err
	}
	in.logger.InfoContext(ctx, "the catalog is read", "products", n, "removed", removed, "took", time.Since(start).Round(time.Millisecond))
	return nil
}

// sweep publishes the removal of products that CATALOG wants and the catalog no longer has.
func (in *ingester) sweep(ctx context.Context, t *turn, source catalogv1.Source, seen map[string]bool) (removed int, err error) {
	tokens, err := in.mesh.Desired().Products(ctx, in.account)
	if err != nil {
		return 0, err
	}
	var suspects []string
	for _, token := range tokens {
		if seen[token] {
			continue
		}
		newest, err := in.mesh.Desired().NewestByToken(ctx, in.account, token)
		if err != nil {
			return 0, err
		}
		if newest != nil && newest.GetOperation() != catalogv1.Operation_OPERATION_DELETE {
			suspects = append(suspects, newest.GetProductId())
		}
	}
	for len(suspects) > 0 {
		page := suspects[:min(len(suspects), wholePage)]
		suspects = suspects[len(page):]
		label := in.progress.label()
		states, err := in.mapping.Read(ctx, page)
		if err != nil {
			return removed, err
		}
		// Those that the reading did not come to because it was resumed are as they were.
		gone := slices.DeleteFunc(page, func(id string) bool {
			state := states.Of(id)
			return state.Product != nil || state.Failure != nil
		})
		if err := in.send(ctx, t, gone, states, label, source); err != nil {
			return removed, err
		}
		removed += len(gone)
	}
	return removed, nil
}

// states publishes the present states of products, labelled with a position taken before.
func (in *ingester) states(ctx context.Context, t *turn, ids []string, label uint64, source catalogv1.Source) error {
	states, err := in.mapping.Read(ctx, ids)
	if err != nil {
		return err
	}
	return in.send(ctx, t, ids, states, label, source)
}

func (in *ingester) send(ctx context.Context, t *turn, ids []string, states mapping.Reading, label uint64, source catalogv1.Source) error {
	var out []mesh.Outgoing
	var dead []deadProduct
	for _, id := range ids {
		change := &catalogv1.ProductChange{
			Account: in.account, ProductId: id, Version: label, Source: source, CapturedAt: timestamppb.Now(),
		}
		o, d := in.outgoing(change, states.Of(id), mesh.Bulk)
		if d != nil {
			dead = append(dead, deadProduct{letter: d, ctx: ctx})
			continue
		}
		out = append(out, o)
	}
	return in.publish(ctx, t, mesh.Bulk, out, dead)
}
