package doctor

// Ids of the checks of the catalog database and the ledger. Package ingestion finds the other checks of database and
// mapping.
const (
	DatabaseReachable   = "database.reachable"
	DatabaseVersion     = "database.version"
	DatabaseEncoding    = "database.encoding"
	DatabaseStandby     = "database.standby"
	DatabaseSlot        = "database.slot"
	DatabaseSlotUnread  = "database.slot_unread"
	DatabaseSlotLost    = "database.slot_lost"
	DatabaseSlotBehind  = "database.slot_behind"
	DatabaseSlotsFull   = "database.slots_full"
	DatabaseSendersFull = "database.senders_full"
	DatabaseForeignSlot = "database.foreign_slot"

	LedgerReachable = "ledger.reachable"
	LedgerStandby   = "ledger.standby"
	LedgerEncoding  = "ledger.encoding"
	LedgerSchema    = "ledger.schema"
	LedgerRights    = "ledger.rights"
)

var databaseChecks = []Check{
	{
		DatabaseReachable, Error,
		"the catalog database does not answer, or refuses the role",
		"Nothing is captured, and no product can be read.",
		"Start the database, or correct DATABASE_URL.",
	},
	{
		DatabaseVersion, Warning,
		"the version of Postgres is older than 15",
		"Driftless is tested with Postgres 15 to 18 only. Row filters of publications came with 15.",
		"Upgrade Postgres.",
	},
	{
		DatabaseEncoding, Error,
		"the catalog database has the encoding SQL_ASCII",
		"Postgres does not know which characters the bytes encode, and Stripe takes only UTF-8. Ingestion does not start.",
		"Move the tables to a database with the encoding UTF8.",
	},
	{
		DatabaseStandby, Error,
		"DATABASE_URL leads to a standby",
		"A standby has no publication of its own and accepts no write. Ingestion must read the primary.",
		"Set DATABASE_URL to the primary.",
	},
	{
		"database.wal_level", Error,
		"wal_level is not logical",
		"The log does not have the changes of rows, so nothing can be captured.",
		"ALTER SYSTEM SET wal_level = logical; then restart Postgres.",
	},
	{
		"database.role", Error,
		"the role may not replicate",
		"Ingestion cannot read the log.",
		"ALTER ROLE ... REPLICATION;",
	},
	{
		"database.replication", Error,
		"a replication connection is refused, or the slot belongs to another use",
		"Ingestion cannot read the log. A connection pooler such as PgBouncer refuses such connections.",
		"Set DATABASE_URL to Postgres itself, or choose another name with DRIFTLESS_SLOT.",
	},
	{
		DatabaseSlotsFull, Error,
		"no replication slot is left for ingestion",
		"Ingestion cannot create its slot, so it does not start to capture.",
		"Raise max_replication_slots and restart Postgres, or drop a slot that nobody uses.",
	},
	{
		DatabaseSendersFull, Error,
		"no WAL sender is left for ingestion",
		"Ingestion cannot connect to read the log.",
		"Raise max_wal_senders and restart Postgres.",
	},
	{
		DatabaseSlot, Error,
		"the replication slot does not exist, or is still being created",
		"No change is captured. Changes that are made now are found only by a comparison of the whole catalog.",
		"Start ingestion: it creates the slot, and compares the tables. The creation waits for open transactions to end.",
	},
	{
		DatabaseSlotUnread, Error,
		"no process reads the replication slot",
		"Nothing is captured, and Postgres keeps its log until the disk is full or max_slot_wal_keep_size is reached.",
		"Start ingestion.",
	},
	{
		DatabaseSlotLost, Error,
		"the slot has lost its log, or is about to",
		"Changes in the lost part of the log are found only by a comparison of the whole catalog.",
		"Raise max_slot_wal_keep_size, and see why ingestion is behind.",
	},
	{
		DatabaseSlotBehind, Warning,
		"Postgres keeps more than 1 GiB of log for the slot",
		"Capture is far behind, so Stripe is, too. The log fills the disk.",
		"See what ingestion waits for: driftless status, and its log.",
	},
	{
		DatabaseForeignSlot, Warning,
		"a slot that nobody reads holds more than 16 MiB of log",
		"Postgres keeps its log for this slot until the disk is full or max_slot_wal_keep_size is reached. A full disk stops the database.",
		"If nobody needs it: SELECT pg_drop_replication_slot('...');",
	},
	{
		"database.tables", Error,
		"the built-in tables do not exist or are not up to date, or the role may not use them",
		"Ingestion does not start.",
		"Run driftless migrate of this version.",
	},
	{
		"database.watched_table", Error,
		"a table under catalog.watch has no changes in the log: it is a view, or unlogged, or a column is generated",
		"Changes of the table would never reach Stripe. Ingestion does not start.",
		"Watch the tables that the view reads, or make the table logged.",
	},
	{
		"database.row_security", Error,
		"row level security may hide rows from the role",
		"A hidden product counts as deleted, and would be archived in Stripe. Ingestion does not start.",
		"ALTER ROLE ... BYPASSRLS; or set catalog.row_security to allow.",
	},
	{
		"database.replica_identity", Error,
		"a watched table has no usable replica identity",
		"The log does not say which product a deleted or moved row concerned, or Postgres refuses the application's UPDATE.",
		"ALTER TABLE ... REPLICA IDENTITY FULL;",
	},
	{
		"database.publication", Error,
		"the publication does not exist, or does not have every change of the watched tables",
		"Changes of these tables are not captured.",
		"Run the statements of the finding as the owner of the tables.",
	},
	{
		"database.stripe_ids", Error,
		"the table driftless.stripe_ids, or a column of write_ids, cannot be written",
		"The application does not get Stripe's ids.",
		"Run driftless migrate, or grant the rights that the finding names.",
	},
}

