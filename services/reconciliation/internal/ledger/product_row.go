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
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// storeMarked writes the rows of products, and the messages about them. It counts the transaction.
func (l *Ledger) storeMarked(ctx context.Context, tx pgx.Tx, m *mark, products ...*Product) error {
	if len(products) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	// owners are the products of the statements.
	var owners []string
	for _, p := range products {
		values, err := l.row(p)
		if err != nil {
			return err
		}
		batch.Queue(updateProduct, values...)
		owners = append(owners, p.ID)
		if l.queueIdentifiers(batch, p) {
			owners = append(owners, p.ID)
		}
		if err := l.queueMessages(batch, p); err != nil {
			return err
		}
		past, err := l.queuePast(batch, p)
		if err != nil {
			return fmt.Errorf("encode product %s: %w", p.ID, err)
		}
		events, err := l.queueEvents(batch, p)
		if err != nil {
			return err
		}
		owners = append(owners, slices.Repeat([]string{p.ID}, len(p.messages)+past+events)...)
	}
	if m != nil {
		m.queue(batch)
	}
	results := tx.SendBatch(ctx, batch)
	for _, owner := range owners {
		if _, err := results.Exec(); err != nil {
			_ = results.Close()
			return fmt.Errorf("store product %s: %w", owner, err)
		}
	}
	if m != nil {
		if err := m.check(results); err != nil {
			_ = results.Close()
			return err
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
		desired_json = $22, desired_json_of = $5, observed_json = $23, observed_json_of = $7, gone = $24, 
		held_by = $25, held_since = $26, kept_prices = $27, kept_until = $28,
		desired_since = $29, desired_first_version = $30::text::numeric, observed_since = $31,
		identified_desired = $5, identified_observed = $7
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
	desiredJSON, observedJSON, err := productJSON(p)
	if err != nil {
		return nil, err
	}
	var claimed *time.Time
	if c := p.Observed.GetClaim(); c != nil {
		claimed = new(c.GetUntil().AsTime())
	}
	heldBy, heldSince := p.holdColumns()
	var deadVersion *string
	if p.deadVersion != nil {
		deadVersion = new(number(*p.deadVersion))
	}
	kept := catalog.KeptPrices(p.Desired, p.Observed)
	if p.current != nil {
		kept = p.Kept()
	}
	return []any{
		l.account, p.ID, desired, number(p.desiredVersion), int64(p.desiredAt.Sequence), observed,
		int64(p.observedAt.Sequence),
		number(p.Observed.GetVersion()), claimed, string(p.State), p.Differs, nullable(p.DiffersSince),
		nullable(p.DriftedAt), p.Repairs,
		nullable(p.repairAt), deadVersion, p.desiredAt.Stored, p.observedAt.Stored, p.deadUnversioned,
		p.hasDifferences, len(p.open), desiredJSON, observedJSON, p.IsGone(), heldBy, heldSince,
		len(kept), nullable(firstEnd(kept)), p.desiredSince, number(p.desiredFirst), p.observedSince,
	}, nil
}

func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const selectProducts = `SELECT product_id, desired, desired_version::text, desired_sequence, desired_stored, observed, observed_revision,
	observed_stored, state, differs, differs_since, drifted_at, repairs, repair_at, dead_version::text, dead_unversioned, unsettled, open_drift,
	desired_since, desired_first_version::text, observed_since,
	identified_desired = desired_sequence AND identified_observed = observed_revision FROM driftless_ledger.product`

func scanProduct(row pgx.CollectableRow) (*Product, error) {
	p := &Product{}
	var desired, observed []byte
	var version, first string
	var dead *string
	var state string
	var sequence, revision int64
	var since, drifted, repairAt *time.Time
	if err := row.Scan(&p.ID, &desired, &version, &sequence, &p.desiredAt.Stored, &observed, &revision,
		&p.observedAt.Stored, &state, &p.Differs,
		&since, &drifted, &p.Repairs, &repairAt, &dead, &p.deadUnversioned, &p.hasDifferences,
		&p.storedOpen, &p.desiredSince, &first, &p.observedSince, &p.isIdentified); err != nil {
		return nil, err
	}
	p.State, p.desiredAt.Sequence, p.observedAt.Sequence = State(state), uint64(sequence), uint64(revision)
	var err error
	if p.desiredVersion, err = strconv.ParseUint(version, 10, 64); err != nil {
		return nil, err
	}
	if p.desiredFirst, err = strconv.ParseUint(first, 10, 64); err != nil {
		return nil, err
	}
	if dead != nil {
		v, err := strconv.ParseUint(*dead, 10, 64)
		if err != nil {
			return nil, err
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
			return nil, err
		}
	}
	if observed != nil {
		p.Observed = &catalogv1.Observed{}
		if err := proto.Unmarshal(observed, p.Observed); err != nil {
			return nil, err
		}
	}
	p.loaded = new(*p)
	return p, nil
}
