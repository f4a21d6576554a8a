package ingestion

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/redact"
)

// ReadConfig says what ReadCatalog reads.
type ReadConfig struct {
	// DatabaseURL of the catalog. See Config.
	DatabaseURL, DatabaseURLFile string
	// Mapping to read with. Nil means the built-in tables.
	Mapping *config.Mapping
	// Products are the ids to read. Defaults to all.
	Products []string
	// Progress reports how many products were read, of at least how many. It may be nil.
	Progress func(done, expected int)
}

// ReadProduct is a product as the mapping reads it.
type ReadProduct struct {
	ID string
	// Product is nil if a query fails for it.
	Product *catalogv1.Product
	// Refused has the reasons for which ingestion would not publish it, by kind. Reasons of one kind differ only in ids
	// and values. It is empty for a product that would be published.
	Refused map[string]string
	// Held has the checks of the operator that would hold the product, with their messages.
	Held []string
	// Unchecked names the checks that could not run for the product.
	Unchecked []string
}

const (
	readIDs  = 50_000
	readPage = 1000
)

// UnknownProductsError has ids that the products query does not return.
type UnknownProductsError struct{ IDs []string }

func (e UnknownProductsError) Error() string {
	return fmt.Sprintf("the products query does not return %q: is the id spelled as the query writes it?", e.IDs)
}

// ReadCatalog yields the products as the mapping reads them, ordered by id, in one snapshot. The transaction is read
// only, and no other server is contacted. It returns an UnknownProductsError if one of cfg.Products does not exist.
func ReadCatalog(ctx context.Context, cfg ReadConfig, yield func(ReadProduct) error) (err error) {
	if cfg.DatabaseURL == "" {
		return errors.New("DATABASE_URL is not set: give the catalog's Postgres database, " +
			"like postgres://user:password@host:5432/database")
	}
	validator, err := validation.New()
	if err != nil {
		return fmt.Errorf("set up validation: %w", err)
	}
	queries := cfg.Mapping
	if queries.IsBuiltIn() {
		if err := builtin.Check(ctx, database(cfg.DatabaseURL, cfg.DatabaseURLFile)); err != nil {
			return fmt.Errorf("%w; if a mapping reads your own tables, name its file with --config", err)
		}
		queries = builtin.With(queries)
	}
	conn, err := connectReadOnly(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("read the catalog: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if queries.RowSecurity != config.RowSecurityAllow {
		if _, err := tx.Exec(ctx, "SET LOCAL row_security = off"); err != nil {
			return fmt.Errorf("set row_security: %w", err)
		}
	}
	reader, err := mapping.NewReader(ctx, conn, queries)
	if err != nil {
		return err
	}
	r := catalogReader{cfg: cfg, reader: reader, validate: validator, yield: yield}
	if len(cfg.Products) > 0 {
		return r.some(ctx, cfg.Products)
	}
	return r.all(ctx)
}

func connectReadOnly(ctx context.Context, cfg ReadConfig) (*pgx.Conn, error) {
	db := database(cfg.DatabaseURL, cfg.DatabaseURLFile)
	db.Application = "driftless-preview"
	settings, err := db.Config()
	if err != nil {
		return nil, err
	}
	settings.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	settings.StatementCacheCapacity, settings.DescriptionCacheCapacity = 0, 0
	settings.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	settings.RuntimeParams["default_transaction_read_only"] = "on"
	conn, err := pgx.ConnectConfig(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the catalog database at %s: %w; start it, or correct DATABASE_URL",
			redact.URL(db.URL), db.Explain(err))
	}
	return conn, nil
}

// catalogReader is one call of ReadCatalog.
type catalogReader struct {
	cfg            ReadConfig
	reader         *mapping.Reader
	validate       *validation.Validator
	yield          func(ReadProduct) error
	done, expected int
}

func (r *catalogReader) all(ctx context.Context) error {
	for after := ""; ; {
		ids, err := r.reader.IDs(ctx, after, readIDs)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		r.expected = max(r.expected, r.done+len(ids))
		for page := range slices.Chunk(ids, readPage) {
			got, err := r.reader.Read(ctx, page)
			if err != nil {
				return err
			}
			for _, id := range page {
				if err := r.yield(r.product(id, got.States[id])); err != nil {
					return err
				}
			}
			r.done += len(page)
			if r.cfg.Progress != nil {
				r.cfg.Progress(r.done, r.expected)
			}
		}
		after = ids[len(ids)-1]
	}
}

// some reads products by id, in any spelling that the type of the id takes.
func (r *catalogReader) some(ctx context.Context, ids []string) error {
	got, err := r.reader.Read(ctx, ids)
	if err != nil {
		return err
	}
	var unknown UnknownProductsError
	for _, id := range ids {
		state, spelled := got.State(id), id
		if s, ok := got.Spelled[id]; ok {
			spelled = s
		}
		if state.Product == nil && state.Failure == nil {
			unknown.IDs = append(unknown.IDs, id)
			continue
		}
		if err := r.yield(r.product(spelled, state)); err != nil {
			return err
		}
	}
	if len(unknown.IDs) > 0 {
		return unknown
	}
	return nil
}

func (r *catalogReader) product(id string, read mapping.State) ReadProduct {
	out := ReadProduct{
		ID:        id,
		Product:   read.Product,
		Refused:   read.Reasons(r.validate.Product),
		Unchecked: read.Unchecked,
	}
	for _, v := range read.Violated {
		text := "check " + v.Check.Name + ": " + v.Message
		if v.Check.Refuses() {
			out.Refused["check "+v.Check.Name] = text
		} else {
			out.Held = append(out.Held, text)
		}
	}
	return out
}
