package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/redact"
)

// dropTimeout is how long the end of a dry run waits until its slot can be dropped.
const dropTimeout = 10 * time.Second

// shareDatabase makes a dry run leave a mesh alone that captures from the same database, and removes at the end what
// the dry run creates there. A slot that nobody reads would make Postgres keep its log.
func (u *up) shareDatabase(ctx context.Context) error {
	db := postgres.Database{
		URL:         u.DatabaseURL.Reveal(),
		File:        u.DatabaseURLFile,
		Setting:     "DATABASE_URL",
		Application: "driftless-dry-run",
		Logger:      u.logger,
	}
	conn, err := db.Connect(ctx)
	if err != nil {
		return fmt.Errorf("cannot reach the catalog database at %s: %w; start it, or correct DATABASE_URL",
			redact.URL(db.URL), err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	exists := func(from, name string) (found bool, err error) {
		if err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT "+from+" = $1)", name).Scan(&found); err != nil {
			return false, fmt.Errorf("read what the catalog database has for capture: %w", err)
		}
		return found, nil
	}
	// A slot of this name in another database of the server is that of another mesh.
	hasMesh, err := exists("FROM pg_replication_slots WHERE database = current_database() AND slot_name", u.meshSlot)
	if err != nil {
		return err
	}
	if hasMesh {
		// Ingestion makes the publication fit its own mapping, which would take tables away from the other one.
		u.Publication += dryRunSuffix
	}
	publication := u.Publication
	hasPublication, err := exists("FROM pg_publication WHERE pubname", publication)
	if err != nil {
		return err
	}
	if hasPublication {
		publication = ""
	}
	u.onStop(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
		defer cancel()
		if err := dropCapture(ctx, db, u.Slot, publication); err != nil {
			sayf(stdout, "The replication slot %s is left, and Postgres keeps its log for it: %s. "+
				"Run `SELECT pg_drop_replication_slot('%s');`\n", u.Slot, err, u.Slot)
		}
	})
	return nil
}

// dropCapture drops a slot once nobody reads it, and a publication unless its name is empty.
func dropCapture(ctx context.Context, db postgres.Database, slot, publication string) error {
	conn, err := db.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if publication != "" {
		if _, err := conn.Exec(ctx, "DROP PUBLICATION IF EXISTS "+pgx.Identifier{publication}.Sanitize()); err != nil {
			return err
		}
	}
	for {
		// A slot with this name may belong to another database of the server.
		if _, err := conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
			WHERE slot_name = $1 AND database = current_database() AND NOT active`, slot); err != nil {
			return err
		}
		var isLeft bool
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_replication_slots
			WHERE slot_name = $1 AND database = current_database())`, slot).Scan(&isLeft)
		if err != nil || !isLeft {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
