package reconciliation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// allProducts is the product of entries about the whole account.
const allProducts = "*"

// storedMessage is a message that was read from a stream: the change that it makes, and what follows once that is
// stored. after may be nil.
type storedMessage struct {
	change ledger.Change
	after  func(context.Context) error
}

// decoder makes a change of a message that was read from a stream.
type decoder func(context.Context, *jetstream.RawStreamMsg) (storedMessage, error)

// decoders returns the decoders by stream: what follow does with the messages that are delivered.
func (r *reconciler) decoders() map[string]decoder {
	catalog, observed := topology.ReconciliationCatalog, topology.ReconciliationObserved
	stripe, sync, dead := topology.ReconciliationStripe, topology.ReconciliationSync, topology.ReconciliationDead
	return map[string]decoder{
		catalog.Stream:  decoderOf[catalogv1.ProductChange](r, catalog, r.desired, nil),
		observed.Stream: decoderOf(r, observed, r.observed, r.forgetAdopted),
		stripe.Stream:   decoderOf[meshv1.StripeChange](r, stripe, r.stripeEvent, nil),
		sync.Stream:     decoderOf(r, sync, r.outcome, r.forgetStripeID),
		dead.Stream:     decoderOf[meshv1.DeadLetter](r, dead, r.deadLetter, nil),
	}
}

func decoderOf[T any, M interface {
	*T
	proto.Message
}](r *reconciler, c topology.Consumer, change func(context.Context, mesh.Message[M]) (ledger.Change, error),
	after func(context.Context, M) error,
) decoder {
	return func(ctx context.Context, raw *jetstream.RawStreamMsg) (out storedMessage, err error) {
		msg, err := mesh.DecodeStored[T, M](r.mesh, c.Stream, raw)
		if err != nil {
			return out, err
		}
		ctx = telemetry.ExtractNATS(ctx, raw.Header)
		if out.change, err = change(ctx, msg); err != nil {
			return out, err
		}
		if after != nil {
			out.after = func(ctx context.Context) error { return after(ctx, msg.Body) }
		}
		return out, nil
	}
}

// readAgain reads what the ledger lacks, if no other process does. Messages that are delivered meanwhile are stored as
// always: the order of the two does not matter.
func (r *reconciler) readAgain(ctx context.Context, reread *ledger.Reread) error {
	err := r.readGaps(ctx, reread)
	if errors.Is(err, errNotHolder) {
		return nil
	}
	return err
}

func (r *reconciler) readGaps(ctx context.Context, reread *ledger.Reread) error {
	decoders := r.decoders()
	// The sides of the products come first, and the history last.
	for _, c := range []topology.Consumer{
		topology.ReconciliationCatalog, topology.ReconciliationObserved, topology.ReconciliationDead,
		topology.ReconciliationSync, topology.ReconciliationStripe,
	} {
		for _, gap := range reread.Gaps {
			if gap.Stream != c.Stream {
				continue
			}
			for from := gap.First; from <= gap.Last; {
				mine, err := r.mayReadAgain(ctx)
				if err != nil || !mine {
					return err
				}
				if from, err = r.readPageAgain(ctx, c, decoders[c.Stream], gap, from); err != nil {
					return err
				}
			}
		}
	}
	if mine, err := r.mayReadAgain(ctx); err != nil || !mine {
		return err
	}
	if reread.Compare {
		if err := r.compareAgain(ctx, reread); err != nil {
			return err
		}
	}
	return r.endReread(ctx)
}

// mayReadAgain reports whether this process may go on reading again. It also stores how far the streams are read
// meanwhile. Otherwise a reread that outlasts a limit of a stream would find that messages are gone which were read.
func (r *reconciler) mayReadAgain(ctx context.Context) (bool, error) {
	if mine, err := r.ledger.TakeReread(ctx, r.holder); err != nil || !mine {
		return false, err
	}
	if time.Since(r.readAdvanced) < continuityInterval {
		return true, nil
	}
	if err := r.advanceRead(ctx); err != nil {
		return false, err
	}
	r.readAdvanced = time.Now()
	return true, nil
}

// compareAgain compares every product with the streams, once these are as new as the tables and Stripe are.
func (r *reconciler) compareAgain(ctx context.Context, reread *ledger.Reread) error {
	missing, err := r.awaitTruth(ctx, reread)
	if err != nil {
		return err
	}
	if err := r.ledger.WaitReread(ctx, missing); err != nil || missing != "" {
		return err
	}
	changed, err := r.rebase(ctx)
	if err != nil {
		return err
	}
	return r.ledger.CountMissing(ctx, changed)
}

