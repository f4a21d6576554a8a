package describe

import (
	"fmt"
	"slices"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// PriceSummary describes the prices that a product is sold at, in the catalog or else in Stripe: the default price, or
// else the first active one, and how many more are active. It returns "" if none is active.
func PriceSummary(desired *catalogv1.ProductChange, observed *catalogv1.Observed) string {
	product := desired.GetProduct()
	byDefault, prices := product.GetDefaultPrice(), product.GetPrices()
	if product == nil {
		byDefault, prices = observed.GetProduct().GetDefaultPrice(), nil
		for _, held := range observed.GetPrices() {
			price := held.GetPrice()
			if held.GetStripeId() == byDefault || price.GetId() != "" && price.GetId() == byDefault {
				prices = append([]*catalogv1.Price{price}, prices...)
			} else {
				prices = append(prices, price)
			}
		}
	}
	prices = slices.DeleteFunc(slices.Clone(prices),
		func(p *catalogv1.Price) bool { return p == nil || p.Active != nil && !p.GetActive() })
	if len(prices) == 0 {
		return ""
	}
	shown := prices[0]
	if i := slices.IndexFunc(prices, func(p *catalogv1.Price) bool {
		return byDefault != "" && p.GetId() == byDefault
	}); i >= 0 {
		shown = prices[i]
	}
	if len(prices) == 1 {
		return catalog.FormatPrice(shown)
	}
	return fmt.Sprintf("%s (+%d)", catalog.FormatPrice(shown), len(prices)-1)
}
