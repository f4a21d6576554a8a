package ingestion

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/stripeids"
	"github.com/driftless-sync/driftless/services/internal/migrate"
	"github.com/driftless-sync/driftless/services/internal/state"
)

const (
	// stripeIDsInterval is the time between two reads of OBSERVED while nothing changes. The table may be at most a
	// second behind.
	stripeIDsInterval = 200 * time.Millisecond
	// bucketCheckInterval is the time between two checks that OBSERVED is still the bucket that was read.
	bucketCheckInterval = time.Second
	// columnsInterval is the time between two comparisons of the operator's columns with the table. They find rows that
	// the application wrote since, and rows that could not be written before.
	columnsInterval = 10 * time.Second
	// columnsTimeout bounds one write of the columns, which may wait for locks of others.
	columnsTimeout = 20 * time.Second
	// stripeIDsBatch is how many products are written in one transaction.
	stripeIDsBatch = 500
	// stripeIDsRetry is the time until something that failed is tried again.
	stripeIDsRetry = time.Second
)

// writesStripeIDs reports whether the table of Stripe's ids is maintained. The operator's own columns are written from
// it.
func (c Config) writesStripeIDs() bool {
	return c.StripeIDs || c.Mapping != nil && c.Mapping.WriteIDs != nil
}

// prepareStripeIDs creates the table of Stripe's ids, or checks it if Migrate created it.
func prepareStripeIDs(ctx context.Context, cfg Config) error {
	if !cfg.writesStripeIDs() {
		return nil
	}
	return withSetupLock(ctx, cfg.database(), func() error {
		if cfg.CheckMigrations {
			return stripeids.Check(ctx, cfg.database())
		}
		return stripeids.Migrate(ctx, cfg.DatabaseURL, "")
	})
}

// checkStripeIDs checks the rights on the table, and the operator's columns. The returned writer is nil if there are no
// such columns.
func (v checker) checkStripeIDs(ctx context.Context) (*stripeids.Columns, finding.List, error) {
	if !v.cfg.writesStripeIDs() {
		return nil, nil, nil
	}
	found, err := stripeids.CheckRights(ctx, v.pool)
	if err != nil || v.cfg.Mapping == nil {
		return nil, found, err
	}
	columns, wrong, err := stripeids.OpenColumns(ctx, v.pool, v.cfg.Account, v.cfg.Mapping.WriteIDs)
	found.Add(wrong...)
	return columns, found, err
}

// addStripeIDs adds the findings about the table of Stripe's ids, which changes nothing. Before the first start the
// table need not exist, unless somebody else has to create it.
func (v checker) addStripeIDs(ctx context.Context, found *finding.List) error {
	if v.cfg.writesStripeIDs() && v.cfg.CheckMigrations {
		switch err := stripeids.Check(ctx, v.cfg.database()); {
		case migrate.IsOutdated(err):
			found.As(finding.StripeIDs).Refusef("", "%v", err)
			return nil
		case err != nil:
			return err
		}
	}
	_, wrong, err := v.checkStripeIDs(ctx)
	found.Add(wrong.Tagged(finding.StripeIDs)...)
	return err
}

// stripeIDs keeps the table of Stripe's ids equal to OBSERVED. Its failures are logged and tried again: they concern
// nothing else that ingestion does.
type stripeIDs struct {
	*ingester

	store   *stripeids.Store
	columns *stripeids.Columns
	// due makes keepColumns write the columns of the requested products.
	due       chan struct{}
	mu        sync.Mutex
	requested []string
}

// newStripeIDs returns the maintainer of the table, nil if it is switched off.
func (in *ingester) newStripeIDs(ctx context.Context) (*stripeIDs, error) {
	if !in.writesStripeIDs() {
		return nil, nil //nolint:nilnil // nothing to maintain is no error
	}
	columns, found, err := in.checker().checkStripeIDs(ctx)
	if err == nil {
		err = found.Err()
	}
	if err != nil {
		return nil, err
	}
	store := &stripeids.Store{Pool: in.pool, Account: in.account}
	return &stripeIDs{ingester: in, store: store, columns: columns, due: make(chan struct{}, 1)}, nil
}

