package ledger

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// causeUnknown is the cause of drift that no event explains.
const unknownCause = "unknown"

// DriftState is the state of a difference that is drift.
type DriftState string

// The states of drift. Waiting needs a decision by an operator: the sides keep overwriting each other, or a write-back
// is impossible. Repaired and WrittenBack are final.
const (
	Found       DriftState = "found"
	Repairing   DriftState = "repairing"
	Waiting     DriftState = "waiting"
	Ignored     DriftState = "ignored"
	Repaired    DriftState = "repaired"
	WrittenBack DriftState = "written_back"
)

// Drift is a difference that should not be there.
type Drift struct {
	ID      int64
	Product string
	catalog.Difference
	Action   catalog.Action
	Since    time.Time
	CausedBy string
	// EventID is the id of the Stripe event that caused it. Empty if that is not known.
	EventID string
	State   DriftState
	// Decided is the side that an operator has chosen, "catalog" or "stripe".
	Decided   string
	Detail    string
	Attempts  int
	SettledAt time.Time
}

// isActive reports whether the policy or an operator's decision requires an action.
func (d *Drift) active() bool { return d.State == Found || d.State == Repairing }

// Commands are the commands that a product's drift requires.
type Commands struct {
	// Repair makes push bring the product to its desired state. Overwrite and Leave are the fields that are exceptions
	// from the policy.
	Repair           bool
	Overwrite, Leave []string
	// WriteBack are fields that the catalog takes from Stripe.
	WriteBack []string
	// Archive and Import concern a product that the catalog does not have.
	Archive, Import bool
}

// isEmpty reports whether there is nothing to do.
func (o Commands) none() bool { return !o.Repair && len(o.WriteBack) == 0 && !o.Archive && !o.Import }

// commands returns the commands that a product's open drift requires.
func (l *Ledger) orders(p *Product) Commands {
	var o Commands
	for _, d := range p.open {
		switch {
		case !d.active():
			o.Leave = append(o.Leave, p.Field(d))
		case d.Kind == catalog.Extra && d.Field == "":
			o.Archive = d.Decided == "catalog" || d.Decided == "" && l.Extras == "archive"
			o.Import = d.Decided == "stripe" || d.Decided == "" && l.Extras == "import"
		case d.Decided == "stripe", d.Decided == "" && d.Action == catalog.WriteBack:
			o.WriteBack = append(o.WriteBack, p.Field(d))
		case d.Decided == "catalog":
			o.Repair, o.Overwrite = true, append(o.Overwrite, p.Field(d))
		case d.Action == catalog.Repair:
			o.Repair = true
		}
	}
	return o
}

// driftPage is how many products one call of FindDrift processes.
const driftPage = 500

// Delays between repairs of one product. Each is twice the one before, up to the maximum.
const (
	firstRepair = 30 * time.Second
	lastRepair  = time.Hour
)

