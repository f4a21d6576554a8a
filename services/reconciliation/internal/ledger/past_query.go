package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// PastState is a state of one side of a product, and the time for which it lasted.
type PastState struct {
	Product string
	// Since is when the state began. Until is when another replaced it, zero if none has.
	Since, Until time.Time
	// FirstVersion and LastVersion are the catalog's versions with this state. Stripe's side has the version that push
	// had applied.
	FirstVersion, LastVersion uint64
	// Desired is the catalog's state, and Observed is Stripe's. The other side's is nil.
	Desired  *catalogv1.ProductChange
	Observed *catalogv1.Observed
}

// Exists reports whether the side had the product.
func (s *PastState) Exists() bool {
	return s != nil && (s.Desired.GetProduct() != nil || s.Observed.GetProduct() != nil)
}

// StateChange is a product at two times. A side that did not know the product has nil.
type StateChange struct {
	Product  string
	From, To *PastState
}

// KnowFrom stores that everything since a time is recorded, unless an earlier time is stored.
func (l *Ledger) KnowFrom(ctx context.Context, at time.Time) error {
	if _, err := l.pool.Exec(ctx, `INSERT INTO driftless_ledger.past_state_horizon (account, known_from)
		VALUES ($1, $2) ON CONFLICT DO NOTHING`, l.account, at); err != nil {
		return fmt.Errorf("store how far back states are known: %w", err)
	}
	return nil
}

// KnownFrom returns the time from which on past states are complete. Zero means that nothing is known yet.
func (l *Ledger) KnownFrom(ctx context.Context) (at time.Time, err error) {
	err = l.pool.QueryRow(ctx, `SELECT known_from FROM driftless_ledger.past_state_horizon WHERE account = $1`,
		l.account).Scan(&at)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return at, fmt.Errorf("read how far back states are known: %w", err)
	}
	return at, nil
}

// PastGap is a time for which states are incomplete.
type PastGap struct{ Since, Until time.Time }

// GapAt returns the gap that a time is in, nil if the states at that time are known. In a gap the ledger has the states
// that were replaced before it, and not those that came and went within it.
func (l *Ledger) GapAt(ctx context.Context, at time.Time) (*PastGap, error) {
	gap := &PastGap{}
	err := l.pool.QueryRow(ctx, `SELECT since, until FROM driftless_ledger.past_state_gap
		WHERE account = $1 AND since < $2 AND until > $2 ORDER BY until DESC LIMIT 1`, l.account, at).
		Scan(&gap.Since, &gap.Until)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read which past states are known: %w", err)
	}
	return gap, nil
}

// statesOf selects the states of a side of the products $2. Its columns are those of scanPast.
var statesOf = map[Side]string{
	CatalogSide: pastStatesOf(CatalogSide, "desired_since, NULL, desired_first_version, desired_version, desired"),
	StripeSide:  pastStatesOf(StripeSide, "observed_since, NULL, 0, observed_version, observed"),
}

// pastStatesOf selects the past states of a side and the present ones, whose columns are given.
func pastStatesOf(side Side, present string) string {
	value := map[Side]string{CatalogSide: "desired", StripeSide: "observed"}[side]
	return `SELECT product_id, since, until, first_version, last_version, state FROM driftless_ledger.past_state
		WHERE account = $1 AND side = ` + sqlList(side) + ` AND product_id = ANY($2)
	UNION ALL SELECT product_id, ` + present + ` FROM driftless_ledger.product
		WHERE account = $1 AND product_id = ANY($2) AND ` + value + ` IS NOT NULL`
}

// productPage returns the ids of products that a side has or had, in their order: at most the limit, after the given
// id.
func (l *Ledger) productPage(ctx context.Context, side Side, after string, limit int) ([]string, error) {
	rows, err := l.pool.Query(ctx, `SELECT id FROM (
			(SELECT product_id AS id FROM driftless_ledger.product WHERE account = $1 AND product_id > $3
				ORDER BY product_id LIMIT $4)
			UNION (SELECT DISTINCT product_id FROM driftless_ledger.past_state
				WHERE account = $1 AND side = $2 AND product_id > $3 ORDER BY product_id LIMIT $4)) x
		ORDER BY id LIMIT $4`, l.account, string(side), after, limit)
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	return ids, nil
}

// StatesAt yields the states that a side had at a time, of the named products or of all, in the order of their ids.
// Products that the side did not have are left out. It begins after the given id, and reads at most limit products. It
// returns the id to continue after, "" if there are no more.
func (l *Ledger) StatesAt(ctx context.Context, side Side, at time.Time, ids []string, after string, limit int,
	yield func(*PastState),
) (next string, err error) {
	ids, next, err = l.selected(ctx, side, ids, after, limit)
	if err != nil {
		return "", err
	}
	rows, err := l.pool.Query(ctx, `SELECT product_id, since, until, first_version::text, last_version::text, state
		FROM (`+statesOf[side]+`) s WHERE since <= $3 AND (until IS NULL OR until > $3) ORDER BY product_id`,
		l.account, ids, at)
	if err != nil {
		return "", fmt.Errorf("read the states at %s: %w", at.Format(time.RFC3339), err)
	}
	defer rows.Close()
	for rows.Next() {
		s, err := scanPast(rows, side)
		if err != nil {
			return "", fmt.Errorf("read the states at %s: %w", at.Format(time.RFC3339), err)
		}
		if s.Exists() {
			yield(s)
		}
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("read the states at %s: %w", at.Format(time.RFC3339), err)
	}
	return next, nil
}

