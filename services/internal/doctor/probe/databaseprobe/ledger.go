package databaseprobe

import (
	"context"
	"fmt"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/migrate"
	"github.com/driftless-sync/driftless/services/internal/postgres"
)

// Ledger returns the probes of the ledger's database. checkSchema returns an error if its tables are not up to date,
// which migrate.IsOutdated recognizes, and any other if it could not check.
func Ledger(db Database, checkSchema func(context.Context, postgres.Database) error) []doctor.Probe {
	return []doctor.Probe{
		reachable(doctor.LedgerReachable, "the ledger", db),
		{
			Name:   "the ledger's database server",
			Covers: []string{doctor.LedgerStandby, doctor.LedgerEncoding},
			Needs:  []string{doctor.LedgerReachable},
			Run:    func(ctx context.Context, r *doctor.Recorder) error { return lookAtLedgerServer(ctx, r, db) },
		},
		{
			Name:   "the ledger's version",
			Covers: []string{doctor.LedgerSchema},
			Needs:  []string{doctor.LedgerReachable},
			Run: func(ctx context.Context, r *doctor.Recorder) error {
				err := checkSchema(ctx, db.Database)
				if migrate.IsOutdated(err) {
					r.Foundf(doctor.LedgerSchema, "", "%v", err)
					return nil
				}
				return err
			},
		},
		{
			Name:   "the rights on the ledger",
			Covers: []string{doctor.LedgerRights},
			Needs:  []string{doctor.LedgerReachable},
			Run:    func(ctx context.Context, r *doctor.Recorder) error { return lookAtLedgerRights(ctx, r, db) },
		},
	}
}

func lookAtLedgerServer(ctx context.Context, r *doctor.Recorder, db Database) error {
	conn, err := db.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var name, encoding string
	var isStandby, isReadOnly bool
	err = conn.QueryRow(ctx, `SELECT current_database(), current_setting('server_encoding'), pg_is_in_recovery(),
		current_setting('transaction_read_only')::bool`).Scan(&name, &encoding, &isStandby, &isReadOnly)
	if err != nil {
		return fmt.Errorf("read the settings of the ledger's server: %w", err)
	}
	switch {
	case isStandby:
		r.Foundf(doctor.LedgerStandby, "", "the ledger is on a standby, which is in recovery")
	case isReadOnly:
		r.Foundf(doctor.LedgerStandby, "Remove default_transaction_read_only from the role or the database.",
			"transactions of the ledger's role are read-only (default_transaction_read_only)")
	}
	if encoding != "UTF8" {
		r.Foundf(doctor.LedgerEncoding, "", "database %s of the ledger has the encoding %s", name, encoding)
	}
	return nil
}

// ledgerSchema is the schema of the ledger's tables.
const ledgerSchema = "driftless_ledger"

func lookAtLedgerRights(ctx context.Context, r *doctor.Recorder, db Database) error {
	conn, err := db.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var role string
	var exists, mayUse bool
	var lacking []string
	err = conn.QueryRow(ctx, `SELECT quote_ident(current_user), n.oid IS NOT NULL,
		coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
		array(SELECT format('%I', c.relname) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
			AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
				AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) ORDER BY 1)
		FROM (VALUES ($1)) AS wanted (name) LEFT JOIN pg_namespace n ON n.nspname = wanted.name`, ledgerSchema).
		Scan(&role, &exists, &mayUse, &lacking)
	switch {
	case err != nil:
		return fmt.Errorf("read the rights on the ledger: %w", err)
	case !exists:
		r.NotLooked("there are no tables of the ledger", doctor.LedgerRights)
	case !mayUse:
		r.Foundf(doctor.LedgerRights, "driftless migrate --ledger-role "+role, "role %s may not use schema %s", role,
			ledgerSchema)
	case len(lacking) > 0:
		r.Foundf(doctor.LedgerRights, "driftless migrate --ledger-role "+role,
			"role %s lacks SELECT, INSERT, UPDATE or DELETE on %s of schema %s", role, strings.Join(lacking, ", "),
			ledgerSchema)
	}
	return nil
}
