package product

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/story"
	"github.com/driftless-sync/driftless/services/console/internal/view"
)

const (
	// maxShownChanges is how many fields of a change the list of changes shows.
	maxShownChanges = 4
	// maxShown is how many changes the list has.
	maxShown = 20
)

// sentence is the verdict in one sentence that begins with a capital letter.
func sentence(e *controlv1.Explanation) string {
	text := cmp.Or(e.GetSummary(), view.VerdictWords(e.GetVerdict()))
	if text == "" {
		return "Nothing is known"
	}
	return view.Capitalize(text)
}

// verdictWords returns the words behind the verdict. Those of a dead letter are shown with the letter.
func verdictWords(f *facts) []string {
	return slices.DeleteFunc(slices.Clone(f.why.GetWords()), func(words string) bool {
		return slices.ContainsFunc(f.letters, func(d *controlv1.DeadLetterDetail) bool {
			return d.GetDeadLetter().GetMessage() == words
		})
	})
}

// attempts says how often a change has failed.
func attempts(e *controlv1.Explanation) string {
	if e.GetAttempts() == 0 {
		return ""
	}
	words := "failed "
	if e.GetAtLeast() {
		words += "at least "
	}
	return words + view.Many(e.GetAttempts(), "time", "times")
}

// basis says up to when each of the three places is known.
func basis(f *facts) []string {
	// The times are by the clock of NATS, which an answer without NATS does not have.
	now := f.now
	if at := f.equality.GetAt(); at != nil {
		now = at.AsTime()
	}
	place := func(name, verb string, p *controlv1.PlaceState) string {
		switch {
		case p.GetUnknown() != "":
			return name + " not known: " + p.GetUnknown()
		case p.GetAbsent():
			return name + " does not have it"
		case p.GetAsOf() == nil:
			return name + " " + verb + " at a time that is not known"
		}
		return name + " " + verb + " " + view.Since(now, p.GetAsOf().AsTime())
	}
	return []string{
		place("Your table", "read", f.why.GetRow()),
		place("Capture", "as of", f.why.GetCaptured()),
		place("Stripe", "as of", f.why.GetStripe()),
	}
}

// undecided returns the number of differences that a person can decide about.
func undecided(f *facts) (n int) {
	for _, d := range f.drift {
		if d.GetState() != "ignored" {
			n++
		}
	}
	return n
}

// driftTone returns the tone of a state of drift.
func driftTone(state string) string {
	switch state {
	case "repairing":
		return "busy"
	case "waiting":
		return "bad"
	case "found":
		return "held"
	}
	return ""
}

// causedBy says who made a difference, for a time that follows.
func causedBy(d *controlv1.Drift) string {
	switch d.GetCausedBy() {
	case "dashboard":
		return "changed at Stripe's dashboard"
	case "api_key":
		return "changed by another program"
	}
	return "found"
}

func keepLabel(side, id string) string {
	label := "Keep " + map[string]string{"catalog": "catalog", "stripe": "Stripe"}[side]
	if id == "all" {
		label += " for all"
	}
	return label
}

func ignoreLabel(id string) string {
	if id == "all" {
		return "Ignore all"
	}
	return "Ignore"
}

// keepEffect says what a decision does.
func keepEffect(side, name string) string {
	what := "All open differences are decided: "
	switch name {
	case "":
	case "-":
		what = "The product as a whole is decided: "
	default:
		what = name + ": "
	}
	if side == "stripe" {
		return what + "Stripe's value is written to your tables, whatever the policy says."
	}
	return what + "the catalog's value is written to Stripe, whatever the policy says."
}

func orNothing(text string) string { return cmp.Or(text, "nothing") }

func activityPath(id string) string { return "/activity?" + url.Values{"product": {id}}.Encode() }

// changeList returns the latest changes of the catalog.
func changeList(f *facts) []story.Change {
	all := story.Changes(f.history)
	return all[:min(len(all), maxShown)]
}

// underway says what happens to a difference that is no drift.
func underway(f *facts) string {
	switch verdict := f.why.GetVerdict(); {
	case verdict == "held":
		return "waits for an approval"
	case verdict == "dead", verdict == "refused":
		return "refused"
	case view.VerdictTone(verdict) == "busy":
		return "on its way"
	case verdict == "equal":
		return ""
	default:
		return view.VerdictWords(verdict)
	}
}

// noteTitle is the title of the column beside the values.
func noteTitle(differing []field) string {
	if len(differing) > 0 {
		return "Decision"
	}
	return "Note"
}

// added describes the first change of a product, in which every field is new. It is empty for any other change.
func added(e *controlv1.HistoryEntry) string {
	var name string
	var prices []string
	for _, c := range e.GetChanges() {
		switch {
		case c.GetOld() != "":
			return ""
		case c.GetField() == "name":
			name = c.GetNew()
		case strings.HasPrefix(c.GetField(), "prices."):
			prices = append(prices, c.GetNew())
		}
	}
	if name == "" {
		return ""
	}
	return strings.Join(append([]string{"Added: " + name}, prices...), ", ")
}

// stateChangeTitle says what happens to the product or to one of its prices.
func stateChangeTitle(c *controlv1.StateChange) string {
	what := "Product"
	if c.GetPriceId() != "" {
		what = "Price " + c.GetPriceId()
	}
	what += " " + c.GetVerb()
	if c.GetBefore() != c.GetAfter() {
		what += ": " + orNothing(c.GetBefore()) + " → " + orNothing(c.GetAfter())
	}
	return what
}
