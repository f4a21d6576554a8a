package cli

import (
	"io"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func (p *catalogPreview) print(w io.Writer) {
	for _, product := range p.Products {
		product.print(w)
	}
	s := p.Summary
	if len(p.Products) > 0 {
		say(w)
	}
	if s.Products == 0 {
		sayf(w, "No products: the products query returns no rows.\n")
	} else {
		sayf(w, "Read %s with %s: %s active, %s refused", countOf(s.Products, "product", "products"),
			countOf(s.Prices, "price", "prices"), formatCount(uint64(s.Active)), formatCount(uint64(s.Refused)))
		if s.Held > 0 {
			sayf(w, ", %s held by your checks", formatCount(uint64(s.Held)))
		}
		if more := s.more(); more > 0 {
			sayf(w, ". %s not shown (--limit 0 shows all)", formatCount(uint64(more)))
		}
		sayf(w, ".\n")
	}
	printReasons(w, "Refused:", s.Reasons)
	printReasons(w, "Held:", s.Checks)
	if s.Unchecked > 0 {
		sayf(w, "Unknown for %s: a check of yours could not run (driftless config check --database says why).\n",
			countOf(s.Unchecked, "product", "products"))
	}
	sayf(w, "Nothing was written: not to the database, and not to Stripe.\n")
}

// more returns how many products that were asked for are not shown.
func (s *catalogSummary) more() int {
	if s.RefusedOnly {
		return s.Refused - s.Shown
	}
	return s.Products - s.Shown
}

func printReasons(w io.Writer, title string, reasons []refusalReason) {
	if len(reasons) == 0 {
		return
	}
	sayf(w, "%s\n", title)
	for _, r := range reasons {
		sayf(w, "  %s: %s (such as product %s)\n", countOf(r.Products, "product", "products"), r.Reason,
			r.Example)
	}
}

func (p previewedProduct) print(w io.Writer) {
	product := p.read.Product
	mark := "+"
	if len(p.Refused) > 0 {
		mark = "!"
	}
	sayf(w, "%s %s", mark, p.ID)
	if product.GetName() != "" {
		sayf(w, "  %q", product.GetName())
	}
	if product != nil && product.Active != nil && !product.GetActive() {
		sayf(w, "  (archived)")
	}
	sayf(w, "\n")
	for _, reason := range p.Refused {
		sayf(w, "    refused: %s\n", reason)
	}
	for _, reason := range p.Held {
		sayf(w, "    held: %s\n", reason)
	}
	for _, price := range product.GetPrices() {
		printPreviewedPrice(w, product, price)
	}
}

func printPreviewedPrice(w io.Writer, product *catalogv1.Product, price *catalogv1.Price) {
	sayf(w, "    price %s  %s", price.GetId(), catalog.FormatPrice(price))
	if price.GetNickname() != "" {
		sayf(w, "  %q", price.GetNickname())
	}
	if product.GetDefaultPrice() != "" && product.GetDefaultPrice() == price.GetId() {
		sayf(w, "  (default)")
	}
	if price.Active != nil && !price.GetActive() {
		sayf(w, "  (archived)")
	}
	sayf(w, "\n")
}
