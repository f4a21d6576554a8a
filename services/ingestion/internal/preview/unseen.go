package preview

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// locked is a relation that the transaction has locked.
type locked struct {
	Name, Kind, Mode string
	OID              uint32
}

const (
	kindSequence     = "S"
	kindForeignTable = "f"
)

func (t *transaction) allLocks(ctx context.Context) ([]locked, error) {
	rows, err := t.conn.Query(ctx, `SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind::text AS kind,
			l.mode, c.oid
		FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted
			AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
		ORDER BY 1, 3`)
	if err != nil {
		return nil, fmt.Errorf("list the locks: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[locked])
	if err != nil {
		return nil, fmt.Errorf("list the locks: %w", err)
	}
	return out, nil
}

// blocking are the modes that keep others from reading or writing a table
// (https://www.postgresql.org/docs/current/explicit-locking.html), the strongest first.
var blocking = []Lock{
	{Mode: "AccessExclusiveLock", Blocks: "reads and writes"},
	{Mode: "ExclusiveLock", Blocks: "writes"},
	{Mode: "ShareRowExclusiveLock", Blocks: "writes"},
	{Mode: "ShareLock", Blocks: "writes"},
}

// locks returns the tables that others could not use meanwhile, each with its strongest lock.
func (t *transaction) locks(ctx context.Context) (out []Lock, err error) {
	all, err := t.allLocks(ctx)
	if err != nil {
		return nil, err
	}
	done := map[uint32]bool{}
	for _, mode := range blocking {
		for _, l := range all {
			// Nobody else can see a table that the statements have created.
			if l.Mode == mode.Mode && slices.Contains(t.tables, l.OID) && !done[l.OID] {
				done[l.OID] = true
				out = append(out, Lock{Table: l.Name, Mode: l.Mode, Blocks: mode.Blocks})
			}
		}
	}
	slices.SortFunc(out, func(a, b Lock) int { return strings.Compare(a.Table, b.Table) })
	return out, nil
}

// outside are functions and words with effects that a rollback does not undo, or that need a commit.
var outside = []struct {
	words  []string
	effect string
}{
	{
		[]string{"dblink", "dblink_exec", "dblink_connect", "dblink_send_query", "dblink_open"},
		"%s acts on another connection, and what it did there is not rolled back",
	},
	{[]string{"notify", "pg_notify"}, "%s takes effect at the commit, so nobody was notified"},
	{[]string{"program"}, "COPY ... PROGRAM runs a program on the server, and what it did is not undone"},
	{
		[]string{"pg_logical_emit_message"},
		"%s writes to the write-ahead log at once, unless the message is transactional",
	},
	{
		[]string{"pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock"},
		"%s was held until the end of the preview",
	},
	{[]string{
		"pg_create_logical_replication_slot", "pg_create_physical_replication_slot", "pg_drop_replication_slot",
		"pg_replication_slot_advance", "pg_replication_origin_create", "pg_logical_slot_get_changes",
	}, "%s acts on replication at once, and is not rolled back"},
	{[]string{
		"pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf", "pg_rotate_logfile", "pg_switch_wal",
		"pg_promote", "pg_file_write", "pg_stat_reset", "pg_stat_statements_reset",
	}, "%s acts on the server at once, and is not rolled back"},
	{[]string{"lo_export"}, "%s writes a file on the server, and the file stays"},
	{
		[]string{"http_get", "http_post", "http_put", "http_delete", "net.http_post"},
		"%s calls another server, and that is not undone",
	},
}

// general is always said.
const general = "what triggers, functions in C or in untrusted languages, and programs that react to the commit do " +
	"outside this database"

// unseen returns the effects that the preview could not see, or that are not undone.
func (t *transaction) unseen(ctx context.Context) (out []string, err error) {
	words := map[string]bool{}
	for _, s := range t.cfg.Statements {
		for _, w := range s.Words {
			words[strings.ToLower(w)] = true
		}
		if writesFile(s.Words) {
			out = append(out, "COPY ... TO writes a file on the server, and the file stays")
		}
	}
	for _, o := range outside {
		for _, w := range o.words {
			if !words[w] {
				continue
			}
			if strings.Contains(o.effect, "%s") {
				out = append(out, fmt.Sprintf(o.effect, w))
				continue
			}
			out = append(out, o.effect)
		}
	}
	all, err := t.allLocks(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		switch {
		// nextval and setval lock the sequence until the transaction ends.
		case l.Kind == kindSequence && l.Mode == "RowExclusiveLock":
			out = append(out, "sequence "+l.Name+" does not get back the numbers that were taken from it")
		case l.Kind == kindForeignTable && l.Mode == "RowExclusiveLock":
			out = append(out, "foreign table "+l.Name+" is on another server, which may not roll back")
		}
	}
	untrusted, err := t.untrusted(ctx, words)
	if err != nil {
		return nil, err
	}
	for _, f := range untrusted {
		out = append(out, "function "+f+" is in an untrusted language, and may act outside the database")
	}
	slices.Sort(out)
	return append(slices.Compact(out), general), nil
}

// writesFile reports whether a statement, or the body of a function in it, has COPY ... TO a file. The words have no
// strings, so TO is the last of the statement or stands before a word of its options.
func writesFile(words []string) bool {
	from := slices.Index(words, "copy")
	return from >= 0 && slices.Contains(words[from:], "to") && !slices.Contains(words[from:], "program")
}

// untrusted returns the functions in untrusted languages that the statements name, or that are triggers of the tables
// that they write.
func (t *transaction) untrusted(ctx context.Context, words map[string]bool) ([]string, error) {
	var names []string
	for w := range words {
		names = append(names, w)
	}
	rows, err := t.conn.Query(ctx, `SELECT DISTINCT p.oid::regproc::text FROM pg_proc p
		JOIN pg_language l ON l.oid = p.prolang
		WHERE NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c', 'sql') AND (lower(p.proname) = ANY($1)
			OR p.oid IN (SELECT g.tgfoid FROM pg_trigger g JOIN pg_locks k ON k.relation = g.tgrelid
				WHERE k.pid = pg_backend_pid() AND k.mode <> 'AccessShareLock' AND NOT g.tgisinternal))
		ORDER BY 1`, names)
	if err != nil {
		return nil, fmt.Errorf("list functions in untrusted languages: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list functions in untrusted languages: %w", err)
	}
	return out, nil
}
