package reconciliation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/command"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// rebasePage is how many products are compared with NATS at once.
const rebasePage = 500

// commandInterval is the time after which a scan or a comparison is commanded again if nothing of it was reported.
const commandInterval = 5 * time.Minute

// rebaseCommands are the commands of a rebase that this process has issued, and when.
type rebaseCommands struct {
	// since identifies the rebase.
	since            time.Time
	scan, comparison time.Time
}

// awaitTruth returns what is missing until NATS is as new as the tables and Stripe are: since the reread began,
// ingestion must have compared the tables with CATALOG, and pull must have scanned Stripe. It commands both.
func (r *reconciler) awaitTruth(ctx context.Context, reread *ledger.Reread) (missing string, err error) {
	scan, err := r.view.LastScan(ctx)
	if err != nil {
		return "", err
	}
	about := r.aboutRebase("scan", reread)
	isOurs := strings.HasPrefix(scan.GetId(), about.ID) || state.BeganAfter(scan, reread.Since)
	scanned := isOurs && state.HasReadAll(scan)
	if isOurs && !scanned && scan.GetFinishedAt() != nil {
		// The read allowance left objects unread. Another scan continues with them.
		about.ID = fmt.Sprintf("%s:%d", about.ID, scan.GetFinishedAt().AsTime().UnixMicro())
	}
	if !scanned {
		missing = "a scan of Stripe has to end"
	}
	view, err := r.view.Read(ctx)
	if err != nil {
		return "", err
	}
	tables := view.Equality.GetCapture().GetCompared()
	isOurs = tables.GetId() == r.aboutRebase("comparison", reread).ID || state.BeganAfter(tables, reread.Since)
	compared := isOurs && tables.GetFinishedAt() != nil
	if !compared {
		missing = joinMissing(missing, "ingestion has to compare the tables with CATALOG")
	}
	if missing == "" {
		return "", nil
	}
	return missing, r.commandTruth(ctx, reread, about, !scanned, !compared)
}

func joinMissing(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", and " + b
}

// aboutRebase is what a command of a rebase says of itself. Every process issues it with the same id.
func (r *reconciler) aboutRebase(verb string, reread *ledger.Reread) command.About {
	return command.About{
		ID:     fmt.Sprintf("ledger-%s:%s:%d", verb, r.Account, reread.Since.UnixMicro()),
		Issuer: topology.Reconciliation,
		Reason: reread.Reason,
	}
}

// commandTruth commands a scan, a comparison, or both.
func (r *reconciler) commandTruth(ctx context.Context, reread *ledger.Reread, aboutScan command.About,
	scan, compare bool,
) error {
	if !r.commanded.since.Equal(reread.Since) {
		r.commanded = rebaseCommands{since: reread.Since}
	}
	now := r.Now()
	if scan && now.Sub(r.commanded.scan) > commandInterval {
		if err := r.commands.Scan(ctx, aboutScan); err != nil {
			return err
		}
		r.commanded.scan = now
	}
	if compare && now.Sub(r.commanded.comparison) > commandInterval {
		if err := r.commands.Backfill(ctx, r.aboutRebase("comparison", reread), nil); err != nil {
			return err
		}
		r.commanded.comparison = now
	}
	return nil
}

// rebase compares every product of the ledger with CATALOG and OBSERVED, and takes both sides from there. It returns
// how many products were not as they are there.
func (r *reconciler) rebase(ctx context.Context) (changed int, err error) {
	// States that are stored from now on arrive as always, and are not replaced by what is read here.
	before, err := r.mesh.Clock().Now(ctx)
	if err != nil {
		return 0, err
	}
	for after := ""; ; {
		mine, err := r.mayReadAgain(ctx)
		if err != nil || !mine {
			return changed, cmp.Or(err, errNotHolder)
		}
		ids, err := r.ledger.IDsAfter(ctx, after, rebasePage)
		if err != nil || len(ids) == 0 {
			return changed, err
		}
		changes, err := r.rebasePage(ctx, ids, before)
		if err != nil {
			return changed, err
		}
		n, err := r.applyAgain(ctx, topology.ReconciliationCatalog, changes)
		if err != nil {
			return changed, err
		}
		changed, after = changed+n, ids[len(ids)-1]
	}
}

