// Package finding has the results of a check of the catalog database and the mapping.
package finding

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity decides whether ingestion starts in spite of a finding.
type Severity int

const (
	// Warning means that ingestion starts and logs the finding.
	Warning Severity = iota
	// Refusal means that ingestion does not start, because it would miss changes or harm the application.
	Refusal
	// Unproven means that the check came to no result. Its message says why.
	Unproven
)

// ID names a kind of finding. It stays the same from version to version: scripts and docs/doctor.md use it.
type ID string

// The kinds of findings.
const (
	Tables          ID = "database.tables"
	WALLevel        ID = "database.wal_level"
	Role            ID = "database.role"
	Replication     ID = "database.replication"
	Publication     ID = "database.publication"
	WatchedTable    ID = "database.watched_table"
	RowSecurity     ID = "database.row_security"
	ReplicaIdentity ID = "database.replica_identity"
	StripeIDs       ID = "database.stripe_ids"
	Queries         ID = "mapping.queries"
	Watch           ID = "mapping.watch"
	WatchValues     ID = "mapping.watch_values"
	Unwatched       ID = "mapping.unwatched"
	RowIDs          ID = "mapping.row_ids"
	Products        ID = "mapping.products"
	CheckFails      ID = "mapping.check_fails"
	Violations      ID = "mapping.violations"
	WriteBack       ID = "mapping.write_back"
)

// SchemaIDs are the kinds of findings about tables, queries and settings.
func SchemaIDs() []ID {
	return []ID{
		Tables, WALLevel, Role, WatchedTable, RowSecurity, ReplicaIdentity, StripeIDs, Queries, Watch, WriteBack,
	}
}

// RowsIDs are the kinds of findings about the slot, the publication and rows. They are looked for only if the schema
// has no refusal.
func RowsIDs() []ID {
	return []ID{Replication, Publication, WatchValues, Unwatched, RowIDs, Products, CheckFails, Violations}
}

// RowQueryIDs are the kinds of findings for which rows are read.
func RowQueryIDs() []ID {
	return []ID{WatchValues, Unwatched, RowIDs, Products, CheckFails, Violations, WriteBack}
}

// Finding is one fault that a check found.
type Finding struct {
	// ID is its kind. It is empty until List.Tagged or List.As sets it.
	ID       ID       `json:"-"`
	Severity Severity `json:"-"`
	// Message says what is wrong and why that matters, in one sentence without a period at its end.
	Message string `json:"message"`
	// Fix is the complete SQL that fixes it, ready to paste. It is empty if SQL cannot fix it.
	Fix string `json:"fix,omitempty"`
}

// IsRefusal reports whether the finding prevents the start of ingestion.
func (f Finding) IsRefusal() bool { return f.Severity == Refusal }

// IsUnproven reports whether the check came to no result.
func (f Finding) IsUnproven() bool { return f.Severity == Unproven }

func (f Finding) String() string {
	if f.Fix == "" {
		return f.Message
	}
	// The SQL stays as it is, because %#q would escape its line ends.
	return f.Message + ": run `" + f.Fix + "`"
}

// List has the findings of a check, in the order in which they were found.
type List []Finding

// Add appends findings.
func (l *List) Add(f ...Finding) { *l = append(*l, f...) }

// Refusef appends a refusal.
func (l *List) Refusef(fix, format string, args ...any) {
	l.As("").Refusef(fix, format, args...)
}

// Warnf appends a warning.
func (l *List) Warnf(fix, format string, args ...any) {
	l.As("").Warnf(fix, format, args...)
}

// As returns an appender of findings of one kind.
func (l *List) As(id ID) Appender { return Appender{l, id} }

// Appender appends findings of one kind to a list.
type Appender struct {
	list *List
	id   ID
}

// Refusef appends a refusal.
func (a Appender) Refusef(fix, format string, args ...any) { a.add(Refusal, fix, format, args) }

// Warnf appends a warning.
func (a Appender) Warnf(fix, format string, args ...any) { a.add(Warning, fix, format, args) }

// Unprovenf appends that a check came to no result, and why.
func (a Appender) Unprovenf(format string, args ...any) { a.add(Unproven, "", format, args) }

func (a Appender) add(severity Severity, fix, format string, args []any) {
	*a.list = append(*a.list, Finding{a.id, severity, fmt.Sprintf(format, args...), fix})
}

// Tagged returns the findings. Those without a kind get one.
func (l *List) Tagged(id ID) List {
	out := slices.Clone(*l)
	for i := range out {
		if out[i].ID == "" {
			out[i].ID = id
		}
	}
	return out
}

// Proven returns the findings without those that say that a check came to no result.
func (l *List) Proven() List {
	return slices.DeleteFunc(slices.Clone(*l), func(f Finding) bool { return f.Severity == Unproven })
}

// Warnings returns the findings that do not prevent the start of ingestion.
func (l *List) Warnings() List { return l.withSeverity(Warning) }

// Refuses reports whether a finding prevents the start of ingestion.
func (l *List) Refuses() bool { return slices.ContainsFunc(*l, Finding.IsRefusal) }

// Err returns an error with every refusal, nil if there is none.
func (l *List) Err() error {
	refused := l.withSeverity(Refusal)
	switch len(refused) {
	case 0:
		return nil
	case 1:
		return errors.New(refused[0].String())
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems:", len(refused))
	for i, f := range refused {
		fmt.Fprintf(&b, " (%d) %s;", i+1, f)
	}
	return errors.New(strings.TrimSuffix(b.String(), ";"))
}

func (l *List) withSeverity(severity Severity) (out List) {
	for _, f := range *l {
		if f.Severity == severity {
			out = append(out, f)
		}
	}
	return out
}
