package ingestion

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/ingestion/internal/watch"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// Check checks everything in the catalog database that ingestion needs to start, and returns all faults. It changes
// nothing there, and contacts no other server. An error means that it could not check.
func Check(ctx context.Context, cfg Config) (finding.List, error) {
	if cfg.DatabaseURL == "" {
		return nil, errors.New("DATABASE_URL is not set: give the catalog's Postgres database, " +
			"like postgres://user:password@host:5432/database")
	}
	pool, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	validator, err := validation.New()
	if err != nil {
		return nil, fmt.Errorf("set up validation: %w", err)
	}
	queries := cfg.Mapping
	if queries.IsBuiltIn() {
		if err := builtin.Check(ctx, cfg.DatabaseURL); err != nil {
			return finding.List{{Severity: finding.Refusal, Message: err.Error()}}, nil
		}
		queries = builtin.With(queries)
	}
	c := checker{cfg: cfg, pool: pool, queries: queries, validate: validator}
	s, found, err := c.checkSchema(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.addStripeIDs(ctx, &found); err != nil {
		return nil, err
	}
	if !found.Refuses() {
		if _, err := s.source.Find(ctx, pool); err != nil {
			found.Refusef("", "%v", err)
		}
		data, err := c.checkRows(ctx, s)
		if err != nil {
			return nil, err
		}
		found.Add(data...)
	}
	return found, nil
}

// checker checks the mapping and the database, and changes nothing.
type checker struct {
	cfg      Config
	pool     *pgxpool.Pool
	queries  *config.Mapping
	validate *validation.Validator
}

// checkSchema checks the schema and returns all faults. If they refuse the start, only the source of the returned
// schema can be used. An error means that the database does not answer.
func (v checker) checkSchema(ctx context.Context) (*schema, finding.List, error) {
	var found finding.List
	checked, err := mapping.New(ctx, v.pool, v.queries)
	if err != nil {
		if down := v.pool.Ping(ctx); down != nil {
			return nil, nil, err
		}
		found.Refusef("", "%v", err)
	}
	watched, wrong, err := watch.Compile(ctx, v.pool, v.queries.Watch)
	if err != nil {
		return nil, nil, err
	}
	found.Add(wrong...)
	s := &schema{mapping: checked, watch: watched, source: &wal.Source{
		Database:         v.cfg.database(),
		Slot:             v.cfg.Slot,
		Publication:      v.cfg.Publication,
		Tables:           watched.Tables,
		AllowRowSecurity: v.cfg.allowsRowSecurity(),
	}}
	if wrong, err = s.source.Inspect(ctx, v.pool); err != nil {
		return nil, nil, err
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
				return nil, nil, err
			}
			found.Refusef("", "%v", err)
		}
	}
	if found.Refuses() {
		return s, found, nil
	}
	if err := s.loadDependencies(ctx); err != nil {
		return nil, nil, err
	}
	return s, found, nil
}

// checkRows checks the rows.
func (v checker) checkRows(ctx context.Context, s *schema) (finding.List, error) {
	found, err := s.mapping.Check(ctx, v.queries.Watch, v.validate.Product)
	if err != nil {
		return nil, err
	}
	wrong, err := s.writer.Check(ctx)
	if err != nil {
		return nil, err
	}
	found.Add(wrong...)
	return found, nil
}
