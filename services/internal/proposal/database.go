package proposal

import (
	"regexp"
	"slices"
	"strings"
)

// Database describes the tables of a database.
type Database struct {
	Name string
	// Version is server_version_num.
	Version  int
	WALLevel string
	// Roles and Publications are those that exist.
	Roles, Publications []string
	Tables              []*Table
}

// Table is a table of the database. Views are left out, because the log has no changes of views.
type Table struct {
	Schema, Name string
	// Visible reports whether the search path of the connection finds the table without its schema.
	Visible bool
	// Shared reports whether another schema has a table or view of this name.
	Shared bool
	// Rows is an estimate. It is negative if Postgres has none.
	Rows    int64
	Columns []*Column
	// Key has the columns of the primary key.
	Key []string
	// Unique has the columns of the other unique constraints and indexes.
	Unique     [][]string
	References []Reference
	// Identity is relreplident of pg_class: d, n, f or i. IdentityColumns are those that the log has of an old row,
	// unless it has all (f).
	Identity        string
	IdentityColumns []string
	RowSecurity     bool
	// Sampled is how many rows Sample of the columns saw, and Complete reports whether these were all rows.
	Sampled  int
	Complete bool
}

// Reference is a foreign key.
type Reference struct {
	Columns []string
	// Schema and Table name the table that the key refers to.
	Schema, Table string
	ToColumns     []string
}

// Column is a column of a table.
type Column struct {
	Name string
	// Type is the type without modifier, and the type below a domain: "numeric", "character varying", "text[]".
	Type string
	// Scale is the number of decimal places of a numeric column, negative if it is not limited.
	Scale int
	// Domain is the name of the domain, if the type is one.
	Domain string
	// Labels are the values of an enumeration.
	Labels    []string
	NotNull   bool
	Generated bool
	Comment   string
	Sample    Sample
}

// Sample is what a sample of rows shows of a column.
type Sample struct {
	// Values are the distinct values, the most frequent first. There are at most MaxValues.
	Values []string
	// Many reports whether there were more.
	Many bool
	// Places is the largest number of decimal places.
	Places int
	// URLs reports whether there were values, and all were web addresses.
	URLs bool
	// Repeated reports whether a value that is not NULL appeared in two rows.
	Repeated bool
}

// MaxValues is how many distinct values a sample keeps.
const MaxValues = 20

// column returns a column by its name, nil if there is none.
func (t *Table) column(name string) *Column {
	for _, c := range t.Columns {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// sql returns the table's name for a statement. Another role, with another search path, runs it. So the name has its
// schema, unless this is public and no other schema has the name.
func (t *Table) sql() string {
	if t.Schema == "public" && t.Visible && !t.Shared {
		return ident(t.Name)
	}
	return ident(t.Schema) + "." + ident(t.Name)
}

func (t *Table) words() []string { return words(t.Name) }

// isUnique reports whether at most one row has given values of the columns: by a constraint, or by all rows of now.
func (t *Table) isUnique(columns []string) (unique, proved bool) {
	keys := slices.Clone(t.Unique)
	if len(t.Key) > 0 {
		keys = append(keys, t.Key)
	}
	for _, key := range keys {
		if !slices.ContainsFunc(key, func(c string) bool { return !slices.Contains(columns, c) }) {
			return true, true
		}
	}
	if len(columns) != 1 || t.Sampled == 0 {
		return false, false
	}
	return !t.column(columns[0]).Sample.Repeated, false
}

// values returns the values that a column can have: the labels of its enumeration, or those of the sample. all reports
// whether there can be no others now.
func (t *Table) values(c *Column) (values []string, all bool) {
	switch {
	case len(c.Labels) > 0:
		return c.Labels, true
	case c.isBoolean():
		return []string{"true", "false"}, true
	default:
		return c.Sample.Values, t.Complete && !c.Sample.Many
	}
}

var (
	textTypes    = []string{"text", "character varying", "character", "citext", "bpchar", "name"}
	integerTypes = []string{"smallint", "integer", "bigint"}
	floatTypes   = []string{"real", "double precision"}
)

func (c *Column) isText() bool    { return slices.Contains(textTypes, c.Type) }
func (c *Column) isInteger() bool { return slices.Contains(integerTypes, c.Type) }
func (c *Column) isFloat() bool   { return slices.Contains(floatTypes, c.Type) }
func (c *Column) isBoolean() bool { return c.Type == "boolean" }
func (c *Column) isJSON() bool    { return c.Type == "json" || c.Type == "jsonb" }
func (c *Column) isTime() bool    { return strings.HasPrefix(c.Type, "timestamp") || c.Type == "date" }

// isWord reports whether the values are texts or labels.
func (c *Column) isWord() bool { return c.isText() || len(c.Labels) > 0 }

func (c *Column) words() []string { return words(c.Name) }

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_$]*$`)

// reserved are the words that cannot be a table's name without quotes
// (https://www.postgresql.org/docs/current/sql-keywords-appendix.html).
var reserved = strings.Fields(`all analyse analyze and any array as asc asymmetric authorization binary both case cast
	check collate collation column concurrently constraint create cross current_catalog current_date current_role
	current_schema current_time current_timestamp current_user default deferrable desc distinct do else end except
	false fetch for foreign freeze from full grant group having ilike in initially inner intersect into is isnull
	join lateral leading left like limit localtime localtimestamp natural not notnull null offset on only or order
	outer overlaps placing primary references returning right select session_user similar some symmetric
	system_user table tablesample then to trailing true union unique user using variadic verbose when where window
	with`)

// ident returns a name as SQL reads it.
func ident(name string) string {
	if plainName.MatchString(name) && !slices.Contains(reserved, name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func idents(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = ident(n)
	}
	return out
}

// literal returns a text as SQL reads it.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
