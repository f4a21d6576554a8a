package cli

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func (r *doctorRig) databaseFaults() map[string]fault {
	restricted := localtest.PostgresServer(r.t, map[string]string{
		"wal_level": "replica", "max_wal_senders": "0", "max_replication_slots": "0",
	})
	execIn(r.t, restricted.URL(), doctorSchema)
	return map[string]fault{
		"no database": {
			only:     "database",
			settings: map[string]any{"database_url": "postgres://a:b@" + closedPort + "/x"},
			want:     []string{doctor.DatabaseReachable},
			fix:      "DATABASE_URL",
		},
		"an unknown encoding": {
			only: "database",
			settings: with(shop(), map[string]any{
				"database_url": r.newDatabase("ascii", "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"),
			}),
			want: []string{doctor.DatabaseEncoding},
			fix:  "ENCODING 'UTF8'",
		},
		"a server without replication": {
			only:     "database",
			settings: with(shop(), map[string]any{"database_url": restricted.URL()}),
			want: []string{
				"database.wal_level", doctor.DatabaseSlot, doctor.DatabaseSlotsFull, doctor.DatabaseSendersFull,
			},
			fix: "ALTER SYSTEM SET wal_level = logical;",
		},
		"a role that may not replicate": {
			only:     "database",
			settings: with(shop(), map[string]any{"database_url": r.as("plain", "p")}),
			want:     []string{"database.role"},
			fix:      `ALTER ROLE "plain" REPLICATION;`,
		},
		"another slot": {
			only:     "database",
			settings: map[string]any{"slot": "absent"},
			want:     []string{doctor.DatabaseSlot},
			fix:      "Start ingestion",
		},
		"a slot that an open transaction holds up": {
			only:     "database",
			settings: map[string]any{"slot": "held"},
			command:  func(cmd *doctorCmd) { cmd.patience = time.Millisecond },
			cause:    func() func() { return r.holdSlot("held") },
			want:     []string{doctor.DatabaseSlot},
			fix:      "pg_stat_activity",
		},
		"a slot that nobody reads": {
			only:     "database",
			settings: map[string]any{"slot": "idle"},
			command:  func(cmd *doctorCmd) { cmd.patience = time.Millisecond },
			cause: r.sql("SELECT pg_create_logical_replication_slot('idle', 'pgoutput')",
				"SELECT pg_drop_replication_slot('idle')"),
			want: []string{doctor.DatabaseSlotUnread},
		},
		"a slot of another use": {
			only:     "database",
			settings: map[string]any{"slot": "decoding"},
			cause: r.sql("SELECT pg_create_logical_replication_slot('decoding', 'test_decoding')",
				"SELECT pg_drop_replication_slot('decoding')"),
			want: []string{"database.replication"},
			fix:  "DRIFTLESS_SLOT",
		},
		"slots of nobody": {
			only: "database",
			cause: r.sql(`SELECT pg_create_physical_replication_slot('left_over', true);
				SELECT pg_logical_emit_message(false, 'x', repeat('x', 1048576)) FROM generate_series(1, 20)`,
				"SELECT pg_drop_replication_slot('left_over')"),
			want: []string{doctor.DatabaseForeignSlot},
			fix:  "SELECT pg_drop_replication_slot('left_over')",
		},
		"no publication": {
			only:     "database",
			settings: map[string]any{"publication": "absent"},
			want:     []string{"database.publication"},
			fix:      `CREATE PUBLICATION "absent" FOR TABLE driftless.products, driftless.prices`,
		},
		"a publication without a table": {
			only:     "database",
			settings: shop(),
			cause: r.sql("ALTER PUBLICATION shop DROP TABLE shop.prices",
				"ALTER PUBLICATION shop ADD TABLE shop.prices"),
			want: []string{"database.publication"},
			fix:  `ALTER PUBLICATION "shop" ADD TABLE shop.prices;`,
		},
		"a replica identity without the product": {
			only:     "database",
			settings: shop(),
			cause: r.sql("ALTER TABLE shop.prices REPLICA IDENTITY DEFAULT",
				"ALTER TABLE shop.prices REPLICA IDENTITY FULL"),
			want: []string{"database.replica_identity"},
			fix:  "ALTER TABLE shop.prices REPLICA IDENTITY FULL;",
		},
		"row level security": {
			only:     "database",
			settings: with(shop(), map[string]any{"database_url": r.as("reader", "r")}),
			cause: r.sql("ALTER TABLE shop.products ENABLE ROW LEVEL SECURITY",
				"ALTER TABLE shop.products DISABLE ROW LEVEL SECURITY"),
			want: []string{"database.row_security"},
			fix:  `ALTER ROLE "reader" BYPASSRLS;`,
		},
		"a watched view": {
			only:     "database",
			settings: shop("table: shop.products", "table: shop.shown"),
			want:     []string{"database.watched_table"},
		},
		"no built-in tables": {
			only:     "database",
			settings: map[string]any{"database_url": r.newDatabase("nothing", "")},
			want:     []string{"database.tables"},
			fix:      "driftless migrate",
		},
		"a role that cannot write Stripe's ids": {
			only:     "database",
			settings: with(shop(), map[string]any{"database_url": r.as("reader", "r"), "stripe_ids": true}),
			want:     []string{"database.stripe_ids"},
		},
	}
}

