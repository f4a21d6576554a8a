package stripeids

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Channel is the channel of NOTIFY. The payload is the id of a product whose rows changed.
const Channel = "driftless_stripe_ids"

// State is an observed state and its revision in the bucket.
type State struct {
	Observed *catalogv1.Observed
	Revision uint64
}

// Store is the table of one account. Safe for concurrent use, also by several processes.
type Store struct {
	Pool    *pgxpool.Pool
	Account string
}

// Position is how far a bucket was read.
type Position struct {
	// Revision is 0 if nothing was read.
	Revision uint64
	// BucketCreated is when the bucket was created, in the precision of Postgres. It is zero if none was read.
	BucketCreated time.Time
}

// Continues reports whether a bucket can be read on from the position. Another bucket, or one that was restored from an
// older copy, counts its revisions again. All of its states then count as new.
func (p Position) Continues(created time.Time, last uint64) bool {
	return p.BucketCreated.Equal(created.Truncate(time.Microsecond)) && p.Revision <= last
}

// Position returns how far the bucket was read.
func (s *Store) Position(ctx context.Context) (Position, error) {
	var p Position
	var revision int64
	err := s.Pool.QueryRow(ctx, `SELECT revision, bucket_created FROM driftless.stripe_ids_progress
		WHERE account = $1 AND product_id = ''`, s.Account).Scan(&revision, &p.BucketCreated)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("read the position of driftless.stripe_ids: %w", err)
	}
	p.Revision = uint64(revision)
	return p, nil
}

// Restart forgets the position and the revisions of the products, and begins with a bucket. The rows stay. It does
// nothing if another process has moved the position since it was known.
func (s *Store) Restart(ctx context.Context, known Position, created time.Time) error {
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		// The lock also excludes processes that apply states of the former bucket.
		if _, err := tx.Exec(ctx, `LOCK TABLE driftless.stripe_ids_progress IN EXCLUSIVE MODE`); err != nil {
			return err
		}
		moved := false
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM driftless.stripe_ids_progress
			WHERE account = $1 AND product_id = '' AND (revision, bucket_created) IS DISTINCT FROM ($2, $3))`,
			s.Account, int64(known.Revision), known.BucketCreated).Scan(&moved); err != nil || moved {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM driftless.stripe_ids_progress WHERE account = $1`,
			s.Account); err != nil {
			return err
		}
		_, err := tx.Exec(ctx,
			`INSERT INTO driftless.stripe_ids_progress (account, product_id, revision, bucket_created)
			VALUES ($1, '', 0, $2)`, s.Account, created.Truncate(time.Microsecond))
		return err
	})
	if err != nil {
		return fmt.Errorf("restart driftless.stripe_ids: %w", err)
	}
	return nil
}

// ErrRestarted means that the position is now of another bucket, or is gone.
var ErrRestarted = errors.New("driftless.stripe_ids was restarted with another bucket")

