package ledger

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// State of a product.
type State string

// The states of products. A pending product differs within the grace period, a drifted one for longer. A dead product
// has a change that could not be applied. An extra is in Stripe only.
const (
	InSync  State = "in_sync"
	Pending State = "pending"
	Drifted State = "drifted"
	Dead    State = "dead"
	Extra   State = "orphan"
	// Left is not stored. It counts products in sync and extras that are neither in the catalog nor active in Stripe.
	Left State = "left"
)

// Product is a row of the ledger.
type Product struct {
	ID       string
	Desired  *catalogv1.ProductChange
	Observed *catalogv1.Observed
	State    State
	// Differs reports whether there are steps that would make Stripe equal to the catalog.
	Differs      bool
	DiffersSince time.Time
	DriftedAt    time.Time
	Repairs      int
	// Postpone delays a repair. The callback that issues commands may set it instead of issuing them.
	Postpone time.Duration
	// Decisions are about all differences, including those that are only reported. Their texts are as the ledger stores
	// them.
	Decisions []catalog.Decision

	desiredVersion uint64
	desiredAt      Position
	observedAt     Position
	// deadVersion is the version of the open dead letter that has one. deadUnversioned reports whether a letter without
	// a version is open.
	deadVersion     *uint64
	deadUnversioned bool
	repairAt        time.Time
	// effective is the desired state with the values of Stripe's that the policy keeps.
	effective *catalogv1.ProductChange
	// fieldNames are the names of differing fields by the names that the ledger stores, where the two differ.
	fields map[string]string
	// hasDifferences reports whether there are any differences.
	unsettled bool
	// open is the open drift as far as it was loaded. storedOpen is how many rows of it are stored.
	open      []*Drift
	openDrift int
	// externalChanges returns the differences that others have made with a change of the observed state.
	byOthers func(*Ledger) []catalog.Decision
	// readWhole reports that the change under way completes a read of the product together with its prices. An import
	// may then go on.
	readied bool
	// newEventIDs are the Stripe events that the change under way takes into account.
	news []string
	// unattributed is new drift whose cause may be an event that is being recorded.
	unexplained []*Drift
	// entryData is the data of the entry in the audit trail.
	data []byte
	// closedLetters are the letters that the change under way closes.
	closed []*meshv1.DeadLetter
}

// Position is the position of a message in a stream.
type Position struct {
	Sequence uint64
	// Stored is when the stream stored the message.
	Stored time.Time
}

// after reports whether a message came after another of its subject. A stream that was created again, or restored from
// a backup, reuses sequences, so the time decides too. The time alone is not enough: a server's clock may step back.
func (p Position) after(other Position) bool {
	return p.Sequence > other.Sequence || p.Stored.Truncate(time.Microsecond).After(other.Stored)
}

// Steps returns the calls that bring Stripe to the state that the policy wants.
func (p *Product) Steps() []catalog.Step { return catalog.Diff(p.effective, p.Observed) }

// Open returns the product's open drift, as far as it was loaded with the product.
func (p *Product) Open() []*Drift { return p.open }

// isGone reports whether a product is neither in the catalog nor active in Stripe. It left the catalog, or never was in
// it.
func (p *Product) gone() bool {
	return p.Desired.GetProduct() == nil && !p.Observed.GetProduct().GetActive()
}

// Outline describes what the steps do.
func (p *Product) Outline() []catalog.Planned { return catalog.Outline(p.effective, p.Observed) }

// resolve derives the differences, and what the policy and operators' decisions say about each.
func (l *Ledger) resolve(p *Product) {
	l.learnFields(p)
	var x catalog.Exceptions
	for _, d := range p.open {
		switch {
		case d.Decided == "catalog":
			x.Overwrite = append(x.Overwrite, p.Field(d))
		case !d.active() || d.Decided == "stripe":
			x.Leave = append(x.Leave, p.Field(d))
		}
	}
	r := catalog.Resolve(l.Policy, p.Desired, p.Observed, x)
	p.effective, p.Decisions = r.Effective, r.Decisions
	p.Differs = len(p.Steps()) > 0 ||
		slices.ContainsFunc(r.Decisions, func(d catalog.Decision) bool { return d.Action == catalog.WriteBack })
	if action, ok := extraActions[l.Extras]; ok && isExtra(p) {
		p.Decisions = append(p.Decisions, catalog.Decision{
			Difference: catalog.Difference{Kind: catalog.Extra, Stripe: p.Observed.GetProduct().GetName()},
			Action:     action,
		})
		p.Differs = action != catalog.Report
	}
	for _, d := range l.extraPrices(p) {
		p.Decisions = append(p.Decisions, d)
		p.Differs = p.Differs || d.Action == catalog.WriteBack
	}
	p.Decisions = p.stored(p.Decisions)
	p.unsettled = len(p.Decisions) > 0
}

