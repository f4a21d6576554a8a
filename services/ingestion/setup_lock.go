package ingestion

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/postgres"
)

// setupLock is the advisory lock, in the catalog database, of a process that creates or checks what ingestion needs
// there.
const setupLock = 0x64726966_746c6573

// withSetupLock runs do under the advisory lock of setup. Two processes that start for the first time would both find
// that tables, publication and slot are missing, and create them. The lock belongs to a session on its own connection,
// so it is released however the process ends.
func withSetupLock(ctx context.Context, db postgres.Database, do func() error) error {
	settings, err := db.Config()
	if err != nil {
		return err
	}
	// A lock on a standby would not keep out the holder of one on the primary.
	wal.RequirePrimary(&settings.Config)
	conn, err := pgx.ConnectConfig(ctx, settings)
	if err != nil {
		return fmt.Errorf("connect to the catalog database: %w", db.Explain(err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "SELECT set_config('lock_timeout', '1min', false)"); err != nil {
		return fmt.Errorf("set up a session of the catalog database: %w", err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(setupLock)); err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "55P03" {
			return errors.New(
				"another ingestion has been setting up the catalog database for a minute. Its session holds an " +
					"advisory lock (see pg_locks). It may be waiting for a long transaction to end before Postgres " +
					"creates the replication slot")
		}
		return fmt.Errorf("wait for another ingestion that sets up the catalog database: %w", err)
	}
	return do()
}