// errNotHolder means that another process reads again what the ledger lacks.
var errNotHolder = errors.New("another process reads the streams again")

// rebasePage returns the changes that give products the sides that NATS has.
func (r *reconciler) rebasePage(ctx context.Context, ids []string, before time.Time) ([]ledger.Change, error) {
	desired, err := r.latestDesired(ctx, ids, before)
	if err != nil {
		return nil, err
	}
	observed, err := r.latestObserved(ctx, ids, before)
	return append(desired, observed...), err
}

// latestDesired returns the changes that give products their latest states of CATALOG.
func (r *reconciler) latestDesired(ctx context.Context, ids []string, before time.Time) ([]ledger.Change, error) {
	var subjects []string
	for _, id := range ids {
		for _, lane := range topology.Lanes {
			subjects = append(subjects, topology.CatalogSubject(r.Account, lane, id))
		}
	}
	latest := make([]*mesh.Message[*catalogv1.ProductChange], len(ids))
	unread := make([]bool, len(ids))
	stream := r.mesh.Stream(topology.StreamCatalog)
	err := stream.EachLast(ctx, subjects, func(i int, raw *jetstream.RawStreamMsg) error {
		if i /= len(topology.Lanes); raw == nil {
			return nil
		}
		msg, err := mesh.DecodeStored[catalogv1.ProductChange](r.mesh, topology.StreamCatalog, raw)
		switch {
		case err != nil:
			// The product stays as it is: its earlier states may be authentic.
			unread[i] = true
		case latest[i] == nil || supersedes(msg, *latest[i]):
			latest[i] = &msg
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare the ledger with %s: %w", topology.StreamCatalog, err)
	}
	var changes []ledger.Change
	for i, id := range ids {
		switch msg := latest[i]; {
		case unread[i]:
		case msg == nil:
			changes = append(changes, ledger.RebaseRemoved(id, before))
		default:
			at := ledger.Position{Sequence: msg.Sequence, Stored: msg.PublishedAt}
			entry := ledger.Entry{At: msg.PublishedAt}
			if c := msg.Body.GetCommittedAt(); c != nil {
				entry.At = c.AsTime()
			}
			changes = append(changes, ledger.RebaseDesired(msg.Body, at, entry, before))
		}
	}
	return changes, nil
}

// supersedes reports whether a state replaces that of the other lane.
func supersedes(a, b mesh.Message[*catalogv1.ProductChange]) bool {
	if a.Body.GetVersion() != b.Body.GetVersion() {
		return a.Body.GetVersion() > b.Body.GetVersion()
	}
	return a.Sequence > b.Sequence
}

// latestObserved returns the changes that give products their states of OBSERVED.
func (r *reconciler) latestObserved(ctx context.Context, ids []string, before time.Time) ([]ledger.Change, error) {
	subjects := make([]string, len(ids))
	for i, id := range ids {
		subjects[i] = topology.KeyObserved.Sub(topology.Token(id)).Subject(r.Account)
	}
	changes := make([]ledger.Change, 0, len(ids))
	stream := topology.ReconciliationObserved.Stream
	err := r.mesh.Stream(stream).EachLast(ctx, subjects, func(i int, raw *jetstream.RawStreamMsg) error {
		empty := &catalogv1.Observed{Account: r.Account, ProductId: ids[i]}
		if raw == nil {
			changes = append(changes, ledger.RebaseObserved(empty, ledger.Position{Stored: before}, before))
			return nil
		}
		at := ledger.Position{Sequence: raw.Sequence, Stored: raw.Time}
		msg, err := mesh.DecodeStored[catalogv1.Observed](r.mesh, stream, raw)
		switch {
		case raw.Header.Get("KV-Operation") != "":
			changes = append(changes, ledger.RebaseObserved(empty, at, before))
		case err == nil:
			changes = append(changes, ledger.RebaseObserved(msg.Body, at, before))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare the ledger with %s: %w", topology.BucketObserved, err)
	}
	return changes, nil
}
