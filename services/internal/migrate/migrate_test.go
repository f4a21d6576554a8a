package migrate_test

import (
	"context"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/migrate"
)

var one = fstest.MapFS{
	"migrations/00001_things.sql": {
		Data: []byte("-- +goose Up\nCREATE TABLE things.thing (id bigint GENERATED ALWAYS AS IDENTITY, name text);\n"),
	},
}

func TestUp_CheckOnlyReportsMissingMigrations(t *testing.T) {
	database := localtest.Postgres(t)
	owner := localtest.Pool(t, database)
	check := migrate.Config{URL: database, Schema: "things", Table: "migrations", Files: one, CheckOnly: true}
	require.ErrorContains(t, migrate.Up(t.Context(), check),
		"schema things is at version 0, and this program needs 1: run `driftless migrate`")
	var exists bool
	require.NoError(t, owner.QueryRow(t.Context(), "SELECT to_regnamespace('things') IS NOT NULL").Scan(&exists))
	require.False(t, exists, "a check makes nothing")

	var role string
	require.NoError(t, owner.QueryRow(t.Context(), "SELECT 'small_' || md5(current_database())").Scan(&role))
	_, err := owner.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN PASSWORD 'small'")
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := owner.Exec(ctx, "DROP OWNED BY "+role)
		require.NoError(t, err)
		_, err = owner.Exec(ctx, "DROP ROLE "+role)
		require.NoError(t, err)
	})
	require.NoError(t,
		migrate.Up(t.Context(), migrate.Config{URL: database, Schema: "things", Table: "migrations", Files: one}))
	address, err := url.Parse(database)
	require.NoError(t, err)
	address.User = url.UserPassword(role, "small")
	small := address.String()
	check.URL = small
	require.ErrorContains(t, migrate.Up(t.Context(), check), "may not read things.migrations")

	require.NoError(t,
		migrate.Up(t.Context(), migrate.Config{
			URL:     database,
			Schema:  "things",
			Table:   "migrations",
			Files:   one,
			GrantTo: role,
		}))
	require.NoError(t, migrate.Up(t.Context(), check))
	conn, err := pgx.Connect(t.Context(), small)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), "INSERT INTO things.thing (name) VALUES ('one')")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TABLE things.other ()")
	require.ErrorContains(t, err, "permission denied")

	// A table that a later version adds is granted too, and an older program works with it.
	two := fstest.MapFS{
		"migrations/00001_things.sql": one["migrations/00001_things.sql"],
		"migrations/00002_more.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE things.more (id int);\n")},
	}
	check.Files = two
	require.ErrorContains(t, migrate.Up(t.Context(), check), "is at version 1, and this program needs 2")
	require.NoError(t,
		migrate.Up(t.Context(), migrate.Config{URL: database, Schema: "things", Table: "migrations", Files: two}))
	require.NoError(t, migrate.Up(t.Context(), check))
	check.Files = one
	require.NoError(t, migrate.Up(t.Context(), check))
	_, err = conn.Exec(t.Context(), "INSERT INTO things.more VALUES (1)")
	require.NoError(t, err)
}

// breaking are statements that would break the previous version.
var breaking = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"drops a table or a column", regexp.MustCompile(`(?i)\bDROP\s+(TABLE|COLUMN|SCHEMA|VIEW|TYPE|FUNCTION)\b`)},
	{
		"drops a column",
		regexp.MustCompile(`(?i)\bALTER\s+TABLE\b[^;]*\bDROP\s+(?:COLUMN\s+)?(?:IF\s+EXISTS\s+)?(?:"|[a-z_])+[^;]*`),
	},
	{"renames", regexp.MustCompile(`(?i)\bRENAME\b`)},
	{"changes a column's type", regexp.MustCompile(`(?i)\bALTER\s+(COLUMN\s+)?\S+\s+(SET\s+DATA\s+)?TYPE\b`)},
	{"makes a column obligatory", regexp.MustCompile(`(?i)\bSET\s+NOT\s+NULL\b`)},
	{"truncates", regexp.MustCompile(`(?i)\bTRUNCATE\b`)},
}

// droppedWithoutHarm are the things that an ALTER TABLE may drop: no program reads or writes them by name.
var droppedWithoutHarm = regexp.MustCompile(`(?i)\bDROP\s+(CONSTRAINT|NOT\s+NULL|DEFAULT|EXPRESSION|IDENTITY)\b`)

var (
	addedColumn = regexp.MustCompile(
		`(?i)\bADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?\S+\s+[^,;]*\bNOT\s+NULL\b[^,;]*`)
	comments = regexp.MustCompile(`(?m)--.*$`)
)

// faults returns why the previous version could not work with the tables after a migration.
func faults(sql string) []string {
	if i := strings.Index(sql, "+goose Down"); i >= 0 {
		sql = sql[:i]
	}
	sql = comments.ReplaceAllString(sql, "")
	var out []string
	for _, b := range breaking {
		for _, found := range b.pattern.FindAllString(sql, -1) {
			if !droppedWithoutHarm.MatchString(found) {
				out = append(out, b.what+": "+found)
			}
		}
	}
	for _, found := range addedColumn.FindAllString(sql, -1) {
		if !regexp.MustCompile(`(?i)\b(DEFAULT|GENERATED)\b`).MatchString(found) {
			out = append(out, "adds a column that the version before does not fill: "+found)
		}
	}
	return out
}

// TestMigrations_AreCompatibleWithThePreviousVersion: during a rolling upgrade both versions work with the same tables.
func TestMigrations_AreCompatibleWithThePreviousVersion(t *testing.T) {
	n := 0
	require.NoError(t, filepath.WalkDir(filepath.Join("..", ".."), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sql" || filepath.Base(filepath.Dir(path)) != "migrations" {
			return err
		}
		n++
		sql, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Empty(t, faults(string(sql)),
			"%s: the previous version could not work with this one. Add the new first, and drop the old a version later", path)
		return nil
	}))
	require.GreaterOrEqual(t, n, 6, "the migrations are not where they were")
}

func TestMigrationFaults_FindsBreakingStatements(t *testing.T) {
	for sql, breaks := range map[string]bool{
		"CREATE TABLE a (b int NOT NULL)":                              false,
		"ALTER TABLE a ADD COLUMN b int":                               false,
		"ALTER TABLE a ADD COLUMN b int NOT NULL DEFAULT 0":            false,
		"ALTER TABLE a ADD b int NOT NULL":                             true,
		"ALTER TABLE a ADD COLUMN b int DEFAULT 0, ADD c int NOT NULL": true,
		"ALTER TABLE a DROP COLUMN b":                                  true,
		"ALTER TABLE a DROP b":                                         true,
		"ALTER TABLE a DROP CONSTRAINT a_b_check":                      false,
		"ALTER TABLE a ALTER COLUMN b DROP NOT NULL":                   false,
		"ALTER TABLE a ALTER COLUMN b SET NOT NULL":                    true,
		"ALTER TABLE a ALTER b TYPE bigint":                            true,
		"ALTER TABLE a RENAME COLUMN b TO c":                           true,
		"DROP TABLE a":                                                 true,
		"drop index a_b":                                               false,
		"CREATE INDEX a_b ON a (b); -- never DROP TABLE a":             false,
		"CREATE INDEX a_b ON a (b);\n-- +goose Down\nDROP TABLE a;":    false,
		"TRUNCATE a": true,
	} {
		require.Equal(t, breaks, len(faults(sql)) > 0, "%s: %v", sql, faults(sql))
	}
}
