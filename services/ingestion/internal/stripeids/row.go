package stripeids

import (
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Row is a row of the table, without its account.
type Row struct {
	// PriceID is empty in the row of the product.
	ProductID, PriceID             string
	StripeProductID, StripePriceID string
	LookupKey                      string
	// Active reports whether Stripe sells the product, or sells at the price.
	Active bool
	// IsDefault reports whether the price is the product's default price.
	IsDefault bool
}

// Rows returns the rows of a product, ordered by price. It returns none for a product that Driftless does not manage:
// such a product is not in the catalog, or its state is not known.
func Rows(o *catalogv1.Observed) []Row {
	if !catalog.IsManaged(o) {
		return nil
	}
	rows := []Row{{
		ProductID:       o.GetProductId(),
		StripeProductID: catalog.StripeID(o),
		Active:          catalog.IsOnSale(o),
	}}
	for id, p := range catalog.PricesInUse(o) {
		rows = append(rows, Row{
			ProductID:       o.GetProductId(),
			PriceID:         id,
			StripeProductID: catalog.StripeID(o),
			StripePriceID:   p.GetStripeId(),
			LookupKey:       p.GetPrice().GetLookupKey(),
			Active:          catalog.IsPriceOnSale(o, p),
			IsDefault:       p.GetStripeId() == o.GetProduct().GetDefaultPrice(),
		})
	}
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.PriceID, b.PriceID) })
	return rows
}

// version returns the catalog's version that a state belongs to. While push makes the calls of a version, its claim has
// that version, and the state has the one before.
func version(o *catalogv1.Observed) uint64 { return max(o.GetVersion(), o.GetClaim().GetVersion()) }
