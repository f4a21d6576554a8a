package ingestion

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/driftless-sync/driftless/services/internal/postgres"
)

// setupLock is the advisory lock, of the catalog database, of whoever makes or checks what an ingestion needs there.
const setupLock = 0x64726966_746c6573

// alone does something that two processes must not do at once: of two that start for the first time both would find
// that tables, publication and slot are missing, and make them. The lock is a session's, on a connection of its own: it
// goes when that ends, however the process does.
func alone(ctx context.Context, db postgres.Database, do func() error) error {
	conn, err := db.Connect(ctx)
	if err != nil {
		return fmt.Errorf("connect to the catalog database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "SELECT set_config('lock_timeout', '1min', false)"); err != nil {
		return fmt.Errorf("set up a session of the catalog database: %w", err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(setupLock)); err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "55P03" {
			return errors.New(
				"another ingestion has been setting up the catalog database for a minute: its session holds an advisory lock (see pg_locks), and waits perhaps for a long transaction to end before its replication slot is made")
		}
		return fmt.Errorf("wait for other ingestions that set up the catalog database: %w", err)
	}
	return do()
}
