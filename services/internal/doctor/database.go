package doctor

import "fmt"

// Limits of the log that Postgres keeps for slots, in bytes.
const (
	// maxOwnLog is how much log may wait for ingestion.
	maxOwnLog = 1 << 30
	// maxForeignLog is how much log a slot that nobody reads may hold: a segment. A reader that restarts holds less.
	maxForeignLog = 16 << 20
)

// minPostgres is the oldest version that Driftless is tested with.
const minPostgres = 15

// DatabaseFacts is the state of the catalog's database server.
type DatabaseFacts struct {
	// Version is the major version, and VersionText the whole one.
	Version     int
	VersionText string
	Encoding    string
	IsStandby   bool
	// MaxSlots and MaxSenders are the server's limits. Senders are the WAL senders in use.
	MaxSlots, MaxSenders, Senders int
	// KeepSize is max_slot_wal_keep_size, -1 for no limit.
	KeepSize string
	Database string
	// OwnSlot is the name of ingestion's slot.
	OwnSlot string
	Slots   []SlotFacts
}

// SlotFacts is the state of a replication slot.
type SlotFacts struct {
	Name, Plugin, Database string
	IsActive               bool
	// Status is wal_status: reserved, extended, unreserved or lost.
	Status string
	// Held is the size of the log that Postgres keeps for it, in bytes.
	Held int64
	// IsUnfinished reports whether Postgres still creates it: it has no position yet.
	IsUnfinished bool
}

// own returns ingestion's slot, nil if there is none.
func (f *DatabaseFacts) own() *SlotFacts {
	for i := range f.Slots {
		if f.Slots[i].Name == f.OwnSlot {
			return &f.Slots[i]
		}
	}
	return nil
}

// IsUnread reports whether ingestion's slot exists and no process reads it.
func (f *DatabaseFacts) IsUnread() bool {
	own := f.own()
	return own != nil && !own.IsActive && !f.isForeign(own)
}

// IsUnfinished reports whether Postgres still creates ingestion's slot.
func (f *DatabaseFacts) IsUnfinished() bool {
	own := f.own()
	return own != nil && own.IsUnfinished && !f.isForeign(own)
}

// isForeign reports whether the slot with ingestion's name belongs to another use.
func (f *DatabaseFacts) isForeign(own *SlotFacts) bool {
	return own.Database != f.Database || own.Plugin != "pgoutput"
}

// JudgeDatabase records what is wrong with the server and its slots.
func JudgeDatabase(r *Recorder, f DatabaseFacts) {
	if f.Version < minPostgres {
		r.Foundf(DatabaseVersion, "", "Postgres is version %s, and Driftless needs %d", f.VersionText, minPostgres)
	}
	r.Sawf(DatabaseVersion, "%s", f.VersionText)
	if f.Encoding == "SQL_ASCII" {
		r.Foundf(DatabaseEncoding,
			fmt.Sprintf("CREATE DATABASE %s ENCODING 'UTF8' TEMPLATE template0; and move the tables with pg_dump",
				quoteIdent(f.Database+"_utf8")),
			"database %s has the encoding SQL_ASCII", f.Database)
	}
	r.Sawf(DatabaseEncoding, "%s", f.Encoding)
	if f.IsStandby {
		r.Foundf(DatabaseStandby, "", "DATABASE_URL leads to a standby, which is in recovery")
	}
	judgeOwnSlot(r, f)
	own := f.own()
	if own == nil && len(f.Slots) >= f.MaxSlots {
		r.Foundf(DatabaseSlotsFull,
			fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d; then restart Postgres, or drop an unused slot",
				f.MaxSlots+4),
			"all %d replication slots of the server (max_replication_slots) are in use, and slot %s does not exist",
			f.MaxSlots, f.OwnSlot)
	}
	r.Sawf(DatabaseSlotsFull, "%d of %d in use", len(f.Slots), f.MaxSlots)
	if (own == nil || !own.IsActive) && f.Senders >= f.MaxSenders {
		r.Foundf(DatabaseSendersFull,
			fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d; then restart Postgres", f.MaxSenders+4),
			"all %d WAL senders of the server (max_wal_senders) are in use, and ingestion has none", f.MaxSenders)
	}
	r.Sawf(DatabaseSendersFull, "%d of %d in use", f.Senders, f.MaxSenders)
	for _, s := range f.Slots {
		if s.Name != f.OwnSlot && !s.IsActive && s.Held > maxForeignLog {
			r.Foundf(DatabaseForeignSlot,
				fmt.Sprintf("If nobody needs it: SELECT pg_drop_replication_slot(%s);", quoteText(s.Name)),
				"nobody reads replication slot %s, for which Postgres keeps %s of its log", s.Name, size(s.Held))
		}
	}
}

// openTransactions shows what the creation of a slot waits for: transactions of any database that have written, and
// prepared ones.
const openTransactions = "End the oldest transactions: SELECT pid::text, datname, usename, xact_start, query " +
	"FROM pg_stat_activity WHERE backend_xid IS NOT NULL UNION ALL SELECT gid, database, owner, prepared, 'PREPARED' " +
	"FROM pg_prepared_xacts ORDER BY 4;"

func judgeOwnSlot(r *Recorder, f DatabaseFacts) {
	own := f.own()
	switch {
	case own == nil:
		r.Foundf(DatabaseSlot, "", "replication slot %s does not exist", f.OwnSlot)
		r.NotLooked("there is no slot", DatabaseSlotUnread, DatabaseSlotLost, DatabaseSlotBehind)
		return
	case f.isForeign(own):
		r.NotLooked("slot "+f.OwnSlot+" belongs to another use (see database.replication)", DatabaseSlot,
			DatabaseSlotUnread, DatabaseSlotLost, DatabaseSlotBehind)
		return
	case own.IsUnfinished:
		r.Foundf(DatabaseSlot, openTransactions,
			"replication slot %s is still being created: Postgres waits for the end of open transactions", own.Name)
		r.NotLooked("slot "+own.Name+" is still being created", DatabaseSlotUnread, DatabaseSlotLost,
			DatabaseSlotBehind)
		return
	case own.Status == "lost" || own.Status == "unreserved":
		r.Foundf(DatabaseSlotLost, "",
			"replication slot %s has wal_status %s (max_slot_wal_keep_size is %s)", own.Name, own.Status, f.KeepSize)
	}
	r.Sawf(DatabaseSlotLost, "max_slot_wal_keep_size is %s", f.KeepSize)
	if !own.IsActive {
		r.Foundf(DatabaseSlotUnread, "", "no process reads replication slot %s, for which Postgres keeps %s of its log",
			own.Name, size(own.Held))
	}
	if own.Held > maxOwnLog {
		r.Foundf(DatabaseSlotBehind, "",
			"Postgres keeps %s of its log for replication slot %s (max_slot_wal_keep_size is %s)", size(own.Held),
			own.Name, f.KeepSize)
	}
	r.Sawf(DatabaseSlotBehind, "%s", size(own.Held))
}

// size returns a number of bytes for a person: "61.0 MiB".
func size(bytes int64) string {
	value, unit := float64(max(bytes, 0)), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%.0f B", value)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
