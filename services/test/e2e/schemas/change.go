package schemas

import (
	"fmt"
	"strings"
)

// Change is one change of the tables.
type Change struct {
	// Title describes the change.
	Title string
	// SQL is run as one message: one transaction, unless it has BEGIN and COMMIT of its own.
	SQL string
	// Nothing means that the products stay unchanged, and that nothing may be sent to Stripe.
	Nothing bool
	// Reread means that only a comparison of the tables finds the change, because a table is not watched or because
	// only time passed.
	Reread bool
	// Dead is a product that becomes a dead letter because a query of the mapping fails for it, empty for none.
	Dead string
}

// Changes reads the schema's changes in order. A change begins with the line "-- change: TITLE". An expectation other
// than a new state of its products may follow: "-- expects: nothing", "-- expects: reread" or "-- expects: dead ID".
func (s Schema) Changes() ([]Change, error) {
	text, err := s.File("changes.sql")
	if err != nil {
		return nil, err
	}
	var changes []Change
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(line, "-- change: "); ok {
			changes = append(changes, Change{Title: strings.TrimSpace(title)})
			continue
		}
		if len(changes) == 0 {
			continue
		}
		c := &changes[len(changes)-1]
		expects, ok := strings.CutPrefix(line, "-- expects: ")
		dead, isDead := strings.CutPrefix(strings.TrimSpace(expects), "dead ")
		switch {
		case !ok:
			c.SQL += line
		case isDead:
			c.Dead = dead
		case strings.TrimSpace(expects) == "nothing":
			c.Nothing = true
		case strings.TrimSpace(expects) == "reread":
			c.Reread = true
		default:
			return nil, fmt.Errorf("schema %s: change %q expects %q, which is unknown",
				s.Name, c.Title, strings.TrimSpace(expects))
		}
	}
	return changes, nil
}