func (r *doctorRig) mappingFaults() map[string]fault {
	check := func(query string) map[string]any {
		settings := shop()
		settings["catalog"].(map[string]any)["checks"] = []map[string]any{
			{"name": "euro", "query": query, "message": "no price in EUR"},
		}
		return settings
	}
	writes := shop()
	writes["catalog"].(map[string]any)["write_back"] = map[string]any{
		"product": "UPDATE shop.products SET title = @name WHERE id = @id",
	}
	return map[string]fault{
		"a column that is missing": {
			only: "mapping", settings: shop("name FROM", "title AS name FROM"), want: []string{"mapping.queries"},
		},
		"a watched table that does not exist": {
			only: "mapping", settings: shop("table: shop.prices", "table: shop.price"), want: []string{"mapping.watch"},
		},
		"a watched column without ids": {
			only:     "mapping",
			settings: shop("product_id: product}", "product_id: id}"),
			want:     []string{"mapping.watch_values"},
		},
		"a table that is not watched": {
			only:     "mapping",
			settings: shop(", {table: shop.prices, product_id: product}", ""),
			want:     []string{"mapping.unwatched"},
		},
		"ids that are not unique": {
			only:     "mapping",
			settings: shop("FROM shop.products", "FROM shop.products UNION ALL SELECT 'mug', 'Other'"),
			want:     []string{"mapping.row_ids", "mapping.products"},
		},
		"a product that Stripe refuses": {
			only:     "mapping",
			settings: shop(),
			cause: r.sql("UPDATE shop.prices SET currency = 'euro!' WHERE id = 'mug-eur'",
				"UPDATE shop.prices SET currency = 'eur' WHERE id = 'mug-eur'"),
			want: []string{"mapping.products"},
		},
		"a check that fails": {
			only: "mapping", settings: check("SELECT id FROM shop.nothing"), want: []string{"mapping.check_fails"},
		},
		"a check that finds products": {
			only: "mapping", settings: check("SELECT id FROM shop.products"), want: []string{"mapping.violations"},
		},
		"a statement that cannot write": {
			only: "mapping", settings: writes, want: []string{"mapping.write_back"},
		},
	}
}

func (r *doctorRig) ledgerFaults() map[string]fault {
	readOnly := r.database + "&default_transaction_read_only=on"
	return map[string]fault{
		"no ledger": {
			only:     "ledger",
			settings: map[string]any{"ledger_database_url": "postgres://a:b@" + closedPort + "/x"},
			want:     []string{doctor.LedgerReachable},
		},
		"a ledger that is not made": {
			only:     "ledger",
			settings: map[string]any{"ledger_database_url": r.newDatabase("unmade", "")},
			want:     []string{doctor.LedgerSchema},
			fix:      "driftless migrate",
		},
		"a ledger in Latin-1": {
			only: "ledger",
			settings: map[string]any{
				"ledger_database_url": r.newDatabase("latin", "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"),
			},
			want: []string{doctor.LedgerSchema, doctor.LedgerEncoding},
		},
		"a ledger that is read-only": {
			only:     "ledger",
			settings: map[string]any{"ledger_database_url": readOnly},
			want:     []string{doctor.LedgerStandby},
		},
		"a role without rights on the ledger": {
			only:     "ledger.rights",
			settings: map[string]any{"ledger_database_url": r.as("plain", "p")},
			want:     []string{doctor.LedgerRights},
			fix:      "driftless migrate --ledger-role plain",
		},
	}
}

// holdSlot begins to create a slot while a transaction is open, until end.
func (r *doctorRig) holdSlot(name string) (end func()) {
	var conns [2]*pgx.Conn
	for i := range conns {
		var err error
		conns[i], err = pgx.Connect(r.t.Context(), r.database)
		require.NoError(r.t, err)
	}
	writer, creator := conns[0], conns[1]
	_, err := writer.Exec(r.t.Context(), "BEGIN; SELECT txid_current()")
	require.NoError(r.t, err)
	created := make(chan error, 1)
	go func() {
		_, err := creator.Exec(r.t.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", name)
		created <- err
	}()
	require.Eventually(r.t, func() bool {
		var begun bool
		err := writer.QueryRow(r.t.Context(),
			"SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)", name).Scan(&begun)
		return err == nil && begun
	}, scriptTimeout, 10*time.Millisecond)
	return func() {
		require.NoError(r.t, writer.Close(r.t.Context()))
		require.NoError(r.t, <-created)
		require.NoError(r.t, creator.Close(r.t.Context()))
		require.NoError(r.t, r.exec("SELECT pg_drop_replication_slot('"+name+"')"))
	}
}
