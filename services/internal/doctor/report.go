package doctor

import (
	"slices"
	"strings"
	"time"
)

// Report is the result of Run. Each selected check is in Fine or NotLooked, or has findings.
type Report struct {
	Findings  []Finding   `json:"findings"`
	NotLooked []NotLooked `json:"not_looked_at"`
	Fine      []Fine      `json:"fine"`
	// Skipped are the checks that Selection.Skip names.
	Skipped []string `json:"skipped"`

	settled []string
}

// IsSettled reports whether another look at a check that was not looked at would come to no result either: a right that
// is not needed is missing, or a fault that the report has comes first.
func (r Report) IsSettled(id string) bool { return slices.Contains(r.settled, id) }

// Finding is a fault that was found.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	// Message says what is wrong, in one sentence without a period at its end.
	Message string `json:"message"`
	// Why says why it matters.
	Why string `json:"why"`
	// Fix is the statement or command to run, or what to do if there is none.
	Fix string `json:"fix"`
	// Proposed is what the process that found it says to run. Its record is not signed, so this must be read before it
	// is run. Empty if this program found it, or if the process says the same as Fix.
	Proposed string `json:"proposed_fix,omitempty"`
	// By is the process that found it, and At when, by the clock of the NATS server. Empty if this program did.
	By string     `json:"by,omitempty"`
	At *time.Time `json:"at,omitempty"`
}

// NotLooked is a check that came to no result.
type NotLooked struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Fine is a check that found nothing. Saw is what it saw, empty if there is nothing to tell.
type Fine struct {
	ID  string `json:"id"`
	Saw string `json:"saw"`
	// By are the processes that looked, and At when the first of them did, by the clock of the NATS server. Empty if
	// this program looked.
	By string     `json:"by,omitempty"`
	At *time.Time `json:"at,omitempty"`
}

func newReport() Report {
	return Report{Findings: []Finding{}, NotLooked: []NotLooked{}, Fine: []Fine{}, Skipped: []string{}}
}

// sortFindings puts errors before warnings.
func sortFindings(all []Finding) {
	slices.SortStableFunc(all,
		func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
}

// IsFine reports whether every selected check was looked at, and nothing was found.
func (r Report) IsFine() bool { return len(r.Findings) == 0 && len(r.NotLooked) == 0 }

// The states of a check in the records of processes and in the control API.
const (
	StateFinding   = "finding"
	StateFine      = "fine"
	StateNotLooked = "not_looked_at"
)

// Command returns the command that makes a check.
func Command(id string) string { return "driftless doctor --only " + id }