// StateChanges yields the products whose state may differ between two times, of those named or of all, in the order of
// their ids. It begins after the given id, and reads at most limit products. It returns the number of products that
// were compared, and the id to continue after, "" if there are no more.
func (l *Ledger) StateChanges(ctx context.Context, side Side, from, to time.Time, ids []string, after string,
	limit int, yield func(StateChange),
) (compared int, next string, err error) {
	ids, next, err = l.selected(ctx, side, ids, after, limit)
	if err != nil {
		return 0, "", err
	}
	// A state that lasted from one time to the other is no change, and is not read.
	rows, err := l.pool.Query(ctx, `SELECT product_id, since, until, first_version::text, last_version::text, state
		FROM (`+statesOf[side]+`) s
		WHERE (since <= $3 AND (until IS NULL OR until > $3)) <> (since <= $4 AND (until IS NULL OR until > $4))
		ORDER BY product_id, since`, l.account, ids, from, to)
	if err != nil {
		return 0, "", fmt.Errorf("compare the states of two times: %w", err)
	}
	defer rows.Close()
	change := StateChange{}
	for rows.Next() {
		s, err := scanPast(rows, side)
		if err != nil {
			return 0, "", fmt.Errorf("compare the states of two times: %w", err)
		}
		if s.Product != change.Product && change.Product != "" {
			yield(change)
			change = StateChange{}
		}
		change.Product = s.Product
		switch {
		case !s.Exists():
		case s.Since.After(from):
			change.To = s
		default:
			change.From = s
		}
	}
	if err := rows.Err(); err != nil {
		return 0, "", fmt.Errorf("compare the states of two times: %w", err)
	}
	if change.Product != "" {
		yield(change)
	}
	return len(ids), next, nil
}

// selected returns the named products, or else a page of all.
func (l *Ledger) selected(ctx context.Context, side Side, ids []string, after string, limit int,
) (page []string, next string, err error) {
	if len(ids) > 0 {
		return ids, "", nil
	}
	if page, err = l.productPage(ctx, side, after, limit); err != nil || len(page) < limit {
		return page, "", err
	}
	return page, page[len(page)-1], nil
}

// CatalogStates returns all states of a product in the catalog that are kept, the earliest first.
func (l *Ledger) CatalogStates(ctx context.Context, product string) ([]*PastState, error) {
	return l.statesOf(ctx, CatalogSide, product)
}

// StripeStates returns all states of a product in Stripe that are kept, the earliest first.
func (l *Ledger) StripeStates(ctx context.Context, product string) ([]*PastState, error) {
	return l.statesOf(ctx, StripeSide, product)
}

func (l *Ledger) statesOf(ctx context.Context, side Side, product string) ([]*PastState, error) {
	rows, err := l.pool.Query(ctx, `SELECT product_id, since, until, first_version::text, last_version::text, state
		FROM (`+statesOf[side]+`) s ORDER BY since, until NULLS LAST, first_version`, l.account,
		[]string{product})
	if err != nil {
		return nil, fmt.Errorf("read the states of product %s: %w", product, err)
	}
	states, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*PastState, error) {
		return scanPast(row, side)
	})
	if err != nil {
		return nil, fmt.Errorf("read the states of product %s: %w", product, err)
	}
	return states, nil
}

// NeverKnown returns those of the named products that the ledger never had: neither a state nor an entry in the audit
// trail.
func (l *Ledger) NeverKnown(ctx context.Context, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := l.pool.Query(ctx, `SELECT asked FROM unnest($2::text[]) asked
		WHERE NOT EXISTS (SELECT FROM driftless_ledger.product WHERE account = $1 AND product_id = asked)
			AND NOT EXISTS (SELECT FROM driftless_ledger.history WHERE account = $1 AND product_id = asked)
			AND NOT EXISTS (SELECT FROM driftless_ledger.past_state WHERE account = $1 AND product_id = asked
				AND side IN (`+sqlList(CatalogSide, StripeSide)+`))
		ORDER BY asked`, l.account, ids)
	if err != nil {
		return nil, fmt.Errorf("look for products: %w", err)
	}
	unknown, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for products: %w", err)
	}
	return unknown, nil
}

func scanPast(row pgx.CollectableRow, side Side) (*PastState, error) {
	s := &PastState{}
	var until *time.Time
	var first, last string
	var state []byte
	if err := row.Scan(&s.Product, &s.Since, &until, &first, &last, &state); err != nil {
		return nil, err
	}
	if until != nil {
		s.Until = *until
	}
	var err error
	if s.LastVersion, err = strconv.ParseUint(last, 10, 64); err != nil {
		return nil, err
	}
	if s.FirstVersion, err = strconv.ParseUint(first, 10, 64); err != nil {
		return nil, err
	}
	s.FirstVersion = firstVersion(s.FirstVersion, s.LastVersion)
	if side == CatalogSide {
		s.Desired = &catalogv1.ProductChange{}
		if err := proto.Unmarshal(state, s.Desired); err != nil {
			return nil, err
		}
		s.Desired = shownDesired(s.Desired)
		return s, nil
	}
	o := &catalogv1.Observed{}
	if err := proto.Unmarshal(state, o); err != nil {
		return nil, err
	}
	s.Observed = shownObserved(o)
	return s, nil
}