// readPageAgain reads a page of a gap, stores it, and returns the sequence to continue from.
func (r *reconciler) readPageAgain(ctx context.Context, c topology.Consumer, decode decoder, gap ledger.Gap,
	from uint64,
) (next uint64, err error) {
	messages, next, err := r.mesh.Range(ctx, c, from, gap.Last)
	if err != nil {
		return from, err
	}
	progress := ledger.RereadProgress{Stream: c.Stream, Next: next}
	if n := len(messages); n > 0 && c != topology.ReconciliationStripe && c != topology.ReconciliationSync {
		progress.From, progress.To = messages[0].Time, messages[n-1].Time
	}
	for len(messages) > 0 {
		n := min(len(messages), batchSize)
		// Messages that were in flight were never in the ledger.
		if had := acknowledgedOf(messages[:n], gap.Acknowledged); had > 0 {
			n = had
		}
		found, err := r.storeAgain(ctx, c, decode, messages[:n])
		if err != nil {
			return from, err
		}
		if messages[n-1].Sequence <= gap.Acknowledged {
			progress.Missing += found
		}
		messages = messages[n:]
		// The lease of a large page could end.
		if mine, err := r.mayReadAgain(ctx); err != nil || !mine {
			return from, cmp.Or(err, errNotHolder)
		}
	}
	return next, r.ledger.AdvanceReread(ctx, progress)
}

// acknowledgedOf counts the first messages up to a sequence.
func acknowledgedOf(messages []*jetstream.RawStreamMsg, to uint64) (n int) {
	for n < len(messages) && messages[n].Sequence <= to {
		n++
	}
	return n
}

// storeAgain stores messages, and returns how many the ledger was missing. A message that cannot be decoded or stored
// is skipped: its first delivery has made it a dead letter.
func (r *reconciler) storeAgain(ctx context.Context, c topology.Consumer, decode decoder,
	messages []*jetstream.RawStreamMsg,
) (missing int, err error) {
	var changes []ledger.Change
	var after []func(context.Context) error
	for _, raw := range messages {
		msg, err := decode(ctx, raw)
		switch {
		case errors.Is(err, mesh.ErrNoState):
			continue
		case err != nil:
			r.Logger.WarnContext(ctx, "skipped a message that cannot be read again", "stream", c.Stream,
				"sequence", raw.Sequence, "error", err)
			continue
		}
		changes = append(changes, msg.change)
		if msg.after != nil {
			after = append(after, msg.after)
		}
	}
	if missing, err = r.applyAgain(ctx, c, changes); err != nil {
		return 0, err
	}
	for _, do := range after {
		if err := do(ctx); err != nil {
			return 0, err
		}
	}
	return missing, nil
}

// applyAgain stores changes in one transaction, or each in its own if one of them cannot be stored.
func (r *reconciler) applyAgain(ctx context.Context, c topology.Consumer, changes []ledger.Change) (
	missing int, err error,
) {
	if len(changes) == 0 {
		return 0, nil
	}
	missing, err = r.ledger.ApplyAgain(ctx, changes...)
	if err == nil || !ledger.Refused(err) {
		return missing, err
	}
	for _, change := range changes {
		n, err := r.ledger.ApplyAgain(ctx, change)
		switch {
		case err == nil:
			missing += n
		case !ledger.Refused(err):
			return missing, err
		default:
			r.Logger.WarnContext(ctx, "skipped a message that cannot be stored", "stream", c.Stream,
				"product", change.Product, "error", err)
		}
	}
	return missing, nil
}

// endReread ends the reread once nothing is left of it.
func (r *reconciler) endReread(ctx context.Context) error {
	ended, err := r.ledger.EndReread(ctx, func(reread ledger.Reread) *ledger.Entry {
		if reread.Missing == 0 {
			return nil
		}
		return &ledger.Entry{
			EventID: "LEDGER:" + nuid.Next(),
			Product: allProducts,
			At:      r.Now(),
			Kind:    "ledger_reread",
			Detail: fmt.Sprintf("%s; %d changes and entries were missing, and were read again", reread.Reason,
				reread.Missing),
		}
	})
	if errors.Is(err, ledger.ErrReplaced) {
		return nil
	}
	if err == nil && ended != nil {
		r.Logger.InfoContext(ctx, "the ledger has again what NATS has delivered", "account", r.Account,
			"missing", ended.Missing, "after", r.Now().Sub(ended.Since).Round(time.Millisecond))
	}
	return err
}
