package ingestion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/ingestion/internal/watch"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/migrate"
)

// Check checks everything in the catalog database that ingestion needs to start, and returns all faults. It changes
// nothing there, and contacts no other server. An error means that it could not check.
func Check(ctx context.Context, cfg Config) (finding.List, error) {
	x, err := examine(ctx, cfg, false)
	return x.Findings.Proven(), err
}

// Examination is the result of Examine.
type Examination struct {
	// Findings have a kind each. Those of severity Unproven say that a check came to no result, and why.
	Findings finding.List
	// NotLooked are the kinds of findings that were not looked for, because other faults come first.
	NotLooked []finding.ID
}

// FindingIDs returns the kinds of findings that Examine looks for.
func FindingIDs() []finding.ID { return slices.Concat(finding.SchemaIDs(), finding.RowsIDs()) }

// Examine is Check for a mesh that runs: it also checks the publication, and says what it did not look at. An error
// means that it could not check at all.
func Examine(ctx context.Context, cfg Config) (Examination, error) {
	return examine(ctx, cfg, true)
}

func examine(ctx context.Context, cfg Config, isRunning bool) (x Examination, err error) {
	if cfg.DatabaseURL == "" {
		return x, errors.New("DATABASE_URL is not set: give the catalog's Postgres database, " +
			"like postgres://user:password@host:5432/database")
	}
	pool, err := connect(ctx, cfg, true)
	if err != nil {
		return x, err
	}
	defer pool.Close()
	validator, err := validation.New()
	if err != nil {
		return x, fmt.Errorf("set up validation: %w", err)
	}
	queries := cfg.Mapping
	if queries.IsBuiltIn() {
		switch err := builtin.Check(ctx, cfg.database()); {
		case migrate.IsOutdated(err):
			x.Findings.As(finding.Tables).Refusef("", "%v", err)
			x.NotLooked = slices.DeleteFunc(slices.Concat(finding.SchemaIDs(), finding.RowsIDs()),
				func(id finding.ID) bool { return id == finding.Tables })
			return x, nil
		case err != nil:
			return x, err
		}
		queries = builtin.With(queries)
	}
	c := checker{cfg: cfg, pool: pool, queries: queries, validate: validator}
	s, found, err := c.checkSchema(ctx)
	if err == nil {
		err = c.addStripeIDs(ctx, &found)
	}
	x.Findings = found
	if err != nil {
		return x, err
	}
	if found.Refuses() {
		x.NotLooked = finding.RowsIDs()
		if s.mapping == nil {
			x.NotLooked = append(x.NotLooked, finding.WriteBack)
		}
		return x, nil
	}
	err = c.examineRows(ctx, s, isRunning, &x)
	return x, err
}

// examineRows adds the findings about the slot and the rows, and about the publication of a mesh that runs.
func (v checker) examineRows(ctx context.Context, s *schema, isRunning bool, x *Examination) error {
	if _, err := s.source.Find(ctx, v.pool); err != nil {
		x.Findings.As(finding.Replication).Refusef("", "%v", err)
	}
	inspect := s.source.InspectUnrepairable
	if isRunning {
		inspect = s.source.InspectPublication
	}
	wrong, err := inspect(ctx, v.pool)
	if err != nil {
		return err
	}
	x.Findings.Add(wrong...)
	limited, cancel := withRowsLimit(ctx)
	defer cancel()
	data, err := v.checkRows(limited, s)
	x.Findings.Add(data...)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		// What was found before still counts.
		for _, id := range finding.RowQueryIDs() {
			x.Findings.As(id).Unprovenf("the queries of the rows took longer than %v", context.Cause(limited))
		}
		return nil
	}
	return err
}

// withRowsLimit returns a context that ends before ctx does, so that rows that take long do not hide the other
// findings.
func withRowsLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	limit := time.Until(deadline) * 9 / 10
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s", limit.Round(time.Millisecond)))
}

// checker checks the mapping and the database, and changes nothing.
type checker struct {
	cfg      Config
	pool     *pgxpool.Pool
	queries  *config.Mapping
	validate *validation.Validator
}

// checkSchema checks the schema and returns all faults. If they refuse the start, only the source of the returned
// schema can be used. An error means that the database does not answer; the faults are then those that were found
// before.
func (v checker) checkSchema(ctx context.Context) (*schema, finding.List, error) {
	var found finding.List
	checked, err := mapping.New(ctx, v.pool, v.queries)
	if err != nil {
		if down := v.pool.Ping(ctx); down != nil {
			return nil, found, err
		}
		found.As(finding.Queries).Refusef("", "%v", err)
	}
	watched, wrong, err := watch.Compile(ctx, v.pool, v.queries.Watch)
	if err != nil {
		return nil, found, err
	}
	found.Add(wrong.Tagged(finding.Watch)...)
	s := &schema{mapping: checked, watch: watched, source: &wal.Source{
		Database:         v.cfg.database(),
		Slot:             v.cfg.Slot,
		Publication:      v.cfg.Publication,
		Tables:           watched.Tables,
		AllowRowSecurity: v.cfg.allowsRowSecurity(),
	}}
	if wrong, err = s.source.Inspect(ctx, v.pool); err != nil {
		return nil, found, err
	}
	found.Add(wrong...)
	if checked != nil {
		s.writer, err = writeback.New(ctx, writeback.Config{
			Pool:       v.pool,
			Mapping:    checked,
			Statements: v.queries.WriteBack,
			BuiltIn:    v.cfg.Mapping.IsBuiltIn(),
			Validate:   v.validate.Product,
		})
		if err != nil {
			if down := v.pool.Ping(ctx); down != nil {
				return nil, found, err
			}
			found.As(finding.WriteBack).Refusef("", "%v", err)
		}
	}
	if found.Refuses() {
		return s, found, nil
	}
	if err := s.loadDependencies(ctx); err != nil {
		return nil, found, err
	}
	return s, found, nil
}

// checkRows checks the rows. If it fails, it returns what it had found.
func (v checker) checkRows(ctx context.Context, s *schema) (finding.List, error) {
	found, err := s.mapping.Check(ctx, v.queries.Watch, v.validate.Product)
	if err != nil {
		return found, err
	}
	wrong, err := s.writer.Check(ctx)
	found.Add(wrong.Tagged(finding.WriteBack)...)
	return found, err
}
