package cli

import (
	"fmt"
	"strings"
)

// undoRow is a row that undoes a part of a change.
type undoRow struct {
	// table is products or prices: a built-in table, or the query of a mapping.
	table string
	// id is the id of a row that exists.
	id string
	// set has the columns with their values: "unit_amount = 1400".
	set []string
	// inserts and deletes say that the row is to be inserted or deleted. Otherwise set changes it.
	inserts, deletes bool
}

// sql returns the statement for the built-in tables.
func (r undoRow) sql() string {
	switch {
	case r.deletes:
		return fmt.Sprintf("DELETE FROM driftless.%s WHERE id = %s;", r.table, quoteSQL(r.id))
	case r.inserts:
		columns, values := make([]string, len(r.set)), make([]string, len(r.set))
		for i, assignment := range r.set {
			columns[i], values[i], _ = strings.Cut(assignment, " = ")
		}
		return fmt.Sprintf("INSERT INTO driftless.%s (%s) VALUES (%s);", r.table, strings.Join(columns, ", "),
			strings.Join(values, ", "))
	default:
		return fmt.Sprintf("UPDATE driftless.%s SET %s WHERE id = %s;", r.table, strings.Join(r.set, ", "),
			quoteSQL(r.id))
	}
}

// words says what a query of the operator's mapping must return.
func (r undoRow) words() string {
	switch {
	case r.deletes:
		return fmt.Sprintf("the %s query must not return the row with id %s", r.table, quoteSQL(r.id))
	case r.inserts:
		return fmt.Sprintf("the %s query must return a row with %s", r.table, strings.Join(r.set, ", "))
	default:
		return fmt.Sprintf("the %s query must return for id %s: %s", r.table, quoteSQL(r.id), strings.Join(r.set, ", "))
	}
}
