package api

import (
	"encoding/json"
	"fmt"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/row"
)

// batch has the parameters of the statements for a call.
type batch struct {
	// products and prices are arrays of rows, as JSON.
	products, prices     []byte
	productIDs, priceIDs []string
	// positions has the positions of the prices in the call, by their ids.
	positions map[string]pricePosition
}

type pricePosition struct{ path, product string }

func newBatch(products []*catalogv1.Product) (*batch, error) {
	b := &batch{priceIDs: []string{}, positions: map[string]pricePosition{}}
	productRows, priceRows := make([]row.Row, 0, len(products)), []row.Row{}
	for i, p := range products {
		productRows = append(productRows, row.FromProduct(p))
		b.productIDs = append(b.productIDs, p.GetId())
		for j, price := range p.GetPrices() {
			priceRows = append(priceRows, row.FromPrice(price, p.GetId()))
			b.priceIDs = append(b.priceIDs, price.GetId())
			b.positions[price.GetId()] = pricePosition{fmt.Sprintf("products[%d].prices[%d]", i, j), p.GetId()}
		}
	}
	var err error
	if b.products, err = json.Marshal(productRows); err != nil {
		return nil, fmt.Errorf("encode products: %w", err)
	}
	if b.prices, err = json.Marshal(priceRows); err != nil {
		return nil, fmt.Errorf("encode prices: %w", err)
	}
	return b, nil
}
