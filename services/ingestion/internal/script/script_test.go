package script

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse_SplitsAsPostgresDoes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"SELECT 1; SELECT 2":                         {"SELECT 1", "SELECT 2"},
		"SELECT ';' ; ; SELECT 'it''s;'":             {"SELECT ';'", "SELECT 'it''s;'"},
		`SELECT E'\';' ; SELECT '\'`:                 {`SELECT E'\';'`, `SELECT '\'`},
		`SELECT "a;""b"; SELECT 1`:                   {`SELECT "a;""b"`, "SELECT 1"},
		"SELECT 1 -- ; COMMIT\n; SELECT 2":           {"SELECT 1", "SELECT 2"},
		"/* ; /* ; */ COMMIT; */ SELECT 1":           {"SELECT 1"},
		"DO $$ BEGIN PERFORM 1; END $$; SELECT 1":    {"DO $$ BEGIN PERFORM 1; END $$", "SELECT 1"},
		"SELECT $a$;$$;$b$;$a$; SELECT a$b$; SELECT": {"SELECT $a$;$$;$b$;$a$", "SELECT a$b$", "SELECT"},
		"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3": {
			"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3",
		},
		"CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END AS a; END; SELECT 1": {
			"CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END AS a; END",
			"SELECT 1",
		},
		"\ufeffSELECT 1e5;;\n":       {"SELECT 1e5"},
		"SELECT U&'d\\0061;', B'01'": {"SELECT U&'d\\0061;', B'01'"},
	} {
		got, err := Parse("f.sql", in)
		require.NoError(t, err, in)
		var texts []string
		for _, s := range got {
			texts = append(texts, s.Text)
		}
		require.Equal(t, want, texts, in)
	}
}

func TestParse_RefusesWhatCannotBePreviewed(t *testing.T) {
	t.Parallel()
	for _, refused := range [][2]string{
		{"UPDATE t SET a = 1;\n\ncommit", "f.sql:3: COMMIT ends the transaction"},
		{"COMMIT AND CHAIN", "COMMIT ends the transaction"},
		{"/* x */ End", "END ends the transaction"},
		{"ABORT", "ABORT ends"},
		{"ROLLBACK", "ROLLBACK ends"},
		{"ROLLBACK AND CHAIN", "ROLLBACK ends"},
		{"ROLLBACK PREPARED 'x'", "ROLLBACK ends"},
		{"PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION ends"},
		{"BEGIN", "BEGIN begins a transaction"},
		{"START TRANSACTION READ WRITE", "START TRANSACTION begins"},
		{"\\i other.sql", `f.sql:1: a command of psql (\i)`},
		{"COPY t FROM STDIN;\n1\n\\.", "psql"},
		{"COPY t FROM stdin", "COPY STDIN copies to or from the client"},
		{"COPY t TO STDOUT", "COPY STDOUT copies"},
		{"VACUUM t", "VACUUM cannot run inside a transaction"},
		{"CREATE UNIQUE INDEX CONCURRENTLY i ON t", "CREATE UNIQUE INDEX CONCURRENTLY cannot run"},
		{"ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "ALTER TABLE CONCURRENTLY"},
		{"SET standard_conforming_strings = off", "changes how the next statements are read"},
		{"SELECT set_config('Standard_Conforming_Strings', 'off', false)", "changes how"},
		{"SAVEPOINT a; SAVEPOINT", "SAVEPOINT needs the name of a savepoint"},
		{"ROLLBACK TO a AND CHAIN", "needs the name of a savepoint, and nothing else"},
		{"SELECT 1;\nSELECT 'a", "f.sql:2: what begins here with ' does not end"},
		{"SELECT 1;\n/* a", "f.sql:2: a comment begins here and does not end"},
		{"DO $x$ BEGIN END $$", "f.sql:1: what begins here with $ does not end"},
		{"SELECT \x00", "zero byte"},
		{"SELECT \xff", "not UTF-8"},
		{" -- nothing\n;", "f.sql: has no statement"},
		{"", "has no statement"},
		{strings.Repeat(" ", maxSize+1), "has more than 64 MiB"},
		{"SET TRANSACTION READ ONLY", "SET TRANSACTION changes the transaction"},
		{"ALTER SYSTEM SET wal_level = ''", "ALTER SYSTEM cannot run"},
	} {
		in, want := refused[0], refused[1]
		_, err := Parse("f.sql", in)
		require.ErrorContains(t, err, want, "%.60s", in)
	}
}

func TestParse_RecognizesSavepoints(t *testing.T) {
	t.Parallel()
	got, err := Parse("f.sql",
		`SAVEPOINT Point; ROLLBACK WORK TO "A ""b"; RELEASE point; ROLLBACK TO SAVEPOINT point; release savepoint x`)
	require.NoError(t, err)
	var points []Savepoint
	for _, s := range got {
		points = append(points, s.Savepoint)
	}
	require.Equal(t, []Savepoint{
		{"SAVEPOINT", "point"},
		{"ROLLBACK TO SAVEPOINT", `A "b`},
		{"RELEASE SAVEPOINT", "point"},
		{"ROLLBACK TO SAVEPOINT", "point"},
		{"RELEASE SAVEPOINT", "x"},
	}, points)
}

func TestParse_KeepsWordsOfBodies(t *testing.T) {
	t.Parallel()
	got, err := Parse("f.sql", `DO $$ BEGIN PERFORM Dblink_Exec('x'), "NextVal"(1); END $$`)
	require.NoError(t, err)
	require.Subset(t, got[0].Words, []string{"do", "begin", "perform", "dblink_exec", "NextVal", "end"})
}

// The statements are the script without spaces, comments and the semicolons between them.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"SELECT 1; SELECT ';'", "DO $$ ; $$", "/* /* */ */ SELECT E'\\''",
		`CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END`,
		"SAVEPOINT a; ROLLBACK TO a", "COMMIT", "\\q", "a$b$;c$b$", "SELECT $1, 1.e5, .5, U&\"a\"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		statements, err := Parse("f.sql", text)
		if err != nil {
			return
		}
		at := 0
		rest := strings.TrimPrefix(text, "\ufeff")
		for _, s := range statements {
			i := strings.Index(rest[at:], s.Text)
			require.GreaterOrEqual(t, i, 0, "a statement is a part of the script, in order")
			at += i + len(s.Text)
			require.NotEmpty(t, s.Text)
			again, err := Parse("f.sql", s.Text)
			require.NoError(t, err)
			require.Len(t, again, 1, "a statement is one statement")
			require.Equal(t, s.Text, again[0].Text)
			require.Equal(t, s.Savepoint, again[0].Savepoint)
			first := strings.ToLower(strings.Fields(s.Text)[0])
			require.NotContains(t, []string{"commit", "end", "abort", "begin", "vacuum"}, first)
		}
	})
}