// extraActions are the actions of the settings of extras. Archiving an extra repairs Stripe. Importing it is a
// write-back.
var extraActions = map[string]catalog.Action{
	"report":  catalog.Report,
	"archive": catalog.Repair,
	"import":  catalog.WriteBack,
}

// isExtra reports whether a product is active in Stripe and the catalog never had it. If push has written the product,
// the ledger has yet to receive its desired state.
func isExtra(p *Product) bool {
	o := p.Observed
	return p.Desired == nil && o.GetProduct().GetActive() && o.GetVersion() == 0 && o.GetClaim() == nil &&
		len(o.GetIntents()) == 0
}

// DesiredChange returns the change that a desired state from CATALOG makes, with its entry in the audit trail. An older
// version than the known one adds only the entry. If the versions are equal, the one stored later wins.
func DesiredChange(change *catalogv1.ProductChange, at Position, entry Entry) Change {
	return Change{
		Product: change.GetProductId(), Entry: entry,
		edit: func(_ context.Context, _ *Ledger, _ pgx.Tx, p *Product) (_ bool, err error) {
			if change.GetVersion() < p.desiredVersion ||
				change.GetVersion() == p.desiredVersion && !at.after(p.desiredAt) {
				return false, nil
			}
			if p.data, err = changesOf(p.Desired, change); err != nil {
				return false, err
			}
			if change.GetVersion() > p.desiredVersion {
				// A new version has a grace period of its own.
				p.DiffersSince = time.Time{}
				if p.State == Drifted {
					p.State = Pending
				}
			}
			kept := proto.CloneOf(change)
			kept.RowImages = nil
			p.Desired, p.desiredVersion, p.desiredAt = kept, change.GetVersion(), at
			return true, nil
		},
	}
}

// ObservedChange returns the change that an observed state from OBSERVED makes. A state older than the known one has no
// effect.
func ObservedChange(observed *catalogv1.Observed, at Position) Change {
	return Change{
		Product: observed.GetProductId(),
		edit: func(_ context.Context, _ *Ledger, _ pgx.Tx, p *Product) (bool, error) {
			if !at.after(p.observedAt) {
				return false, nil
			}
			before := p.Observed
			p.Observed, p.observedAt, p.readied = observed, at, readied(before, observed)
			p.byOthers = func(l *Ledger) []catalog.Decision { return l.byOthers(p, before) }
			for _, id := range observed.GetRecentEvents() {
				if !catalog.SeenEvent(before, id) {
					p.news = append(p.news, id)
				}
			}
			return true, nil
		},
	}
}

// Forget deletes the state of a product under an id of Stripe's that the catalog never had, because the product is now
// linked to another id. The audit trail keeps its history.
func (l *Ledger) Forget(ctx context.Context, stripeID string) error {
	if _, err := l.pool.Exec(ctx,
		`DELETE FROM driftless_ledger.product WHERE account = $1 AND product_id = $2 AND desired IS NULL`, l.account,
		stripeID); err != nil {
		return fmt.Errorf("forget product %s: %w", stripeID, err)
	}
	return nil
}

// externalChanges returns the differences that others have made to a product that push had brought to its latest
// version. It returns none while push has claimed the product, or while the ledger knows an older version than push has
// applied.
func (l *Ledger) byOthers(p *Product, before *catalogv1.Observed) []catalog.Decision {
	if isExtra(p) {
		return p.Decisions
	}
	o := p.Observed
	if before == nil || o.GetClaim() != nil || o.GetStale() || o.GetVersion() == 0 ||
		o.GetVersion() != p.desiredVersion || before.GetVersion() != o.GetVersion() {
		return nil
	}
	earlier := &Product{Desired: p.Desired, Observed: before, open: p.open}
	l.resolve(earlier)
	return slices.DeleteFunc(slices.Clone(p.Decisions), func(d catalog.Decision) bool {
		// A new price of others may become the default in the next moment, so it has a grace period.
		return isExtraPrice(p, d.Difference) ||
			slices.ContainsFunc(earlier.Decisions,
				func(e catalog.Decision) bool { return e.Difference == d.Difference })
	})
}

// deriveState derives the product's state. It reports whether that closes an open dead letter.
func (l *Ledger) settle(p *Product) (closes bool) {
	l.resolve(p)
	if !p.unsettled {
		p.DiffersSince = time.Time{}
	} else if p.DiffersSince.IsZero() {
		p.DiffersSince = l.now()
	}
	if p.deadVersion != nil &&
		(p.desiredVersion > *p.deadVersion || !p.Differs && p.Observed.GetVersion() >= *p.deadVersion) {
		p.deadVersion, closes = nil, true
	}
	switch {
	case p.deadVersion != nil, p.deadUnversioned && !p.Differs:
		// A product that differs and is dead without a version stays repairable: it may drift, and a repair may close
		// the letter.
		p.State = Dead
	case p.Desired == nil && p.Observed.GetProduct() != nil && (p.State != Drifted || !p.unsettled):
		p.State = Extra
	case !p.unsettled,
		len(p.open) > 0 &&
			!slices.ContainsFunc(p.Decisions, func(d catalog.Decision) bool { return !p.ignores(d.Field) }):
		p.State = InSync
	case p.State != Drifted:
		p.State = Pending
	}
	return closes
}

