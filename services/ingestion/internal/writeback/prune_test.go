package writeback

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPruneAssignments_RemovesUnchangedParameters(t *testing.T) {
	t.Parallel()
	// $1 is @id, $2 @name, $3 @active, $4 @description.
	params := []string{"id", "name", "active", "description"}
	for name, c := range map[string]struct{ sql, changed, want string }{
		"one of three": {
			"UPDATE t SET a = $2, b = NOT $3, c = $4 WHERE id = $1", "active", "UPDATE t SET b = NOT $3 WHERE id = $1",
		},
		"first and last": {
			"update only s.t as x\nset a = $2, b = NOT $3,\n c = upper($4)\nwhere id = $1", "name description",
			"update only s.t as x\nset a = $2, c = upper($4)\nwhere id = $1",
		},
		"without parameters it stays": {
			"UPDATE t SET a = $2, touched_at = now(), touched_by = $1, c = $4 WHERE id = $1", "name",
			"UPDATE t SET a = $2, touched_at = now(), touched_by = $1 WHERE id = $1",
		},
		"several parameters": {
			"UPDATE t SET a = concat($2, $4), b = $3 WHERE id = $1", "description",
			"UPDATE t SET a = concat($2, $4) WHERE id = $1",
		},
		"several columns": {
			"UPDATE t SET (a, b) = ($2, $4), c = $3 WHERE id = $1", "name",
			"UPDATE t SET (a, b) = ($2, $4) WHERE id = $1",
		},
		"all": {
			"UPDATE t SET a = $2, c = $4 WHERE id = $1", "name description",
			"UPDATE t SET a = $2, c = $4 WHERE id = $1",
		},
		"commas and words in strings and comments": {
			`UPDATE t SET "a,set" = '$2, where '' x', b = E'\', from' || $3, c = $tag$, where $2$tag$ || $4 /* , /* where */ $2 */, d = arr[1, $2] -- , from
				WHERE id = $1`, "description",
			`UPDATE t SET "a,set" = '$2, where '' x', c = $tag$, where $2$tag$ || $4 -- , from
				WHERE id = $1`,
		},
		"distinct from": {
			"UPDATE t SET a = $3 IS DISTINCT FROM false, b = $2 FROM u WHERE u.id = $1", "active",
			"UPDATE t SET a = $3 IS DISTINCT FROM false FROM u WHERE u.id = $1",
		},
		"from in a function": {
			"UPDATE t SET a = substring($2 from 2), b = $3 RETURNING id", "name",
			"UPDATE t SET a = substring($2 from 2) RETURNING id",
		},
		"nothing that is changed": {
			"UPDATE t SET a = $2 WHERE id = $1", "active",
			"UPDATE t SET a = $2 WHERE id = $1",
		},
		"a function": {"SELECT f($1, $2, $3)", "name", "SELECT f($1, $2, $3)"},
		"an insertion": {
			"INSERT INTO t VALUES ($1, $2) ON CONFLICT DO UPDATE SET a = $2, b = $3", "name",
			"INSERT INTO t VALUES ($1, $2) ON CONFLICT DO UPDATE SET a = $2, b = $3",
		},
		"a statement with another": {
			"WITH x AS (UPDATE t SET a = $2, b = $3 RETURNING 1) SELECT 1 FROM x", "name",
			"WITH x AS (UPDATE t SET a = $2, b = $3 RETURNING 1) SELECT 1 FROM x",
		},
		"no SQL": {
			"UPDATE t SET , a = $2,, b = $3 WHERE", "name",
			"UPDATE t SET , a = $2,, b = $3 WHERE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := strings.Fields(c.changed)
			require.Equal(t, squeezed(c.want),
				squeezed(pruneAssignments(c.sql, params, func(p string) bool { return slices.Contains(changed, p) })))
		})
	}
}

// squeezed replaces each run of blanks by one blank.
func squeezed(sql string) string { return strings.Join(strings.Fields(sql), " ") }

func FuzzPruneAssignments(f *testing.F) {
	f.Add("UPDATE t SET a = $2, b = E'\\'' || $3 /* */ WHERE id = $1")
	f.Add("UPDATE t SET a = $tag$ $2")
	f.Fuzz(func(t *testing.T, sql string) {
		got := pruneAssignments(sql, []string{"id", "name", "active"}, func(p string) bool { return p == "active" })
		require.LessOrEqual(t, len(got), len(sql))
	})
}
