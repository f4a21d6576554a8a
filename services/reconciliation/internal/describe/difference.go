// Package describe puts differences into words, with amounts formatted in their currency.
package describe

import (
	"fmt"
	"strconv"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/forecast"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// Texts describes each difference in a line: `field description: "A" in the catalog, "B" in Stripe`.
func Texts(differences []*meshv1.Difference) []string {
	words := make([]string, len(differences))
	for i, d := range differences {
		words[i] = visible.Words(d.GetKind())
		if d.GetField() != "" {
			words[i] += " " + d.GetField()
		}
		if d.GetCatalog() != "" || d.GetStripe() != "" {
			words[i] += fmt.Sprintf(": %s in the catalog, %s in Stripe",
				valueText(d.GetCatalog(), d.GetCatalogWords()), valueText(d.GetStripe(), d.GetStripeWords()))
		}
	}
	return words
}

// valueText returns a value in quotes, or its formatted amount if there is one.
func valueText(value, amount string) string {
	if amount != "" {
		return amount
	}
	return strconv.Quote(Truncate(value))
}

// Drift returns a product's drift as differences with formatted amounts.
func Drift(drift []*ledger.Drift, p *ledger.Product) []*meshv1.Difference {
	out := make([]*meshv1.Difference, len(drift))
	for i, d := range drift {
		out[i] = Difference(d)
		AddAmounts(out[i], p)
	}
	return out
}

// Difference returns drift as a difference, without formatted amounts.
func Difference(d *ledger.Drift) *meshv1.Difference {
	return forecast.Difference(d.Difference, d.Action)
}

// Truncate shortens a text for a message.
func Truncate(s string) string {
	const maxRunes = 80
	if r := []rune(s); len(r) > maxRunes {
		return string(r[:maxRunes]) + "..."
	}
	return s
}
