package ledger

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Commands are the commands that a product's drift requires.
type Commands struct {
	// Repair makes push bring the product to its desired state. Overwrite and Leave are the fields that are exceptions
	// from the policy.
	Repair           bool
	Overwrite, Leave []string
	// WriteBack are fields that the catalog takes from Stripe.
	WriteBack []string
	// Archive and Import concern a product that the catalog does not have. A repair of a product that left the catalog
	// archives it although CATALOG has lost its states.
	Archive, Import bool
}

// isEmpty reports whether there is nothing to do.
func (o Commands) isEmpty() bool {
	return !o.Repair && len(o.WriteBack) == 0 && !o.Archive && !o.Import
}

// commands returns the commands that a product's open drift requires.
func (l *Ledger) commands(p *Product) Commands {
	var o Commands
	for _, d := range p.open {
		switch {
		case !d.isActive():
			o.Leave = append(o.Leave, p.Field(d))
		case d.isWholeExtra():
			o.Archive = d.Decided == CatalogSide || d.Decided == "" && l.extras == ExtrasArchive
			o.Import = d.Decided == StripeSide || d.Decided == "" && l.extras == ExtrasImport
		case d.takesStripe():
			o.WriteBack = append(o.WriteBack, p.Field(d))
			if d.Decided == StripeSide {
				// A repair of another field comes before the write-back.
				o.Leave = append(o.Leave, p.Field(d))
			}
		case d.Decided == CatalogSide:
			o.Repair, o.Overwrite = true, append(o.Overwrite, p.Field(d))
		case d.Action == catalog.Repair:
			o.Repair = true
		}
	}
	o.Archive = o.Archive || o.Repair && p.hasLeftUnseen()
	return o
}

// hasLeftUnseen reports whether the product left the catalog, and CATALOG has no message that says so: it lost the
// product's states, and the tables were compared with it since.
func (p *Product) hasLeftUnseen() bool {
	return p.Desired.GetOperation() == catalogv1.Operation_OPERATION_DELETE && p.desiredAt.Sequence == 0
}

// Due is what is done about the commands that are due.
type Due struct {
	// Messages are the commands to publish.
	Messages []Message
	// Cannot is why a write-back is impossible, so that the drift waits for a decision. Empty if it is possible.
	Cannot string
	// Postpone delays the commands. It is ignored if Cannot is set.
	Postpone time.Duration
}

// productPageSize is how many products one transaction processes: of FindDrift, EndOverlaps and the backfills.
const productPageSize = 500

// Delays between repairs of one product. Each is twice the one before, up to the maximum.
const (
	minRepairDelay = 30 * time.Second
	maxRepairDelay = time.Hour
)

// candidates selects products that have differed for longer than the grace period and that nobody may still change, and
// drifted products that are due. See FindDrift.
var candidates = ` WHERE account = $1 AND unsettled AND (
	state IN (` + sqlList(Pending, Extra) + `) AND differs_since <= $2 AND (repair_at IS NULL OR repair_at <= $3)
		AND (claimed_until IS NULL OR claimed_until < $3)
		AND (desired_sequence <= $4 AND observed_version <= desired_version OR observed_version = desired_version OR $4 = 9223372036854775807)
	OR state = ` + sqlList(Drifted) + ` AND repair_at <= $3)`

// FindDrift marks products as drifted that have differed for longer than grace. It then has the listener issue commands
// for these products, and for those that drifted before and are due for another repair. It returns how many products it
// processed; the caller calls it until that is 0.
//
// confirm is called for each product that may have drifted, before the transaction. If it returns false, the product is
// skipped for another grace period. An error leaves all products for the next call.
//
// A product is not drifted while push may still change it. So these products are skipped:
//   - one whose latest version has not been applied, unless push is done with its message and the ledger knows the
//     result. Both are true of the messages of CATALOG up to the sequence pushed; math.MaxUint64 means all of them;
//   - one whose applied version is not known to the ledger yet;
//   - one that a push has claimed;
//   - a dead one.
func (l *Ledger) FindDrift(ctx context.Context, grace time.Duration, pushed uint64,
	confirm func(ctx context.Context, product string) (bool, error),
) (n int, err error) {
	s := driftSearch{grace: grace, pushed: pushed, now: l.now()}
	if err := l.confirmCandidates(ctx, &s, confirm); err != nil || len(s.seen) == 0 {
		return 0, err
	}
	// An older copy has drift that is not there any more.
	m, err := l.newMark(ctx)
	if err != nil {
		return 0, err
	}
	var products []*Product
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) (err error) {
		if products, err = l.lockCandidates(ctx, tx, &s); err != nil {
			return err
		}
		for _, p := range products {
			p.noteIdentifiers()
			l.resolve(p)
			if err := l.processCandidate(ctx, tx, p, &s); err != nil {
				return err
			}
		}
		return l.storeMarked(ctx, tx, m, products...)
	})
	m.release(err == nil)
	if err != nil {
		return 0, err
	}
	if len(products) > 0 {
		l.listener.Stored(ctx, l.storedOf(products))
	}
	return len(products), nil
}

