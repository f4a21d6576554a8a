package watch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBind_ReplacesParametersInCodeOnly(t *testing.T) {
	columns := []string{"id", "Mixed", "email", "größe"}
	for sql, want := range map[string]string{
		`SELECT @id`:                       `SELECT r."@id"`,
		`SELECT @ID, @"Mixed", @Mixed`:     `SELECT r."@id", r."@Mixed", r."@Mixed"`,
		`SELECT '@id' || @id`:              `SELECT '@id' || r."@id"`,
		`SELECT 'it''s @id' || @id`:        `SELECT 'it''s @id' || r."@id"`,
		`SELECT E'\'@id' || @id`:           `SELECT E'\'@id' || r."@id"`,
		`SELECT $$ @id $$, $x$ $$ @id $x$`: `SELECT $$ @id $$, $x$ $$ @id $x$`,
		"SELECT 1 -- @id\n + @id":          "SELECT 1 -- @id\n + r.\"@id\"",
		`SELECT /* /* @id */ @id */ @id`:   `SELECT /* /* @id */ @id */ r."@id"`,
		`SELECT "@id", @größe`:             `SELECT "@id", r."@größe"`,
	} {
		bound, _, unknown := bind(sql, "r", columns)
		require.Equal(t, want, bound, sql)
		require.Empty(t, unknown, sql)
	}
	_, used, unknown := bind(`SELECT @email, @id, @id, @sku`, "r", columns)
	require.Equal(t, []string{"email", "id"}, used)
	require.Equal(t, "@sku", unknown)
}

func TestMentionedColumns_FindsColumnsOfExpression(t *testing.T) {
	columns := []string{"id", "Mixed", "kind"}
	require.Equal(t, []string{"id"}, mentionedColumns(`'kind-' || ID`, columns))
	require.Equal(t, []string{"Mixed"}, mentionedColumns(`"Mixed" -- kind`, columns))
	require.Empty(t, mentionedColumns(`Mixed`, columns), "Postgres would not find it")
}

// FuzzPieces checks that the parser keeps any text as it was, and terminates.
func FuzzPieces(f *testing.F) {
	for _, seed := range []string{`SELECT '`, `/* /*`, `$a$ x`, `"a""`, `E'\`, `--`, "@", "$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		out := ""
		for _, p := range pieces(sql) {
			out += p.text
		}
		require.Equal(t, sql, out)
	})
}