// Apply writes the rows of states, and the position up to which the bucket was read, in one transaction. A state that
// is older than the rows of its product changes nothing, nor does a lower position. It returns the products whose rows
// changed, and notifies Channel of each. The error is ErrRestarted if the states are of another bucket than the
// position.
func (s *Store) Apply(ctx context.Context, states []State, position Position) (changed []string, err error) {
	states = latest(states)
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		changed = nil
		var created time.Time
		// The lock makes the processes of an account write one after another, so that they cannot deadlock.
		err := tx.QueryRow(ctx, `SELECT bucket_created FROM driftless.stripe_ids_progress
			WHERE account = $1 AND product_id = '' FOR UPDATE`, s.Account).Scan(&created)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && !created.Equal(position.BucketCreated) {
			return ErrRestarted
		}
		if err != nil {
			return err
		}
		current, err := s.current(ctx, tx, states)
		if err != nil {
			return err
		}
		if changed, err = s.write(ctx, tx, current); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE driftless.stripe_ids_progress SET revision = $2
			WHERE account = $1 AND product_id = '' AND revision < $2`, s.Account, int64(position.Revision))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `SELECT pg_notify($1, id) FROM unnest($2::text[]) AS id`, Channel, changed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("write driftless.stripe_ids: %w", err)
	}
	return changed, nil
}

// latest returns the latest state of each managed product.
func latest(states []State) []State {
	out := slices.DeleteFunc(slices.Clone(states), func(s State) bool { return Rows(s.Observed) == nil })
	slices.SortFunc(out, func(a, b State) int {
		return cmp.Or(strings.Compare(a.Observed.GetProductId(), b.Observed.GetProductId()),
			cmp.Compare(b.Revision, a.Revision))
	})
	return slices.CompactFunc(out,
		func(a, b State) bool { return a.Observed.GetProductId() == b.Observed.GetProductId() })
}

// current returns the states that are not older than the rows of their products, and records their revisions.
func (s *Store) current(ctx context.Context, tx pgx.Tx, states []State) ([]State, error) {
	if len(states) == 0 {
		return nil, nil
	}
	ids, revisions := make([]string, len(states)), make([]int64, len(states))
	for i, state := range states {
		ids[i], revisions[i] = state.Observed.GetProductId(), int64(state.Revision)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO driftless.stripe_ids_progress (account, product_id, revision)
		SELECT $1, id, 0 FROM unnest($2::text[]) AS id ON CONFLICT DO NOTHING`,
		s.Account, ids); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT product_id, revision FROM driftless.stripe_ids_progress
		WHERE account = $1 AND product_id = ANY($2)`, s.Account, ids)
	if err != nil {
		return nil, err
	}
	known := map[string]uint64{}
	var id string
	var revision int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &revision}, func() error {
		known[id] = uint64(revision)
		return nil
	}); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `UPDATE driftless.stripe_ids_progress p SET revision = n.revision
		FROM unnest($2::text[], $3::bigint[]) AS n (id, revision)
		WHERE p.account = $1 AND p.product_id = n.id AND p.revision < n.revision`,
		s.Account, ids, revisions); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(states,
		func(state State) bool { return state.Revision < known[state.Observed.GetProductId()] }), nil
}

// columns has rows as arrays, one for each column.
type columns struct {
	product, price, stripeProduct []string
	stripePrice, lookupKey        []*string
	active, isDefault             []bool
	version                       []int64
	products                      []string
	versions                      []int64
}

func toColumns(states []State) (c columns) {
	optional := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	for _, state := range states {
		v := int64(version(state.Observed))
		c.products, c.versions = append(c.products, state.Observed.GetProductId()), append(c.versions, v)
		for _, r := range Rows(state.Observed) {
			c.product, c.price = append(c.product, r.ProductID), append(c.price, r.PriceID)
			c.stripeProduct = append(c.stripeProduct, r.StripeProductID)
			c.stripePrice = append(c.stripePrice, optional(r.StripePriceID))
			c.lookupKey = append(c.lookupKey, optional(r.LookupKey))
			c.active, c.isDefault = append(c.active, r.Active), append(c.isDefault, r.IsDefault)
			c.version = append(c.version, v)
		}
	}
	return c
}

// write makes the rows of products equal to their states. The row of a price that the state does not have any more
// stays, and is not active.
func (s *Store) write(ctx context.Context, tx pgx.Tx, states []State) ([]string, error) {
	if len(states) == 0 {
		return nil, nil
	}
	c := toColumns(states)
	rows, err := tx.Query(ctx, `INSERT INTO driftless.stripe_ids AS t (account, product_id, price_id,
			stripe_product_id, stripe_price_id, lookup_key, active, is_default, since_version)
		SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[],
			$8::boolean[], $9::bigint[])
		ON CONFLICT (account, product_id, price_id) DO UPDATE SET
			stripe_product_id = excluded.stripe_product_id, stripe_price_id = excluded.stripe_price_id,
			lookup_key = excluded.lookup_key, active = excluded.active, is_default = excluded.is_default,
			since_version = greatest(t.since_version, excluded.since_version), updated_at = now()
		WHERE (t.stripe_product_id, t.stripe_price_id, t.lookup_key, t.active, t.is_default) IS DISTINCT FROM
			(excluded.stripe_product_id, excluded.stripe_price_id, excluded.lookup_key, excluded.active,
			excluded.is_default)
		RETURNING product_id`,
		s.Account, c.product, c.price, c.stripeProduct, c.stripePrice, c.lookupKey, c.active, c.isDefault, c.version)
	if err != nil {
		return nil, err
	}
	changed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	rows, err = tx.Query(ctx, `UPDATE driftless.stripe_ids t SET active = false, is_default = false, lookup_key = NULL,
			since_version = greatest(t.since_version, n.version), updated_at = now()
		FROM unnest($2::text[], $3::bigint[]) AS n (id, version)
		WHERE t.account = $1 AND t.product_id = n.id AND (t.active OR t.is_default OR t.lookup_key IS NOT NULL)
			AND NOT EXISTS (SELECT FROM unnest($4::text[], $5::text[]) AS w (product, price)
				WHERE w.product = t.product_id AND w.price = t.price_id)
		RETURNING t.product_id`, s.Account, c.products, c.versions, c.product, c.price)
	if err != nil {
		return nil, err
	}
	gone, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	changed = append(changed, gone...)
	slices.Sort(changed)
	return slices.Compact(changed), nil
}