// driftSearch is one call of FindDrift.
type driftSearch struct {
	grace  time.Duration
	pushed uint64
	now    time.Time
	// seen are the products that were read before the transaction.
	seen map[string]candidate
}

// candidate is a product that may have drifted, or that is due.
type candidate struct {
	ID                string
	Desired, Observed int64
	State             State
	// confirmed reports whether it has drifted.
	confirmed bool
}

func (l *Ledger) candidateArgs(s *driftSearch) []any {
	return []any{l.account, s.now.Add(-s.grace), s.now, int64(min(s.pushed, math.MaxInt64))}
}

// confirmCandidates reads the candidates without locks, and confirms those that have not drifted yet.
func (l *Ledger) confirmCandidates(ctx context.Context, s *driftSearch,
	confirm func(context.Context, string) (bool, error),
) error {
	rows, err := l.pool.Query(ctx, `SELECT product_id, desired_sequence, observed_revision, state
		FROM driftless_ledger.product`+candidates+` LIMIT $5`, append(l.candidateArgs(s), productPageSize)...)
	if err != nil {
		return fmt.Errorf("find drift: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c candidate, err error) {
		return c, row.Scan(&c.ID, &c.Desired, &c.Observed, &c.State)
	})
	if err != nil {
		return fmt.Errorf("find drift: %w", err)
	}
	s.seen = make(map[string]candidate, len(found))
	for _, c := range found {
		if c.State != Drifted {
			if c.confirmed, err = confirm(ctx, c.ID); err != nil {
				return err
			}
		}
		s.seen[c.ID] = c
	}
	return nil
}

// lockCandidates locks the candidates that are still candidates, except those that another transaction has locked. It
// leaves a product that has changed since it was confirmed to the next call.
func (l *Ledger) lockCandidates(ctx context.Context, tx pgx.Tx, s *driftSearch) ([]*Product, error) {
	rows, err := tx.Query(ctx, selectProducts+candidates+` AND product_id = ANY($5) FOR UPDATE SKIP LOCKED`,
		append(l.candidateArgs(s), slices.Collect(maps.Keys(s.seen)))...)
	if err != nil {
		return nil, fmt.Errorf("find drift: %w", err)
	}
	products, err := pgx.CollectRows(rows, scanProduct)
	if err != nil {
		return nil, fmt.Errorf("find drift: %w", err)
	}
	products = slices.DeleteFunc(products, func(p *Product) bool {
		c := s.seen[p.ID]
		return p.State != c.State || p.State != Drifted &&
			(int64(p.desiredAt.Sequence) != c.Desired || int64(p.observedAt.Sequence) != c.Observed)
	})
	return products, l.loadOpen(ctx, tx, products...)
}

// processCandidate opens the drift of a locked product, and issues the commands that it requires.
func (l *Ledger) processCandidate(ctx context.Context, tx pgx.Tx, p *Product, s *driftSearch) error {
	outlasted := p.State != Drifted
	if outlasted {
		if !s.seen[p.ID].confirmed {
			return p.on(productRetrying, s.now, s.now.Add(s.grace))
		}
		if err := p.on(productOutlasted, s.now, time.Time{}); err != nil {
			return err
		}
	}
	// More may differ now beside drift that is open, which may wait for a decision.
	if outlasted || p.hasUntrackedDifference() && p.isApplied() {
		if err := l.openDrift(ctx, tx, p, p.Decisions); err != nil {
			return err
		}
	}
	if err := l.issueCommands(ctx, tx, p); err != nil {
		return err
	}
	if p.repairAt.IsZero() && p.hasUntrackedDifference() {
		return p.on(productRestDiffers, s.now, s.now.Add(max(s.grace, minRepairDelay)))
	}
	return nil
}

// issueCommands issues the commands that a product's open drift requires, and schedules the next repair.
func (l *Ledger) issueCommands(ctx context.Context, tx pgx.Tx, p *Product) error {
	commands := l.commands(p)
	if commands.isEmpty() {
		return p.on(productIdle, l.now(), time.Time{})
	}
	due := l.listener.CommandsDue(ctx, p, commands)
	p.messages = append(p.messages, due.Messages...)
	if due.Postpone > 0 && due.Cannot == "" {
		return p.on(productPostponed, l.now(), l.now().Add(due.Postpone))
	}
	delay := min(minRepairDelay<<min(p.Repairs, 10), maxRepairDelay)
	if err := p.on(productCommanded, l.now(), l.now().Add(delay)); err != nil {
		return err
	}
	for _, d := range p.open {
		if !d.isActive() || d.isReported() {
			continue
		}
		event := driftCommanded
		if due.Cannot != "" && (commands.Import || slices.Contains(commands.WriteBack, p.Field(d))) {
			event = driftImpossible
		}
		if _, err := d.on(event, driftInput{reason: due.Cannot}); err != nil {
			return err
		}
		if err := l.storeDrift(ctx, tx, d); err != nil {
			return err
		}
	}
	return nil
}