// run follows OBSERVED until ctx ends. It returns nil.
func (s *stripeIDs) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.repeat(ctx, "follow OBSERVED", s.follow) })
	g.Go(func() error { return s.repeat(ctx, "compare all products", s.compare) })
	if s.columns != nil {
		g.Go(func() error { return s.repeat(ctx, "write the columns of catalog.write_ids", s.keepColumns) })
	}
	return g.Wait()
}

// repeat runs do until it succeeds or ctx ends, and logs its failures.
func (s *stripeIDs) repeat(ctx context.Context, what string, do func(context.Context) error) error {
	for {
		err := do(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil //nolint:nilerr // the service ends, or is paused
		case !errors.Is(err, stripeids.ErrRestarted):
			s.logger.WarnContext(ctx, "Stripe's ids in the catalog database are behind; will try again",
				"doing", what, "in", stripeIDsRetry, "error", err)
		}
		if !s.sleep(ctx, stripeIDsRetry) {
			return nil
		}
	}
}

// begin returns the position to read on from. It starts again if OBSERVED is another bucket than the one that was read.
func (s *stripeIDs) begin(ctx context.Context) (stripeids.Position, error) {
	position, err := s.store.Position(ctx)
	if err != nil {
		return position, err
	}
	created, last, err := s.stores.Observed().State(ctx)
	if err != nil || position.Continues(created, last) {
		return position, err
	}
	if !position.BucketCreated.IsZero() {
		s.logger.WarnContext(ctx, "OBSERVED is another bucket than before; comparing Stripe's ids of all products",
			"created", created, "before", position.BucketCreated)
	}
	if err := s.store.Restart(ctx, position, created); err != nil {
		return position, err
	}
	return s.store.Position(ctx)
}

// follow writes the states that are stored from the position on.
func (s *stripeIDs) follow(ctx context.Context) error {
	position, err := s.begin(ctx)
	if err != nil {
		return err
	}
	for checked := time.Now(); ; {
		if time.Since(checked) > bucketCheckInterval {
			created, last, err := s.stores.Observed().State(ctx)
			if err != nil {
				return err
			}
			if !position.Continues(created, last) {
				return s.restart(ctx)
			}
			checked = time.Now()
		}
		page, err := s.stores.Observed().After(ctx, s.account, position.Revision)
		if err != nil {
			return err
		}
		if err := s.apply(ctx, page, &position); err != nil {
			return err
		}
		if !page.More && !s.sleep(ctx, stripeIDsInterval) {
			return nil
		}
	}
}

// restart begins with the bucket that exists now. The error makes the caller follow it.
func (s *stripeIDs) restart(ctx context.Context) error {
	if _, err := s.begin(ctx); err != nil {
		return err
	}
	return stripeids.ErrRestarted
}

// compare writes all states up to the one that is the latest now. They differ from the rows if somebody has changed or
// emptied the table, and the log of its changes does not exist. It runs once after each start, beside follow.
func (s *stripeIDs) compare(ctx context.Context) error {
	// A position that is never beyond that of follow leaves the position as it is.
	position, err := s.begin(ctx)
	if err != nil {
		return err
	}
	_, last, err := s.stores.Observed().State(ctx)
	if err != nil {
		return err
	}
	position.Revision = 0
	var batch []stripeids.State
	for e, err := range s.stores.Observed().Range(ctx, s.account, 1, last) {
		if err != nil {
			return err
		}
		if e.Undecodable != nil {
			s.logger.ErrorContext(ctx, "a product has no rows in driftless.stripe_ids", "product",
				e.Observed.GetProductId(), "error", e.Undecodable)
			continue
		}
		batch = append(batch, stripeids.State{Observed: e.Observed, Revision: e.Revision})
		if len(batch) == stripeIDsBatch {
			if err := s.write(ctx, batch, position); err != nil {
				return err
			}
			batch = nil
		}
	}
	return s.write(ctx, batch, position)
}

