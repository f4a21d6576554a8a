package adoption

import (
	"encoding/json"
	"errors"
	"slices"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/adoption"
)

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
