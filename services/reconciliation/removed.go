package reconciliation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/wait"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// refreshInterval is how often the positions are stored although no consumer of the account has moved. Other accounts
// share the streams, and their messages expire.
const refreshInterval = time.Minute

// restsOn reports whether what the ledger says rests on the messages that a consumer has read: those of reconciliation,
// and the events of Stripe that pull turns into observed states.
func restsOn(c topology.Consumer) bool {
	return c.Name == topology.Reconciliation || c == topology.PullStripe
}

func hasReadAll(c mesh.ConsumerStatus) bool { return c.Pending+c.InFlight == 0 }

// readTo returns the sequence up to which the consumers that the ledger rests on have read a stream. A consumer without
// anything left has read all that the stream had before its status was read.
func (r *reconciler) readTo(stream string, now mesh.StreamState, consumers []mesh.ConsumerStatus) int64 {
	before := r.lasts[stream]
	if !before.Created.Equal(now.Created) || now.Last < before.Last {
		// It was made again or restored, and counts from where it is.
		before.Last = 0
	}
	out, found := int64(0), false
	for _, c := range consumers {
		if c.Stream != stream || !restsOn(c.Consumer) {
			continue
		}
		read := int64(c.AckFloor)
		if hasReadAll(c) {
			read = max(read, int64(before.Last))
		}
		if !found || read < out {
			out, found = read, true
		}
	}
	// The consumers may be those of the earlier stream.
	return min(out, int64(now.Last))
}

// mayLack reports whether a stream begins behind what is known to be read of it.
func mayLack(now mesh.StreamState, p ledger.StreamPosition) bool {
	return p.ReadTo >= 0 && int64(now.First) > p.ReadTo+1
}

// The pause after a look for removed messages is pauseFactor times as long as the look, and at most maxPause.
const (
	pauseFactor = 20
	maxPause    = 30 * time.Second
)

// look is the last look for removed messages in a stream that found no loss.
type look struct {
	// created is the stream's, and first its first sequence then. The messages before were read or replaced.
	created time.Time
	first   uint64
	ended   time.Time
	took    time.Duration
}

// findRemoved looks for messages that a stream has lost and that were not read, and corrects how far the stream was
// read.
func (r *reconciler) findRemoved(ctx context.Context, d *ledger.Delivered, p ledger.StreamPosition,
	now mesh.StreamState, consumers []mesh.ConsumerStatus,
) (err error) {
	if last := r.looks[d.Stream]; last.created.Equal(now.Created) {
		d.ReadTo = max(d.ReadTo, int64(last.first)-1)
		p.ReadTo = max(p.ReadTo, int64(last.first)-1)
	}
	switch {
	case !mayLack(now, p):
		return nil
	case r.looksLater(d.Stream, consumers):
		d.ReadTo = p.ReadTo
		return nil
	}
	began := time.Now()
	if d.HasRemoved, err = r.hasRemoved(ctx, d.Stream, now); err != nil {
		return err
	}
	// The messages before are not looked for again: they were lost, which is known now, or replaced.
	d.ReadTo = max(d.ReadTo, int64(now.First)-1)
	if !d.HasRemoved {
		r.looks[d.Stream] = look{created: now.Created, first: now.First, ended: time.Now(), took: time.Since(began)}
	}
	return nil
}

// looksLater reports whether a stream need not be looked at for removed messages yet. While its consumers are behind,
// later states replace those that they have not read, all the time, and a look reads every product of the ledger.
// Once they have read all, nothing is put off.
func (r *reconciler) looksLater(stream string, consumers []mesh.ConsumerStatus) bool {
	isBehind := slices.ContainsFunc(consumers, func(c mesh.ConsumerStatus) bool {
		return c.Stream == stream && restsOn(c.Consumer) && !hasReadAll(c)
	})
	last := r.looks[stream]
	return isBehind && time.Since(last.ended) < min(pauseFactor*last.took, maxPause)
}

