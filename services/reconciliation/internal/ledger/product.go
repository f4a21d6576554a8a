package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/catalog"
)

// State of a product.
type State string

// The states. Pending differs within the grace period, drifted past it; dead has a change that could not be applied;
// an orphan is in Stripe only.
const (
	InSync  State = "in_sync"
	Pending State = "pending"
	Drifted State = "drifted"
	Dead    State = "dead"
	Orphan  State = "orphan"
)

// Product is a row of the ledger.
type Product struct {
	ID       string
	Desired  *catalogv1.ProductChange
	Observed *catalogv1.Observed
	State    State
	// Differs says whether there are steps that would make Stripe equal to the catalog.
	Differs      bool
	DiffersSince time.Time
	DriftedAt    time.Time
	Repairs      int

	desiredVersion uint64
	desiredAt      Position
	observedAt     Position
	// deadVersion is that of the open dead letter that is about one; deadUnversioned says that one about none is open.
	deadVersion     *uint64
	deadUnversioned bool
	repairAt        time.Time
	// closed are the letters that the change under way closes.
	closed []*meshv1.DeadLetter
}

// Position is where a stream holds a message.
type Position struct {
	Sequence uint64
	// Stored is when the stream took the message.
	Stored time.Time
}

// after says whether a message of a subject came after the other. A stream that was made anew, or restored from a
// backup, gives numbers out again: then the time tells. It does not tell alone: a server's clock may step back.
func (p Position) after(other Position) bool {
	return p.Sequence > other.Sequence || p.Stored.Truncate(time.Microsecond).After(other.Stored)
}

// Steps are the calls that would make Stripe equal to the catalog.
func (p *Product) Steps() []catalog.Step { return catalog.Diff(p.Desired, p.Observed) }

// Repaired is told of a product that had drifted and is equal again, before that is stored.
type Repaired func(ctx context.Context, p *Product) error

// Desire takes a desired state from CATALOG into account, with its entry in the audit trail. One that is older than
// what is known changes nothing but the trail; of equal versions the one stored later counts.
func (l *Ledger) Desire(ctx context.Context, change *catalogv1.ProductChange, at Position, entry Entry, repaired Repaired) error {
	return l.change(ctx, change.GetProductId(), entry, repaired, func(_ context.Context, _ pgx.Tx, p *Product) (bool, error) {
		if change.GetVersion() < p.desiredVersion || change.GetVersion() == p.desiredVersion && !at.after(p.desiredAt) {
			return false, nil
		}
		if change.GetVersion() > p.desiredVersion {
			// A new wish has its own time to arrive.
			p.DiffersSince = time.Time{}
			if p.State == Drifted {
				p.State = Pending
			}
		}
		kept := proto.CloneOf(change)
		kept.RowImages = nil
		p.Desired, p.desiredVersion, p.desiredAt = kept, change.GetVersion(), at
		return true, nil
	})
}

// Observe takes an observed state from OBSERVED into account; an older one than the known one changes nothing.
func (l *Ledger) Observe(ctx context.Context, observed *catalogv1.Observed, at Position, repaired Repaired) error {
	return l.change(ctx, observed.GetProductId(), Entry{}, repaired, func(_ context.Context, _ pgx.Tx, p *Product) (bool, error) {
		if !at.after(p.observedAt) {
			return false, nil
		}
		p.Observed, p.observedAt = observed, at
		return true, nil
	})
}