// apply writes a page and moves the position.
func (s *stripeIDs) apply(ctx context.Context, page state.ObservedPage, position *stripeids.Position) error {
	for _, err := range page.Undecodable {
		s.logger.ErrorContext(ctx, "a product has no rows in driftless.stripe_ids", "error", err)
	}
	if page.Last == position.Revision {
		return nil
	}
	for entries := range slices.Chunk(page.Entries, stripeIDsBatch) {
		states := make([]stripeids.State, len(entries))
		for i, e := range entries {
			states[i] = stripeids.State{Observed: e.Observed, Revision: e.Revision}
		}
		position.Revision = entries[len(entries)-1].Revision
		if err := s.write(ctx, states, *position); err != nil {
			return err
		}
	}
	if position.Revision = page.Last; len(page.Entries) == 0 ||
		page.Entries[len(page.Entries)-1].Revision != page.Last {
		return s.write(ctx, nil, *position)
	}
	return nil
}

// write writes states and then the operator's columns of the products that changed. If Postgres refuses the values of
// one product, the others are written without it.
func (s *stripeIDs) write(ctx context.Context, states []stripeids.State, position stripeids.Position) error {
	changed, err := s.store.Apply(ctx, states, position)
	if err != nil && isRefusedValue(err) {
		changed, err = s.writeSingly(ctx, states, position)
	}
	if err != nil {
		return err
	}
	if s.columns != nil {
		s.requestColumns(changed)
	}
	return nil
}

// writeSingly writes each product alone, and skips those whose values Postgres refuses.
func (s *stripeIDs) writeSingly(ctx context.Context, states []stripeids.State,
	position stripeids.Position,
) (changed []string, err error) {
	before := stripeids.Position{BucketCreated: position.BucketCreated}
	for _, state := range states {
		one, err := s.store.Apply(ctx, []stripeids.State{state}, before)
		if err != nil && !isRefusedValue(err) {
			return changed, err
		}
		if err != nil {
			s.logger.ErrorContext(
				ctx, "Postgres refuses the product's rows in driftless.stripe_ids; they stay as they are",
				"product", state.Observed.GetProductId(), "error", err)
		}
		changed = append(changed, one...)
	}
	_, err = s.store.Apply(ctx, nil, position)
	return changed, err
}

// isRefusedValue reports whether Postgres refuses a value: a character that the database's encoding lacks, a value that
// a trigger or constraint of the operator's refuses, or one that is too long for an index. The classes are those of
// https://www.postgresql.org/docs/current/errcodes-appendix.html.
func isRefusedValue(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"22", "23", "54", "P0"}, pg.Code[:min(2, len(pg.Code))])
}

// requestColumns makes keepColumns write the operator's columns of products. The table itself never waits for rows that
// somebody else has locked.
func (s *stripeIDs) requestColumns(products []string) {
	if len(products) == 0 {
		return
	}
	s.mu.Lock()
	s.requested = append(s.requested, products...)
	s.mu.Unlock()
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// keepColumns writes the operator's columns of products that changed, and compares all columns with the table from time
// to time, until ctx ends. A later comparison repeats what fails.
func (s *stripeIDs) keepColumns(ctx context.Context) error {
	ticker := time.NewTicker(columnsInterval)
	defer ticker.Stop()
	for {
		s.writeColumns(ctx, nil)
		for all := false; !all; {
			select {
			case <-ctx.Done():
				return nil
			case <-s.due:
				s.mu.Lock()
				products := s.requested
				s.requested = nil
				s.mu.Unlock()
				s.writeColumns(ctx, products)
			case <-ticker.C:
				all = true
			}
		}
	}
}

// writeColumns writes the operator's columns of products, or all.
func (s *stripeIDs) writeColumns(ctx context.Context, products []string) {
	limited, cancel := context.WithTimeout(ctx, columnsTimeout)
	defer cancel()
	if _, err := s.columns.Write(limited, products); err != nil && ctx.Err() == nil {
		s.logger.WarnContext(ctx, "could not write Stripe's ids to the columns of catalog.write_ids; will try again",
			"in", columnsInterval, "error", err)
	}
}
