package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// causeUnknown is the cause of drift that no event explains.
const causeUnknown = "unknown"

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
	// Action is what the policy does about it.
	Action catalog.Action
	// Since is when it was opened.
	Since time.Time
	// CausedBy is dashboard, api_key or unknown.
	CausedBy string
	// EventID is the id of the Stripe event that caused it. Empty if that is not known.
	EventID string
	State   DriftState
	// Decided is the side that an operator has chosen, "catalog" or "stripe".
	Decided string
	// Detail is why it needs a decision. Empty if it does not.
	Detail string
	// Attempts is how many commands were issued for it.
	Attempts int
	// SettledAt is zero while the drift is open.
	SettledAt time.Time
}

// isActive reports whether the policy or an operator's decision requires an action.
func (d *Drift) isActive() bool { return d.State == Found || d.State == Repairing }

// openDrift opens drift for each difference that is not open yet, and calls OnFound.
func (l *Ledger) openDrift(ctx context.Context, tx pgx.Tx, p *Product, differing []catalog.Decision) error {
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
			CausedBy:   causeUnknown,
			State:      Found,
		}
		if err := l.checkRounds(ctx, tx, d); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx,
			`INSERT INTO driftless_ledger.drift (account, product_id, kind, field, catalog_value, stripe_value, action, since, events, state, detail)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id`,
			l.account, p.ID, string(d.Kind), d.Field, d.Catalog, d.Stripe, string(d.Action), d.Since,
			append([]string{}, p.newEventIDs...), string(d.State), d.Detail).Scan(&d.ID); err != nil {
			return fmt.Errorf("store drift of product %s: %w", p.ID, err)
		}
		if err := l.attributeCause(ctx, tx, p.ID, d); err != nil {
			return err
		}
		if d.CausedBy == causeUnknown && len(p.newEventIDs) > 0 {
			p.unattributed = append(p.unattributed, d)
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
	if l.OnFound == nil {
		return nil
	}
	return l.OnFound(ctx, p, found)
}

// updateOpen compares open drift with the differences now. It settles drift that no longer differs, and calls
// OnSettled.
func (l *Ledger) updateOpen(ctx context.Context, tx pgx.Tx, p *Product) error {
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
			undecided := d.isActive() && d.Decided == "" && p.Observed.GetVersion() <= p.desiredVersion
			if moved && undecided && now.Action == catalog.WriteBack {
				// The command to write the earlier value back does not settle this one.
				again = true
			}
			// An operator's decision replaces the policy. A version of the catalog that is older than the one that push
			// applied cannot decide which side is right.
			if d.Decided == "" && d.isActive() && !reopened && p.Observed.GetVersion() <= p.desiredVersion {
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
	if len(settled) == 0 || l.OnSettled == nil {
		return nil
	}
	return l.OnSettled(ctx, p, settled)
}

// requireDecision leaves drift that could not be written back to an operator.
func (l *Ledger) requireDecision(ctx context.Context, tx pgx.Tx, p *Product, why string) error {
	if _, err := tx.Exec(ctx, `UPDATE driftless_ledger.drift SET state = 'waiting', decided = '', detail = $3
		WHERE account = $1 AND product_id = $2 AND settled_at IS NULL AND state = 'repairing' AND (decided = 'stripe' OR decided = '' AND action = 'write-back')`,
		l.account, p.ID, why); err != nil {
		return fmt.Errorf("store drift of product %s: %w", p.ID, err)
	}
	return nil
}