// change edits a product's row under its lock, settles its state, and stores both with the entry in one transaction.
func (l *Ledger) change(ctx context.Context, id string, entry Entry, repaired Repaired, edit func(context.Context, pgx.Tx, *Product) (bool, error)) error {
	var p *Product
	if err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if entry.EventID != "" {
			if err := l.record(ctx, tx, entry); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `INSERT INTO driftless_ledger.product (account, product_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, l.account, id); err != nil {
			return fmt.Errorf("ledger row of product %s: %w", id, err)
		}
		rows, err := tx.Query(ctx, selectProducts+` WHERE account = $1 AND product_id = $2 FOR UPDATE`, l.account, id)
		if err != nil {
			return fmt.Errorf("ledger row of product %s: %w", id, err)
		}
		p, err = pgx.CollectExactlyOneRow(rows, scanProduct)
		if err != nil {
			return fmt.Errorf("ledger row of product %s: %w", id, err)
		}
		before := p.State
		if changed, err := edit(ctx, tx, p); err != nil || !changed {
			return err
		}
		closes := p.settle(l.now())
		if before == Drifted && !p.Differs && p.deadVersion == nil && repaired != nil {
			if err := repaired(ctx, p); err != nil {
				return err
			}
		}
		if p.State != Drifted {
			p.DriftedAt, p.repairAt, p.Repairs = time.Time{}, time.Time{}, 0
		}
		if closes {
			if err := l.close(ctx, tx, p, `version > 0`); err != nil {
				return err
			}
		}
		return l.store(ctx, tx, p)
	}); err != nil {
		return err //nolint:wrapcheck // what fails in it says where
	}
	if len(p.closed) > 0 && l.Closed != nil {
		l.Closed(ctx, p.closed)
	}
	return nil
}

// settle works out the state from what is known. It reports whether an open dead letter is settled by that.
func (p *Product) settle(now time.Time) (closes bool) {
	p.Differs = len(p.Steps()) > 0
	if !p.Differs {
		p.DiffersSince = time.Time{}
	} else if p.DiffersSince.IsZero() {
		p.DiffersSince = now
	}
	if p.deadVersion != nil && (p.desiredVersion > *p.deadVersion || !p.Differs && p.Observed.GetVersion() >= *p.deadVersion) {
		p.deadVersion, closes = nil, true
	}
	switch {
	case p.deadVersion != nil, p.deadUnversioned && !p.Differs:
		// What differs and is dead for no version that is known goes on, and may drift: a repair may settle it.
		p.State = Dead
	case p.Desired == nil && p.Observed.GetProduct() != nil:
		p.State = Orphan
	case !p.Differs:
		p.State = InSync
	case p.State != Drifted:
		p.State = Pending
	}
	return closes
}

func (l *Ledger) store(ctx context.Context, tx pgx.Tx, p *Product) error {
	var desired, observed []byte
	var err error
	if p.Desired != nil {
		if desired, err = proto.Marshal(p.Desired); err != nil {
			return fmt.Errorf("encode product %s: %w", p.ID, err)
		}
	}
	if p.Observed != nil {
		if observed, err = proto.Marshal(p.Observed); err != nil {
			return fmt.Errorf("encode product %s: %w", p.ID, err)
		}
	}
	var claimed *time.Time
	if c := p.Observed.GetClaim(); c != nil {
		claimed = new(c.GetUntil().AsTime())
	}
	var deadVersion *string
	if p.deadVersion != nil {
		deadVersion = new(number(*p.deadVersion))
	}
	if _, err := tx.Exec(ctx, `UPDATE driftless_ledger.product SET desired = $3, desired_version = $4::text::numeric, desired_sequence = $5,
		observed = $6, observed_revision = $7, observed_version = $8::text::numeric, claimed_until = $9, state = $10, differs = $11,
		differs_since = $12, drifted_at = $13, repairs = $14, repair_at = $15, dead_version = $16::text::numeric,
		desired_stored = $17, observed_stored = $18, dead_unversioned = $19
		WHERE account = $1 AND product_id = $2`,
		l.account, p.ID, desired, number(p.desiredVersion), int64(p.desiredAt.Sequence), observed, int64(p.observedAt.Sequence),
		number(p.Observed.GetVersion()), claimed, string(p.State), p.Differs, nullable(p.DiffersSince), nullable(p.DriftedAt), p.Repairs,
		nullable(p.repairAt), deadVersion, p.desiredAt.Stored, p.observedAt.Stored, p.deadUnversioned); err != nil {
		return fmt.Errorf("store product %s: %w", p.ID, err)
	}
	return nil
}

func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const selectProducts = `SELECT product_id, desired, desired_version::text, desired_sequence, desired_stored, observed, observed_revision,
	observed_stored, state, differs, differs_since, drifted_at, repairs, repair_at, dead_version::text, dead_unversioned FROM driftless_ledger.product`

func scanProduct(row pgx.CollectableRow) (*Product, error) {
	p := &Product{}
	var desired, observed []byte
	var version string
	var dead *string
	var state string
	var sequence, revision int64
	var since, drifted, repairAt *time.Time
	if err := row.Scan(&p.ID, &desired, &version, &sequence, &p.desiredAt.Stored, &observed, &revision, &p.observedAt.Stored, &state, &p.Differs,
		&since, &drifted, &p.Repairs, &repairAt, &dead, &p.deadUnversioned); err != nil {
		return nil, err //nolint:wrapcheck // the caller names the product
	}
	p.State, p.desiredAt.Sequence, p.observedAt.Sequence = State(state), uint64(sequence), uint64(revision)
	var err error
	if p.desiredVersion, err = strconv.ParseUint(version, 10, 64); err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	if dead != nil {
		v, err := strconv.ParseUint(*dead, 10, 64)
		if err != nil {
			return nil, err //nolint:wrapcheck // as above
		}
		p.deadVersion = &v
	}
	for _, t := range []struct {
		from *time.Time
		to   *time.Time
	}{{since, &p.DiffersSince}, {drifted, &p.DriftedAt}, {repairAt, &p.repairAt}} {
		if t.from != nil {
			*t.to = *t.from
		}
	}
	if desired != nil {
		p.Desired = &catalogv1.ProductChange{}
		if err := proto.Unmarshal(desired, p.Desired); err != nil {
			return nil, err //nolint:wrapcheck // as above
		}
	}
	if observed != nil {
		p.Observed = &catalogv1.Observed{}
		if err := proto.Unmarshal(observed, p.Observed); err != nil {
			return nil, err //nolint:wrapcheck // as above
		}
	}
	return p, nil
}
