package ledger

import (
	"fmt"
	"slices"
	"strings"
)

// transition is a row of a table: what an event does to something in one of several states.
type transition[S, E ~string, A actions] struct {
	event E
	from  []S
	// to is the next state. Empty means that the state stays.
	to S
	do A
}

// actions is a set of actions, one bit each.
type actions interface {
	~uint16
	fmt.Stringer
}

// table has every transition that is allowed.
type table[S, E ~string, A actions] []transition[S, E, A]

// next returns the state after an event and what to do. It returns an error if the table does not have the transition.
func (t table[S, E, A]) next(from S, event E) (to S, do A, err error) {
	for _, row := range t {
		if row.event != event || !slices.Contains(row.from, from) {
			continue
		}
		if row.to == "" {
			return from, row.do, nil
		}
		return row.to, row.do, nil
	}
	return from, 0, fmt.Errorf("the table of states has no transition for the event %q in the state %q: "+
		"please report this as a bug", event, from)
}

// page returns the table in Markdown.
func (t table[S, E, A]) page() string {
	var out strings.Builder
	out.WriteString("| event | in state | next state | action |\n|---|---|---|---|\n")
	for _, row := range t {
		names := make([]string, len(row.from))
		for i, s := range row.from {
			names[i] = stateName(s)
		}
		to := "the same"
		if row.to != "" {
			to = stateName(row.to)
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", row.event, strings.Join(names, ", "), to, row.do)
	}
	return out.String()
}

func stateName[S ~string](s S) string {
	if s == "" {
		return "none"
	}
	return "`" + string(s) + "`"
}

// phrases returns the texts of the bits that are set, in their order.
func phrases(set uint16, texts []string) string {
	var out []string
	for i, text := range texts {
		if set&(1<<i) != 0 {
			out = append(out, text)
		}
	}
	return strings.Join(out, "; ")
}

// sqlList returns states as a list of SQL literals.
func sqlList[S ~string](states ...S) string {
	literals := make([]string, len(states))
	for i, s := range states {
		literals[i] = "'" + string(s) + "'"
	}
	return strings.Join(literals, ", ")
}
