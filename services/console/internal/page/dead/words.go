package dead

import (
	"errors"
	"fmt"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// maxNamed is how many failures a result names.
const maxNamed = 5

// tally is what an action on letters has done so far.
type tally struct {
	done   int
	failed []error
}

// add adds the results of a page, and returns the last product.
func (t *tally) add(results []*controlv1.DeadLetterResult) (last string) {
	for _, r := range results {
		last = r.GetProductId()
		if r.GetError() == "" {
			t.done++
			continue
		}
		t.failed = append(t.failed, fmt.Errorf("%s: %s", r.GetProductId(), r.GetError()))
	}
	return last
}

func (t *tally) words(one, more string) string {
	return view.Many(uint64(t.done), "dead letter "+one, "dead letters "+more) + "."
}

// failure returns an error about the letters that stay open, nil if there are none.
func (t *tally) failure() error {
	if len(t.failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d done, %s open: %w", t.done,
		view.Many(uint64(len(t.failed)), "dead letter stays", "dead letters stay"),
		errors.Join(t.failed[:min(len(t.failed), maxNamed)]...))
}

// stopped returns the error of an action that stopped in the middle.
func (t *tally) stopped(err error) error {
	if t.done == 0 {
		return err
	}
	return fmt.Errorf("%s done, then it stopped: %w", view.Many(uint64(t.done), "dead letter is", "dead letters are"),
		err)
}

// nothing says what it means that no letter is open.
func nothing(e *controlv1.Equality) (title, text string) {
	if !view.IsKnown(e) {
		return "No dead letter is known", "It is not known whether something is refused now: see above."
	}
	return "No dead letters", "Nothing was refused that is still open."
}

// reasonTitle returns the heading of a class of failure.
func reasonTitle(reason string) string {
	for _, r := range topology.Reasons() {
		if r.Name == reason {
			return r.Title
		}
	}
	return visible.Words(reason)
}

// decisions are what a visitor can do with the selected letters.
var decisions = []view.Action{
	{
		Label: "Try again", Path: "/dead/replay", Role: auth.Operate,
		Effect:  "The latest state of each product is tried again. A letter stays open until that succeeds.",
		Command: "driftless dead replay PRODUCT",
	},
	{
		Label: "Drop", Path: "/dead/drop", Role: auth.Operate, Danger: true,
		Effect:  "The letters are closed without another try. A difference that is left is drift.",
		Command: "driftless dead drop PRODUCT",
	},
}
