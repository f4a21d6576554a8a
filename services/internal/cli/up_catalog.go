package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/durable"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// privateCatalog is what pinCatalog records for the private Postgres of a data directory.
const privateCatalog = "its own Postgres"

// pinCatalog records the catalog database of a data directory, and refuses another one. CATALOG on the private NATS has
// the products of the first, and to the mesh those that the other lacks are deleted, so push would archive them.
func (u *up) pinCatalog(ctx context.Context) error {
	if u.NATSURL != "" {
		// The directory has no CATALOG.
		return nil
	}
	now := privateCatalog
	if u.DatabaseURL != "" {
		var ok bool
		if now, ok = u.identifyCatalog(ctx); !ok {
			return nil
		}
	}
	path := filepath.Join(u.dataDir, "catalog")
	known, err := os.ReadFile(path)
	switch before := strings.TrimSpace(string(known)); {
	case errors.Is(err, os.ErrNotExist):
		if err := durable.WriteFile(path, []byte(now+"\n"), 0o600); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	case err != nil:
		return fmt.Errorf("data directory: %w", err)
	case before == "":
		return emptyPin(path, "the catalog in "+now)
	case before != now:
		return fmt.Errorf("data directory %s was used with %s, and now the catalog is in %s: the products of the first "+
			"would count as deleted. Set another directory with --data-dir. If it is the same catalog, which was moved, "+
			"remove %s", u.dataDir, before, now, path)
	}
	return nil
}

// emptyPin says what to do about a file of the data directory that was emptied, as that of an earlier version may be by
// a loss of power. now is what the directory is used with now.
func emptyPin(path, now string) error {
	return fmt.Errorf("%s is empty, perhaps since a loss of power, so nobody knows what the data directory was used "+
		"with. If it was used with %s, run `rm %s` and start again. Otherwise set another directory with --data-dir",
		path, now, visible.Argument(path))
}

// identifyCatalog names the catalog database so that another address or role of it makes no difference. ok is false if
// the database does not say it. Ingestion then says why, if it cannot use the database.
func (u *up) identifyCatalog(ctx context.Context) (name string, ok bool) {
	db := postgres.Database{
		URL:         u.DatabaseURL.Reveal(),
		File:        u.DatabaseURLFile,
		Setting:     "DATABASE_URL",
		Application: "driftless-up",
		Logger:      u.logger,
	}
	conn, err := db.Connect(ctx)
	if err != nil {
		return "", false
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var base, server string
	// https://www.postgresql.org/docs/current/functions-info.html: the same on a standby that was promoted.
	err = conn.QueryRow(ctx, "SELECT current_database(), system_identifier::text FROM pg_control_system()").
		Scan(&base, &server)
	return fmt.Sprintf("database %q of the Postgres server %s", base, server), err == nil
}