// FindDrift marks products as drifted that have differed for longer than grace. It then calls due for these products, and
// for those that drifted before and are due for another repair. It returns how many products it processed; the caller
// calls it until that is 0.
//
// confirm is called for each product that may have drifted. If it returns false, the product is skipped for another
// grace period. due is called with the commands that a product's drift requires, before the product is stored. If it
// returns a text, the write-back is impossible, and the drift waits for a decision with the text as its detail. An
// error of either leaves the remaining products for the next call.
//
// A product is not drifted while push may still change it. So these products are skipped:
//   - one whose latest version has not been applied, unless push is done with its message and the ledger knows the
//     result. Both are true of the messages of CATALOG up to the sequence pushed; math.MaxUint64 means all of them;
//   - one whose applied version is not known to the ledger yet;
//   - one that a push has claimed;
//   - a dead one.
func (l *Ledger) Drift(ctx context.Context, grace time.Duration, pushed uint64,
	confirm func(context.Context, *Product) (bool, error),
	due func(context.Context, *Product, Commands) (cannot string, err error),
) (n int, err error) {
	now := l.now()
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error { //nolint:wrapcheck // what fails in it says where
		rows, err := tx.Query(ctx, selectProducts+` WHERE account = $1 AND unsettled AND (
			state IN ('pending', 'orphan') AND differs_since <= $2 AND (repair_at IS NULL OR repair_at <= $3) AND (claimed_until IS NULL OR claimed_until < $3)
				AND (desired_sequence <= $4 AND observed_version <= desired_version OR observed_version = desired_version OR $4 = 9223372036854775807)
			OR state = 'drifted' AND repair_at <= $3) LIMIT $5 FOR UPDATE SKIP LOCKED`,
			l.account, now.Add(-grace), now, int64(min(pushed, math.MaxInt64)), driftPage)
		if err != nil {
			return fmt.Errorf("find drift: %w", err)
		}
		products, err := pgx.CollectRows(rows, scanProduct)
		if err != nil {
			return fmt.Errorf("find drift: %w", err)
		}
		if err := l.loadOpen(ctx, tx, products...); err != nil {
			return err
		}
		for _, p := range products {
			n++
			l.resolve(p)
			if p.State != Drifted {
				drift, err := confirm(ctx, p)
				if err != nil {
					return err
				}
				if !drift {
					p.repairAt = now.Add(grace)
					if err := l.store(ctx, tx, p); err != nil {
						return err
					}
					continue
				}
				p.State, p.DriftedAt = Drifted, now
				if err := l.find(ctx, tx, p, p.Decisions); err != nil {
					return err
				}
			} else if p.unopened() && p.pushed() {
				// More has come to differ beside drift that is open, which may wait for a decision.
				if err := l.find(ctx, tx, p, p.Decisions); err != nil {
					return err
				}
			}
			if err := l.act(ctx, tx, p, due); err != nil {
				return err
			}
			if p.repairAt.IsZero() && p.unopened() {
				p.repairAt = now.Add(max(grace, firstRepair))
			}
			if err := l.store(ctx, tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// issueCommands calls due with the commands that a product's open drift requires, and schedules the next repair.
func (l *Ledger) act(ctx context.Context, tx pgx.Tx, p *Product,
	due func(context.Context, *Product, Commands) (string, error),
) error {
	p.repairAt = time.Time{}
	commands := l.orders(p)
	if commands.none() {
		return nil
	}
	cannot, err := due(ctx, p, commands)
	if err != nil {
		return err
	}
	if p.Postpone > 0 && cannot == "" {
		p.repairAt, p.Postpone = l.now().Add(p.Postpone), 0
		return nil
	}
	p.repairAt = l.now().Add(min(firstRepair<<min(p.Repairs, 10), lastRepair))
	p.Repairs++
	for _, d := range p.open {
		if !d.active() || d.Decided == "" && d.Action == catalog.Report {
			continue
		}
		writeBack := slices.Contains(commands.WriteBack, p.Field(d)) || commands.Import
		if d.State, d.Detail = Repairing, ""; cannot != "" && writeBack {
			d.State, d.Decided, d.Detail = Waiting, "", cannot
		}
		d.Attempts++
		if err := l.storeDrift(ctx, tx, d); err != nil {
			return err
		}
	}
	return nil
}

// openDrift opens drift for each difference that is not open yet, and calls OnFound.
func (l *Ledger) find(ctx context.Context, tx pgx.Tx, p *Product, differing []catalog.Decision) error {
	var found []*Drift
	for _, decision := range differing {
		if slices.ContainsFunc(p.open, func(d *Drift) bool { return d.Field == decision.Field }) {
			continue
		}
		d := &Drift{
			Product:    p.ID,
			Difference: decision.Difference,
			Action:     decision.Action,
			Since:      l.now(),
			CausedBy:   unknownCause,
			State:      Found,
		}
		if err := l.endless(ctx, tx, d); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx,
			`INSERT INTO driftless_ledger.drift (account, product_id, kind, field, catalog_value, stripe_value, action, since, events, state, detail)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id`,
			l.account, p.ID, string(d.Kind), d.Field, d.Catalog, d.Stripe, string(d.Action), d.Since,
			append([]string{}, p.news...), string(d.State), d.Detail).Scan(&d.ID); err != nil {
			return fmt.Errorf("store drift of product %s: %w", p.ID, err)
		}
		if err := l.blame(ctx, tx, p.ID, d); err != nil {
			return err
		}
		if d.CausedBy == unknownCause && len(p.news) > 0 {
			p.unexplained = append(p.unexplained, d)
		}
		p.open = append(p.open, d)
		found = append(found, d)
	}
	if len(found) == 0 {
		return nil
	}
	p.State, p.repairAt = Drifted, l.now()
	if p.DriftedAt.IsZero() {
		p.DriftedAt = l.now()
	}
	if l.Found == nil {
		return nil
	}
	return l.Found(ctx, p, found)
}

// updateOpen compares open drift with the differences now. It settles drift that no longer differs, and calls
// OnSettled.
func (l *Ledger) settleOpen(ctx context.Context, tx pgx.Tx, p *Product) error {
	var settled []*Drift
	again := false
	for _, d := range p.open {
		i := slices.IndexFunc(p.Decisions,
			func(x catalog.Decision) bool { return x.Field == d.Field && x.Kind == d.Kind })
		if i < 0 {
			d.SettledAt = l.now()
			d.State = Repaired
			if d.Decided == "stripe" || d.Decided == "" && d.Action == catalog.WriteBack && d.Attempts > 0 ||
				d.Kind == catalog.Extra && d.Field == "" && p.Desired != nil {
				d.State = WrittenBack
			}
			settled = append(settled, d)
		} else {
			now := p.Decisions[i]
			moved := d.Stripe != now.Stripe || d.Catalog != now.Catalog
			if !moved && d.Action == now.Action {
				continue
			}
			d.Catalog, d.Stripe = now.Catalog, now.Stripe
			reopened := moved && d.State == Ignored
			if reopened {
				d.State, again = Found, true
			}
			undecided := d.active() && d.Decided == "" && p.Observed.GetVersion() <= p.desiredVersion
			if moved && undecided && now.Action == catalog.WriteBack {
				// The command to write the earlier value back does not settle this one.
				again = true
			}
			// An operator's decision replaces the policy. A version of the catalog that is older than the one that push
			// applied cannot decide which side is right.
			if d.Decided == "" && d.active() && !reopened && p.Observed.GetVersion() <= p.desiredVersion {
				d.Action = now.Action
			}
		}
		if err := l.storeDrift(ctx, tx, d); err != nil {
			return err
		}
	}
	p.open = slices.DeleteFunc(p.open, func(d *Drift) bool { return !d.SettledAt.IsZero() })
	if again {
		l.resolve(p)
		if p.State != Dead {
			p.State, p.DriftedAt, p.repairAt = Drifted, l.now(), l.now()
		}
	}
	if len(settled) == 0 || l.Settled == nil {
		return nil
	}
	return l.Settled(ctx, p, settled)
}

// requireDecision leaves drift that could not be written back to an operator.
func (l *Ledger) waitForPerson(ctx context.Context, tx pgx.Tx, p *Product, why string) error {
	if _, err := tx.Exec(ctx, `UPDATE driftless_ledger.drift SET state = 'waiting', decided = '', detail = $3
		WHERE account = $1 AND product_id = $2 AND settled_at IS NULL AND state = 'repairing' AND (decided = 'stripe' OR decided = '' AND action = 'write-back')`,
		l.account, p.ID, why); err != nil {
		return fmt.Errorf("store drift of product %s: %w", p.ID, err)
	}
	return nil
}

func (l *Ledger) storeDrift(ctx context.Context, tx pgx.Tx, d *Drift) error {
	if _, err := tx.Exec(ctx,
		`UPDATE driftless_ledger.drift SET catalog_value = $2, stripe_value = $3, action = $4, state = $5, decided = $6, detail = $7,
		attempts = $8, settled_at = $9 WHERE id = $1`,
		d.ID, d.Catalog, d.Stripe, string(d.Action), string(d.State), d.Decided, d.Detail, d.Attempts,
		nullable(d.SettledAt)); err != nil {
		return fmt.Errorf("store drift of product %s: %w", d.Product, err)
	}
	return nil
}

const selectDrift = `SELECT id, product_id, kind, field, catalog_value, stripe_value, action, since, caused_by, event_id, state, decided, detail, attempts, settled_at
	FROM driftless_ledger.drift`

func scanDrift(row pgx.CollectableRow) (*Drift, error) {
	d := &Drift{}
	var settled *time.Time
	if err := row.Scan(&d.ID, &d.Product, &d.Kind, &d.Field, &d.Catalog, &d.Stripe, &d.Action, &d.Since, &d.CausedBy,
		&d.EventID, &d.State, &d.Decided,
		&d.Detail, &d.Attempts, &settled); err != nil {
		return nil, err //nolint:wrapcheck // the caller names the product
	}
	if settled != nil {
		d.SettledAt = *settled
	}
	return d, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// loadOpen reads the open drift of products.
func (l *Ledger) loadOpen(ctx context.Context, db querier, products ...*Product) error {
	of := map[string]*Product{}
	for _, p := range products {
		if p.openDrift > 0 || len(p.open) > 0 {
			of[p.ID], p.open = p, nil
		}
	}
	if len(of) == 0 {
		return nil
	}
	rows, err := db.Query(ctx,
		selectDrift+` WHERE account = $1 AND product_id = ANY($2) AND settled_at IS NULL ORDER BY product_id, id`,
		l.account, slices.Collect(maps.Keys(of)))
	if err != nil {
		return fmt.Errorf("read the drift of products: %w", err)
	}
	open, err := pgx.CollectRows(rows, scanDrift)
	if err != nil {
		return fmt.Errorf("read the drift of products: %w", err)
	}
	for _, d := range open {
		of[d.Product].open = append(of[d.Product].open, d)
	}
	return nil
}
