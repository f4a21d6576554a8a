package plan

import (
	"fmt"
	"strings"

	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// decisions are what a visitor can do with the selected changes.
var decisions = []view.Action{
	{
		Label: "Approve", Path: "/plan/approve", Role: auth.Approve, NeedsReason: true,
		Effect:  "The selected changes are made in Stripe, in the versions that are held now.",
		Command: "driftless approve PRODUCT --reason ...",
	},
	{
		Label: "Reject", Path: "/plan/reject", Role: auth.Approve, NeedsReason: true, Danger: true,
		Effect: "The selected changes are not made. Where the mapping can write, the catalog gets Stripe's values " +
			"back.",
		Command: "driftless reject PRODUCT --reason ...",
	},
}

// tally is what a decision about many products has done so far.
type tally struct {
	// decided counts the changes that are approved or rejected.
	decided int
	// waiting counts those that need another approver, and heldByOthers those that another rule still holds.
	waiting, heldByOthers int
	// changed counts the products that hold another change than the one that was shown.
	changed int
	// writtenBack counts the products whose catalog gets Stripe's values back.
	writtenBack int
	// blocked counts the products whose catalog cannot get them back. blocker is why the first one cannot.
	blocked int
	blocker string
}

// approved says what came of an approval.
func (t tally) approved() string {
	parts := []string{view.Many(uint64(t.decided), "change is approved.", "changes are approved.")}
	if t.waiting > 0 {
		parts = append(parts, view.Many(uint64(t.waiting), "needs", "need")+" the approval of somebody else too.")
	}
	if t.heldByOthers > 0 {
		parts = append(parts, view.Many(uint64(t.heldByOthers), "stays", "stay")+" held by another rule.")
	}
	return strings.Join(parts, " ") + t.undecided()
}

// undecided says that nothing was done about changes that the page did not show.
func (t tally) undecided() string {
	if t.changed == 0 {
		return ""
	}
	return " " + view.Many(uint64(t.changed), "product has", "products have") +
		" changed since the page was read: nothing was decided about what is held now."
}

// rejected says what came of a rejection.
func (t tally) rejected() string {
	text := view.Many(uint64(t.decided), "change is rejected.", "changes are rejected.")
	if t.writtenBack > 0 {
		text += " The catalog gets Stripe's values back for " + view.Many(uint64(t.writtenBack), "product.",
			"products.")
	}
	if t.blocked > 0 {
		text += " The catalog stays as it is for " + view.Many(uint64(t.blocked), "product", "products") + ": " +
			t.blocker + "."
	}
	return text + t.undecided()
}

// failed returns the error of a decision that stopped in the middle.
func (t tally) failed(verb string, err error) error {
	if t.decided == 0 {
		return err
	}
	return fmt.Errorf("%s, then it stopped: %w", view.Many(uint64(t.decided), "change is "+verb, "changes are "+verb),
		err)
}

// maxNamed is how many products a command names. The others are "...".
const maxNamed = 5

// command returns the command that makes the same decision in a terminal.
func (c choice) command(verb string) string {
	parts := []string{"driftless", verb}
	switch {
	case c.rule != "":
		parts = append(parts, "--rule", visible.Argument(c.rule))
	case c.held != nil:
		parts = append(parts, "--all")
	default:
		for i, id := range c.ids {
			if i == maxNamed {
				parts = append(parts, "...")
				break
			}
			parts = append(parts, visible.Argument(id))
		}
	}
	return strings.Join(append(parts, "--reason", "..."), " ")
}
