package adoption

import (
	"fmt"
	"slices"
	"strings"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

var errMovingPlan = fmt.Errorf("the plan changed more than %d times while it was read: try again, or use "+
	"`driftless adopt plan`", maxRestarts)

// reasons are the reasons of matches in words.
var reasons = map[string]string{
	string(adoption.ByID):        "same id",
	string(adoption.ByMetadata):  "its metadata",
	string(adoption.ByLookupKey): "a lookup key",
	string(adoption.ByName):      "the name",
}

func reason(why string) string {
	if words, ok := reasons[why]; ok {
		return words
	}
	return why
}

// doubtTitles are the doubts in words, for the filter.
var doubtTitles = map[string]string{
	string(adoption.NameOnly):       "Only the name",
	string(adoption.Ambiguous):      "Several possible",
	string(adoption.Contradiction):  "Contradiction",
	string(adoption.Marked):         "Marked for another",
	string(adoption.Archived):       "Archived in Stripe",
	string(adoption.MetadataFull):   "Metadata full",
	string(adoption.PriceDiffers):   "A price differs",
	string(adoption.PriceUnmatched): "A price unmatched",
}

func doubtTitle(doubt string) string {
	if title, ok := doubtTitles[doubt]; ok {
		return title
	}
	return visible.Words(doubt)
}

// isRefused reports whether a match cannot be adopted as it is.
func isRefused(m *controlv1.AdoptionMatch) bool {
	return m.GetStripeId() == "" || slices.ContainsFunc(m.GetDoubts(), func(d *controlv1.AdoptionDoubt) bool {
		return adoption.Doubt(d.GetDoubt()).IsRefusal()
	})
}

// prices says in a few words what becomes of the catalog's prices: "2 taken over, 1 new".
func prices(m *controlv1.AdoptionMatch) string {
	var parts []string
	taken := len(m.GetPrices()) - len(m.GetReplace())
	for _, c := range []struct {
		n    int
		what string
	}{{taken, "taken over"}, {len(m.GetReplace()), "replaced"}, {len(m.GetCreate()), "new"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// summary says how the catalog and Stripe match.
func summary(p *controlv1.PlanAdoptionResponse) string {
	rest := p.GetCatalogProducts() - min(p.GetCatalogProducts(), p.GetCertain()+p.GetDoubtful())
	verb := "match"
	if p.GetCertain() == 1 {
		verb = "matches"
	}
	text := fmt.Sprintf("%s of %s of the catalog %s one of %s in Stripe beyond doubt. ", view.Count(p.GetCertain()),
		view.Many(p.GetCatalogProducts(), "product", "products"), verb, view.Count(p.GetStripeProducts()))
	if p.GetDoubtful() > 0 {
		text += view.Many(p.GetDoubtful(), "match is doubtful. ", "matches are doubtful. ")
	}
	if rest > 0 {
		text += view.Many(rest, "product matches none", "products match none") + ": push creates " + them(rest) + " "
		if p.GetCreationsHeld() {
			return text + "once push_create is on."
		}
		return text + "in Stripe."
	}
	return strings.TrimSpace(text)
}

func them(n uint64) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

// nothing says what it means that the list is empty.
func nothing(q query, p *controlv1.PlanAdoptionResponse) (title, text string) {
	switch {
	case q.after != "":
		return "No more matches", "This is the end of the list. It begins on the first page."
	case q.doubt != "" || q.search != "":
		return "Nothing matches", "No match has what is chosen. Matches without a filter: " +
			view.Count(p.GetCertain()+p.GetDoubtful()) + "."
	case p.GetCatalogProducts() == 0:
		return "Nothing to adopt", "The ledger has no product of the catalog that waits for a link."
	case p.GetStripeProducts() == 0:
		return "Nothing to adopt", "Stripe has no product that the catalog does not know."
	}
	return "No matches", "No product of the catalog has the id, metadata, lookup key or name of one in Stripe. " +
		"Try another key of metadata."
}

// selected are what a visitor can do with selected matches.
var selected = []view.Action{{
	Label: "Adopt", Path: "/adoption/apply", Role: auth.Operate,
	Effect: "Push links each selected product to its product in Stripe, in spite of the doubts shown, writes its mark, " +
		"and makes it equal to the catalog. Nothing is done if one of them has changed since.",
	Command: "driftless adopt apply adopt.yaml",
}}

// outLabel names the link that leaves a product out, or takes it back.
func outLabel(q query, product string) string {
	if q.isOut(product) {
		return "Take back " + product
	}
	return "Leave out " + product
}
