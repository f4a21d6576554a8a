package adoption

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

var errMovingPlan = errors.New("catalog and Stripe change so fast that the plan could not be read whole: try again, " +
	"or use `driftless adopt plan`")

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

// isRefused reports whether a match with these doubts cannot be adopted as it is.
func isRefused(m *controlv1.AdoptionMatch) bool {
	return m.GetStripeId() == "" || slices.ContainsFunc(m.GetDoubts(), func(d *controlv1.AdoptionDoubt) bool {
		return d.GetDoubt() == string(adoption.Marked) || d.GetDoubt() == string(adoption.MetadataFull)
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
		return "No more matches", "This is the end of the list. Those before are on the first page."
	case q.doubt != "" || q.search != "":
		return "Nothing matches", "No match has what is chosen. All " + view.Count(p.GetCertain()+p.GetDoubtful()) +
			" are on the first page without a filter."
	case p.GetCatalogProducts() == 0:
		return "Nothing to adopt", "No product of the catalog waits for a link: Driftless has written or linked all that it knows."
	case p.GetStripeProducts() == 0:
		return "Nothing to adopt", "Stripe has no product that the catalog does not know."
	}
	return "No matches", "No product of the catalog has the id, metadata, lookup key or name of one in Stripe. " +
		"Try another key of metadata."
}

// selected are what a visitor can do with selected matches.
var selected = []view.Action{{
	Label: "Adopt", Path: "/adoption/apply", Role: auth.Operate,
	Effect: "Push links each selected product to its product in Stripe, with the doubts that you see, writes its mark, " +
		"and makes it equal to the catalog. Nothing is done if one of them has changed since.",
	Command: "driftless adopt apply adopt.yaml",
}}

// entryOf returns the entry that approves a match as it is shown.
func entryOf(m *controlv1.AdoptionMatch) adoption.Entry {
	e := adoption.Entry{
		Product: m.GetProductId(),
		Stripe:  m.GetStripeId(),
		Why:     m.GetWhy(),
		Prices:  m.GetPrices(),
		Replace: m.GetReplace(),
		Doubts:  doubts(m),
		Approve: len(m.GetDoubts()) == 0,
	}
	if e.Prices == nil && e.Stripe != "" {
		// Nil would have the prices paired when the entry is applied.
		e.Prices = map[string]string{}
	}
	return e
}

// doubts returns the doubts about a match as entries have them: see adoption.Proposal.Doubts.
func doubts(m *controlv1.AdoptionMatch) []string {
	var out []string
	for _, d := range m.GetDoubts() {
		out = append(out, adoption.Reservation{Doubt: adoption.Doubt(d.GetDoubt()), Price: d.GetPriceId()}.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// encode returns an entry as the value of a field of a form.
func encode(e adoption.Entry) string {
	text, _ := json.Marshal(e)
	return string(text)
}

// decode reads the value of a field that encode made.
func decode(text string) (adoption.Entry, error) {
	var e adoption.Entry
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Product == "" {
		return e, errors.New("the form has an entry that cannot be read: open the page again")
	}
	return e, nil
}

// requestOf returns an entry for the API.
func requestOf(e adoption.Entry) *controlv1.AdoptionEntry {
	return &controlv1.AdoptionEntry{
		ProductId:   e.Product,
		StripeId:    e.Stripe,
		Why:         e.Why,
		Prices:      e.Prices,
		PairPrices:  e.Prices == nil,
		Replace:     e.Replace,
		Doubts:      e.Doubts,
		KnowsDoubts: e.KnowsDoubts,
	}
}

// argument returns a text as an argument of a command.
func argument(text string) string { return visible.Argument(text) }

// sentence begins a text with a capital letter.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// outLabel names the link that leaves a product out, or takes it back.
func outLabel(q query, product string) string {
	if q.isOut(product) {
		return "Take back " + product
	}
	return "Leave out " + product
}