// hasUntrackedDifference reports whether something differs that is not open drift.
func (p *Product) unopened() bool {
	return slices.ContainsFunc(p.Decisions, func(x catalog.Decision) bool {
		return !slices.ContainsFunc(p.open, func(d *Drift) bool { return d.Field == x.Field })
	})
}

// isApplied reports whether push has applied the version that the ledger knows, and has not claimed the product.
func (p *Product) pushed() bool {
	return p.Observed.GetVersion() == p.desiredVersion && p.Observed.GetClaim() == nil
}

// isIgnored reports whether an operator has dismissed the difference of a field.
func (p *Product) ignores(field string) bool {
	return slices.ContainsFunc(p.open, func(d *Drift) bool { return d.Field == field && d.State == Ignored })
}

// store writes the rows of products.
func (l *Ledger) store(ctx context.Context, tx pgx.Tx, products ...*Product) error {
	if len(products) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	for _, p := range products {
		values, err := l.row(p)
		if err != nil {
			return err
		}
		batch.Queue(updateProduct, values...)
	}
	results := tx.SendBatch(ctx, batch)
	for _, p := range products {
		if _, err := results.Exec(); err != nil {
			_ = results.Close()
			return fmt.Errorf("store product %s: %w", p.ID, err)
		}
	}
	if err := results.Close(); err != nil {
		return fmt.Errorf("store products: %w", err)
	}
	return nil
}

const updateProduct = `UPDATE driftless_ledger.product SET desired = $3, desired_version = $4::text::numeric, desired_sequence = $5,
		observed = $6, observed_revision = $7, observed_version = $8::text::numeric, claimed_until = $9, state = $10, differs = $11,
		differs_since = $12, drifted_at = $13, repairs = $14, repair_at = $15, dead_version = $16::text::numeric,
		desired_stored = $17, observed_stored = $18, dead_unversioned = $19, unsettled = $20, open_drift = $21,
		desired_json = $22, desired_json_of = $5, observed_json = $23, observed_json_of = $7, gone = $24
		WHERE account = $1 AND product_id = $2`

// row returns the arguments of updateProduct.
func (l *Ledger) row(p *Product) ([]any, error) {
	var desired, observed []byte
	var err error
	if p.Desired != nil {
		if desired, err = proto.Marshal(p.Desired); err != nil {
			return nil, fmt.Errorf("encode product %s: %w", p.ID, err)
		}
	}
	if p.Observed != nil {
		if observed, err = proto.Marshal(p.Observed); err != nil {
			return nil, fmt.Errorf("encode product %s: %w", p.ID, err)
		}
	}
	desiredJSON, observedJSON, err := readable(p)
	if err != nil {
		return nil, err
	}
	var claimed *time.Time
	if c := p.Observed.GetClaim(); c != nil {
		claimed = new(c.GetUntil().AsTime())
	}
	var deadVersion *string
	if p.deadVersion != nil {
		deadVersion = new(number(*p.deadVersion))
	}
	return []any{
		l.account, p.ID, desired, number(p.desiredVersion), int64(p.desiredAt.Sequence), observed,
		int64(p.observedAt.Sequence),
		number(p.Observed.GetVersion()), claimed, string(p.State), p.Differs, nullable(p.DiffersSince),
		nullable(p.DriftedAt), p.Repairs,
		nullable(p.repairAt), deadVersion, p.desiredAt.Stored, p.observedAt.Stored, p.deadUnversioned,
		p.unsettled, len(p.open), desiredJSON, observedJSON, p.gone(),
	}, nil
}

func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const selectProducts = `SELECT product_id, desired, desired_version::text, desired_sequence, desired_stored, observed, observed_revision,
	observed_stored, state, differs, differs_since, drifted_at, repairs, repair_at, dead_version::text, dead_unversioned, unsettled, open_drift FROM driftless_ledger.product`

func scanProduct(row pgx.CollectableRow) (*Product, error) {
	p := &Product{}
	var desired, observed []byte
	var version string
	var dead *string
	var state string
	var sequence, revision int64
	var since, drifted, repairAt *time.Time
	if err := row.Scan(&p.ID, &desired, &version, &sequence, &p.desiredAt.Stored, &observed, &revision,
		&p.observedAt.Stored, &state, &p.Differs,
		&since, &drifted, &p.Repairs, &repairAt, &dead, &p.deadUnversioned, &p.unsettled, &p.openDrift); err != nil {
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
