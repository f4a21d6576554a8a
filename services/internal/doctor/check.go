package doctor

import (
	"slices"
	"strings"
)

// Severity says how much a finding matters.
type Severity string

const (
	// Error means that something does not work, or that changes are or will be missed.
	Error Severity = "error"
	// Warning means that everything works now, and that something will go wrong or is not seen.
	Warning Severity = "warning"
)

// Check is something that can be wrong.
type Check struct {
	// ID is "group.name". It stays the same from version to version: scripts use it.
	ID       string
	Severity Severity
	// Finds says what is wrong if there is a finding.
	Finds string
	// Why says what a fault does to the mesh.
	Why string
	// Fix says what to do, for the page. A finding has the exact statement or command.
	Fix string
}

// Group returns the part of the mesh that the check belongs to.
func (c Check) Group() string { return GroupOf(c.ID) }

// GroupOf returns the group of the check with an id.
func GroupOf(id string) string {
	group, _, _ := strings.Cut(id, ".")
	return group
}

// Checks returns all checks, in the order of their groups.
func Checks() []Check {
	return slices.Concat(configChecks, databaseChecks, mappingChecks, ledgerChecks, natsChecks, stripeChecks,
		clockChecks, serviceChecks)
}

// Groups returns the names of the groups, in the order of Checks.
func Groups() []string {
	var out []string
	for _, c := range Checks() {
		out = append(out, c.Group())
	}
	return slices.Compact(out)
}

// Find returns the check with an id.
func Find(id string) (Check, bool) {
	all := Checks()
	i := slices.IndexFunc(all, func(c Check) bool { return c.ID == id })
	if i < 0 {
		return Check{}, false
	}
	return all[i], true
}