var mappingChecks = []Check{
	{
		"mapping.queries", Error,
		"Postgres refuses a query of the mapping, or a column is missing or has a wrong type",
		"No product can be read. Ingestion does not start.",
		"Correct catalog.products or catalog.prices, or grant SELECT on the tables.",
	},
	{
		"mapping.watch", Error,
		"an entry of catalog.watch names no table, or its expression or query fails",
		"Changes of the table would not reach Stripe. Ingestion does not start.",
		"Correct the entry of catalog.watch.",
	},
	{
		"mapping.watch_values", Error,
		"a watched column has no id of a product",
		"A change of the table would concern no product, so it would not reach Stripe.",
		"Set product_id to an expression that returns ids of the products query.",
	},
	{
		"mapping.unwatched", Warning,
		"the queries read something whose changes are not captured",
		"A change there reaches Stripe only with the next comparison (compare_every).",
		"Add the table to catalog.watch.",
	},
	{
		"mapping.row_ids", Warning,
		"the queries return rows without an id, or an id several times",
		"Rows without an id are left out. A product or price whose id is not unique becomes a dead letter.",
		"Correct the query: a join with several rows for each product is the usual cause.",
	},
	{
		"mapping.products", Warning,
		"products among the first 1,000 are not valid or cannot be read",
		"They become dead letters: Stripe would refuse them.",
		"Correct the rows, or the query that makes the product of them.",
	},
	{
		"mapping.check_fails", Warning,
		"a check of the mapping fails, or returns ids that are no products",
		"The check does not hold back what it should.",
		"Correct the query of the check.",
	},
	{
		"mapping.violations", Warning,
		"a check of the mapping finds products among the first 1,000",
		"Their changes do not reach Stripe until the rows are corrected.",
		"Correct the rows, or the check.",
	},
	{
		"mapping.write_back", Error,
		"a statement of catalog.write_back fails, or cannot hold Stripe's ids",
		"What the policy wants to take over from Stripe cannot be written.",
		"Correct the statement, or grant the rights that the finding names.",
	},
}

var ledgerChecks = []Check{
	{
		LedgerReachable, Error,
		"the database of the ledger does not answer, or refuses the role",
		"Reconciliation is not ready: no drift is found, no history is kept, and driftless has no answers.",
		"Start the database, or correct LEDGER_DATABASE_URL.",
	},
	{
		LedgerStandby, Error,
		"the ledger is on a standby, or its database is read-only",
		"Reconciliation cannot write the ledger.",
		"Set LEDGER_DATABASE_URL to the primary.",
	},
	{
		LedgerEncoding, Warning,
		"the database of the ledger does not have the encoding UTF8",
		"Texts from Stripe with other characters cannot be stored, and are shown with marks in their place.",
		"Set LEDGER_DATABASE_URL to a database with the encoding UTF8.",
	},
	{
		LedgerSchema, Error,
		"the tables of the ledger do not exist or are not up to date",
		"Reconciliation does not work with them.",
		"Run driftless migrate of this version, or start reconciliation with a role that may create them.",
	},
	{
		LedgerRights, Error,
		"the role lacks rights on the tables of the ledger",
		"Reconciliation fails when it writes.",
		"Run driftless migrate --ledger-role ROLE.",
	},
}
