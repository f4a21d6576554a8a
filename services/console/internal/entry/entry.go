// Package entry shows entries of the history: what happened to a product, in words.
package entry

import (
	"cmp"
	"fmt"
	"strings"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// kinds has a title and a tone for each kind of entry.
var kinds = map[string]struct{ title, tone string }{
	"catalog_change":   {"Changed in the catalog", "busy"},
	"stripe_event":     {"Event of Stripe", ""},
	"applied":          {"Written to Stripe", "busy"},
	"confirmed":        {"Confirmed", "good"},
	"drifted":          {"Differs", "bad"},
	"repaired":         {"Repaired", "good"},
	"written_back":     {"Written back to the catalog", "good"},
	"dead":             {"Refused", "bad"},
	"failed":           {"Attempt failed", "bad"},
	"ordered":          {"Requested", ""},
	"ignored":          {"Left alone", ""},
	"resolved":         {"Decided", ""},
	"dropped":          {"Dead letter dropped", ""},
	"held":             {"Held", "held"},
	"approved":         {"Approved", "good"},
	"rejected":         {"Rejected", "held"},
	"released":         {"Released", ""},
	"rollback":         {"Rolled back", ""},
	"adoption_refused": {"Not adopted", "bad"},
	"adopted":          {"Adopted", "good"},
	"paused":           {"Paused", "held"},
	"resumed":          {"Resumed", "good"},
	"scan":             {"Scan requested", ""},
	"reread":           {"Reread requested", ""},
	"ledger_reread":    {"Ledger read again", ""},
}

// Title returns the title of a kind.
func Title(kind string) string {
	if k, ok := kinds[kind]; ok {
		return k.title
	}
	return visible.Words(kind)
}

// Tone returns the tone of a kind.
func Tone(kind string) string { return kinds[kind].tone }

// causes are the words for who caused an event of Stripe.
var causes = map[string]string{
	"driftless": "Driftless",
	"dashboard": "somebody at Stripe's dashboard",
	"api_key":   "another program",
}

// By says who caused an entry: the actor, or else who Stripe's event names. It is empty if that is not
// known.
func By(e *controlv1.HistoryEntry) string {
	if e.GetActor() != "" {
		return e.GetActor()
	}
	if by, ok := causes[e.GetCausedBy()]; ok {
		return by
	}
	return e.GetCausedBy()
}

// Text returns what an entry says in one line. Differences say what a detail says, except who rejected a change.
func Text(e *controlv1.HistoryEntry) string {
	var parts []string
	if isDetailShown(e) {
		parts = append(parts, e.GetDetail())
	}
	for _, c := range e.GetChanges() {
		parts = append(parts, Change(c))
	}
	for _, d := range e.GetDifferences() {
		parts = append(parts, Difference(d))
	}
	for _, s := range e.GetSteps() {
		parts = append(parts, s.GetStep())
	}
	if e.GetNote() != "" {
		parts = append(parts, e.GetNote())
	}
	return strings.Join(parts, "; ")
}

// isDetailShown reports whether the detail of an entry says more than the rest of it. The detail of a change in the
// catalog names the rows, which its fields say better.
func isDetailShown(e *controlv1.HistoryEntry) bool {
	switch {
	case e.GetDetail() == "" || len(e.GetSteps()) > 0:
		return false
	case e.GetKind() == "catalog_change":
		return len(e.GetChanges()) == 0
	}
	return len(e.GetDifferences()) == 0 || e.GetKind() == "rejected"
}

// Change returns a changed field: `name: "Mug" → "Cup"`.
func Change(c *controlv1.FieldChange) string {
	return fmt.Sprintf("%s: %s → %s", c.GetField(), Value(c.GetOld()), Value(c.GetNew()))
}

// Difference returns a field whose value differs: `name: "Mug" in the catalog, "Cup" in Stripe`.
func Difference(d *meshv1.Difference) string {
	return fmt.Sprintf("%s: %s in the catalog, %s in Stripe", Field(d.GetField()),
		cmp.Or(d.GetCatalogWords(), Value(d.GetCatalog())), cmp.Or(d.GetStripeWords(), Value(d.GetStripe())))
}

// Side returns the value of one side: in words where the API has some, or else the text, or a dash for nothing.
func Side(words, text string) string { return cmp.Or(words, text, "–") }

// Field returns the name of a field. A product as a whole has none.
func Field(name string) string {
	if name == "" {
		return "product"
	}
	return name
}

// Value returns a value in quotes, or "nothing".
func Value(text string) string {
	if text == "" {
		return "nothing"
	}
	return "“" + text + "”"
}

// attempts says how often push has failed since the last success.
func attempts(e *controlv1.HistoryEntry) string {
	if e.GetAttempts() == 0 {
		return ""
	}
	return view.Many(e.GetAttempts(), "attempt", "attempts") + " failed"
}
