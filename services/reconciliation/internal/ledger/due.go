package ledger

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

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
	// Archive and Import concern a product that the catalog does not have.
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
		case d.Kind == catalog.Extra && d.Field == "":
			o.Archive = d.Decided == "catalog" || d.Decided == "" && l.Extras == ExtrasArchive
			o.Import = d.Decided == "stripe" || d.Decided == "" && l.Extras == ExtrasImport
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
	minRepairDelay = 30 * time.Second
	maxRepairDelay = time.Hour
)

// FindDrift marks products as drifted that have differed for longer than grace. It then calls due for these products,
// and for those that drifted before and are due for another repair. It returns how many products it processed; the
// caller calls it until that is 0.
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
func (l *Ledger) FindDrift(ctx context.Context, grace time.Duration, pushed uint64,
	confirm func(context.Context, *Product) (bool, error),
	due func(context.Context, *Product, Commands) (cannot string, err error),
) (n int, err error) {
	now := l.now()
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectProducts+` WHERE account = $1 AND unsettled AND (
			state IN ('pending', '`+string(Extra)+
			`') AND differs_since <= $2 AND (repair_at IS NULL OR repair_at <= $3) AND (claimed_until IS NULL OR claimed_until < $3)
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
				if err := l.openDrift(ctx, tx, p, p.Decisions); err != nil {
					return err
				}
			} else if p.hasUntrackedDifference() && p.isApplied() {
				// More has come to differ beside drift that is open, which may wait for a decision.
				if err := l.openDrift(ctx, tx, p, p.Decisions); err != nil {
					return err
				}
			}
			if err := l.issueCommands(ctx, tx, p, due); err != nil {
				return err
			}
			if p.repairAt.IsZero() && p.hasUntrackedDifference() {
				p.repairAt = now.Add(max(grace, minRepairDelay))
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
func (l *Ledger) issueCommands(ctx context.Context, tx pgx.Tx, p *Product,
	due func(context.Context, *Product, Commands) (string, error),
) error {
	p.repairAt = time.Time{}
	commands := l.commands(p)
	if commands.isEmpty() {
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
	p.repairAt = l.now().Add(min(minRepairDelay<<min(p.Repairs, 10), maxRepairDelay))
	p.Repairs++
	for _, d := range p.open {
		if !d.isActive() || d.Decided == "" && d.Action == catalog.Report {
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