// hasRemoved reports whether a stream that begins behind what was read has lost messages that were not read.
//
// In STRIPE and SYNC only a purge or a limit removes messages. In CATALOG and OBSERVED later states of a product
// replace its earlier ones, so the stream may begin there in normal work. But then it still has a message of each
// product. Reconciliation itself deletes closed letters from DEAD.
func (r *reconciler) hasRemoved(ctx context.Context, stream string, now mesh.StreamState) (bool, error) {
	switch stream {
	case topology.StreamStripe, topology.StreamSync:
		return true, nil
	case topology.StreamCatalog:
		return r.lacksProducts(ctx, stream, ledger.CatalogSide, now, func(id string) []string {
			return []string{
				topology.CatalogSubject(r.Account, topology.Live, id),
				topology.CatalogSubject(r.Account, topology.Bulk, id),
			}
		})
	case topology.ReconciliationObserved.Stream:
		return r.lacksProducts(ctx, stream, ledger.StripeSide, now, func(id string) []string {
			return []string{topology.KeyObserved.Sub(topology.Token(id)).Subject(r.Account)}
		})
	default:
		return false, nil
	}
}

// advanceRead stores how far STRIPE and SYNC are read while the ledger is read again. A stream that lost messages which
// were not read keeps its position, so that the loss is noticed when the reread ends. So do CATALOG and OBSERVED: they
// can be checked only once the ledger has their products.
func (r *reconciler) advanceRead(ctx context.Context) error {
	stored, err := r.ledger.PositionsAfterReread(ctx)
	if err != nil {
		return err
	}
	maps.DeleteFunc(stored, func(stream string, _ ledger.StreamPosition) bool {
		return stream != topology.StreamStripe && stream != topology.StreamSync
	})
	delivered, err := r.delivered(ctx, stored)
	if err != nil {
		return err
	}
	var positions []ledger.StreamPosition
	for _, d := range delivered {
		if _, known := stored[d.Stream]; known && !d.HasRemoved {
			positions = append(positions,
				ledger.StreamPosition{Stream: d.Stream, Created: d.Created, ReadTo: d.ReadTo})
		}
	}
	return r.ledger.AdvanceRead(ctx, positions)
}

// lacksProducts reports whether a stream has no message of a product whose state the ledger has from it.
func (r *reconciler) lacksProducts(ctx context.Context, stream string, side ledger.Side, now mesh.StreamState,
	subjects func(id string) []string,
) (bool, error) {
	for after := ""; ; {
		ids, err := r.ledger.IDsWithState(ctx, side, after, rebasePage)
		if err != nil || len(ids) == 0 {
			return false, err
		}
		missing, err := r.withoutMessage(ctx, stream, ids, subjects)
		if err == nil && len(missing) > 0 {
			// A replica that lags may have answered.
			if err := wait.For(ctx, continuityInterval); err != nil {
				return false, err
			}
			missing, err = r.withoutMessage(ctx, stream, missing, subjects)
		}
		if err != nil {
			return false, fmt.Errorf("look for the products of the ledger in stream %s, which begins at %d: %w",
				stream, now.First, err)
		}
		if len(missing) > 0 {
			return true, nil
		}
		after = ids[len(ids)-1]
	}
}

// withoutMessage returns the products that a stream has no message of.
func (r *reconciler) withoutMessage(ctx context.Context, stream string, ids []string,
	subjectsOf func(id string) []string,
) (missing []string, err error) {
	var subjects []string
	var products []int
	for i, id := range ids {
		for _, subject := range subjectsOf(id) {
			subjects, products = append(subjects, subject), append(products, i)
		}
	}
	found := make([]bool, len(ids))
	if err := r.mesh.Stream(stream).EachLast(ctx, subjects, func(i int, msg *jetstream.RawStreamMsg) error {
		found[products[i]] = found[products[i]] || msg != nil
		return nil
	}); err != nil {
		return nil, err
	}
	for i, id := range ids {
		if !found[i] {
			missing = append(missing, id)
		}
	}
	return missing, nil
}
