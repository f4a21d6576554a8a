package ingestion

import (
	"context"
	"errors"
	"fmt"

	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/finding"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
)

// Check looks at everything in the catalog database that a start of ingestion needs, and returns all that is wrong with it. It
// changes nothing there, and asks nobody else. An error says that it could not look.
func Check(ctx context.Context, cfg Config) (finding.List, error) {
	if cfg.DatabaseURL == "" {
		return nil, errors.New("DATABASE_URL is not set: give the catalog's Postgres database, like postgres://user:password@host:5432/database")
	}
	pool, err := connect(ctx, cfg.DatabaseURL)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	validator, err := validation.New()
	if err != nil {
		return nil, fmt.Errorf("set up validation: %w", err)
	}
	var out finding.List
	queries := cfg.Mapping
	if queries == nil {
		if err := builtin.Check(ctx, cfg.DatabaseURL); err != nil {
			out.Refuse("", "%v", err)
			return out, nil
		}
		queries = builtin.Mapping()
	}
	checked, err := mapping.New(ctx, pool, queries)
	if err != nil {
		out.Refuse("", "%v", err)
		return out, nil
	}
	found, err := checked.Check(ctx, queries.Watch, validator.Product)
	if err != nil {
		return nil, err
	}
	out.Add(found...)
	writer, err := writeback.New(ctx, writeback.Config{
		Pool: pool, Mapping: checked, Statements: queries.WriteBack, BuiltIn: cfg.Mapping == nil, Validate: validator.Product,
	})
	if err != nil {
		out.Refuse("", "%v", err)
		return out, nil
	}
	if found, err = writer.Check(ctx); err != nil {
		return nil, err
	}
	out.Add(found...)
	return out, nil
}
