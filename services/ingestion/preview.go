package ingestion

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/preview"
	"github.com/driftless-sync/driftless/services/ingestion/internal/script"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/redact"
)

// The types of a preview.
type (
	// PreviewStatement is a statement of a script.
	PreviewStatement = script.Statement
	// PreviewProgress is how far a preview is.
	PreviewProgress = preview.Progress
	// PreviewResult is what a preview found. Close it.
	PreviewResult = preview.Result
	// PreviewChange is a product before and after the statements.
	PreviewChange = preview.Change
	// PreviewState is a product before or after them.
	PreviewState = preview.State
)

// ParseScript splits a script into statements. source is its name for messages. An error names the line of a statement
// that cannot be previewed, as COMMIT.
func ParseScript(source, text string) ([]PreviewStatement, error) { return script.Parse(source, text) }

// PreviewConfig says what to preview.
type PreviewConfig struct {
	// DatabaseURL of the catalog, with the role that will run the statements. See Config.
	DatabaseURL, DatabaseURLFile string
	// Mapping is the present one, and Changed the one that replaces it. Nil means the built-in tables.
	Mapping, Changed *config.Mapping
	// ArchiveAfter is the present setting prices_archive_after, and ChangedArchiveAfter the one that replaces it.
	ArchiveAfter, ChangedArchiveAfter time.Duration
	// Statements may be empty, if the mapping changes.
	Statements []PreviewStatement
	// LockTimeout is how long a statement waits for a lock, and StatementTimeout how long it may run. 0 means no limit.
	LockTimeout, StatementTimeout time.Duration
	// All yields every product, not only those that differ.
	All bool
	// Progress may be nil.
	Progress func(PreviewProgress)
}

// Preview runs statements in a transaction on the catalog, finds what they change for the mapping, and rolls back. It
// commits nothing, moves no replication slot, and contacts no other server.
func Preview(ctx context.Context, cfg PreviewConfig) (*PreviewResult, error) {
	if cfg.DatabaseURL == "" {
		return nil, errors.New("DATABASE_URL is not set: give the catalog's Postgres database, " +
			"like postgres://user:password@host:5432/database")
	}
	validator, err := validation.New()
	if err != nil {
		return nil, fmt.Errorf("set up validation: %w", err)
	}
	if cfg.Mapping.IsBuiltIn() {
		if err := builtin.Check(ctx, database(cfg.DatabaseURL, cfg.DatabaseURLFile)); err != nil {
			return nil, fmt.Errorf("%w; if a mapping reads your own tables, name its file in DRIFTLESS_CONFIG", err)
		}
	}
	db := database(cfg.DatabaseURL, cfg.DatabaseURLFile)
	db.Application = "driftless-plan"
	return preview.Run(ctx, preview.Config{
		Connect: func(ctx context.Context) (*pgx.Conn, error) {
			settings, err := db.Config()
			if err != nil {
				return nil, err
			}
			// The statements may alter tables, so no statement is cached.
			settings.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
			settings.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
			// A preview that stalls must not keep its locks. The statements' own settings end before the second read.
			settings.RuntimeParams["lock_timeout"] = strconv.FormatInt(cfg.LockTimeout.Milliseconds(), 10)
			settings.RuntimeParams["idle_in_transaction_session_timeout"] = "60000"
			settings.StatementCacheCapacity, settings.DescriptionCacheCapacity = 0, 0
			conn, err := pgx.ConnectConfig(ctx, settings)
			if err != nil {
				return nil, fmt.Errorf("cannot reach the catalog database at %s: %w; start it, or correct DATABASE_URL",
					redact.URL(db.URL), db.Explain(err))
			}
			return conn, nil
		},
		Statements:         cfg.Statements,
		Before:             orBuiltIn(cfg.Mapping),
		ArchiveAfterBefore: cfg.ArchiveAfter,
		After:              orBuiltIn(cfg.Changed),
		LockTimeout:        cfg.LockTimeout,
		ArchiveAfter:       cfg.ChangedArchiveAfter,
		StatementTimeout:   cfg.StatementTimeout,
		All:                cfg.All,
		Validate:           validator.Product,
		Describe:           validation.Join,
		Progress:           cfg.Progress,
	})
}

func orBuiltIn(m *config.Mapping) *config.Mapping {
	if m.IsBuiltIn() {
		return builtin.With(m)
	}
	return m
}
