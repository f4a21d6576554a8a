package writeback

import (
	"fmt"
	"maps"
	"slices"

	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
)

// columnStatements has the statements that change a product or a price: either one for all columns, under the key "",
// or one for each column.
type columnStatements map[string]*statement

// newColumnStatements checks one statement for all columns, or one for each of some.
func newColumnStatements(check func(statementUse, string) (*statement, error), u statementUse, whole string,
	sources map[string]string,
) (columnStatements, error) {
	out := columnStatements{}
	s, err := check(u, whole)
	if err != nil {
		return nil, err
	}
	if s != nil {
		out[""] = s
	}
	for _, column := range slices.Sorted(maps.Keys(sources)) {
		of := u
		of.key, of.required = u.key+"."+column, []string{"id"}
		if !slices.Contains(u.columns, column) {
			return nil, fmt.Errorf("%s: the mapping's %s query does not return %s%s", of.key, u.query, column,
				mapping.Nearest(column, u.columns))
		}
		if out[column], err = check(of, sources[column]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// statement returns the statement that changes a column, and the column under which the configuration has it.
func (b columnStatements) statement(column string) (*statement, string) {
	if slices.Contains(amountColumns, column) && b[column] == nil {
		for _, other := range amountColumns {
			if b[other] != nil {
				return b[other], other
			}
		}
	}
	return b[column], column
}

// forEach calls run with each statement that the differences need, its key in the configuration, and a field that it
// changes. The statement is nil if the configuration has none.
func (b columnStatements) forEach(key string, diffs []difference,
	run func(s *statement, key, field string) error,
) error {
	if s := b[""]; s != nil || len(b) == 0 {
		return run(s, key, diffs[0].field())
	}
	done := map[*statement]bool{}
	for _, d := range diffs {
		s, column := b.statement(d.column)
		if done[s] {
			continue
		}
		done[s] = true
		if err := run(s, key+"."+column, d.field()); err != nil {
			return err
		}
	}
	return nil
}
