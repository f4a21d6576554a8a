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
)

// Finding is one fault that a check found.
type Finding struct {
	Severity Severity `json:"-"`
	// Message says what is wrong and why that matters, in one sentence without a period at its end.
	Message string `json:"message"`
	// Fix is the complete SQL that fixes it, ready to paste. It is empty if SQL cannot fix it.
	Fix string `json:"fix,omitempty"`
}

// IsRefusal reports whether the finding prevents the start of ingestion.
func (f Finding) IsRefusal() bool { return f.Severity == Refusal }

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
	*l = append(*l, Finding{Refusal, fmt.Sprintf(format, args...), fix})
}

// Warnf appends a warning.
func (l *List) Warnf(fix, format string, args ...any) {
	*l = append(*l, Finding{Warning, fmt.Sprintf(format, args...), fix})
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
