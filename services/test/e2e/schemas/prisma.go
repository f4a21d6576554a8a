package schemas

import (
	"fmt"
	"slices"
	"strings"
)

// prisma returns what Stripe must have for Prisma: products with names in mixed case, enumerations and arrays.
func prisma(t *tables, _ string) Catalog {
	want := Catalog{}
	brands, taxes, tags := by(t.all(`"Brand"`), "id"), by(t.all(`"TaxClass"`), "id"), by(t.all(`"Tag"`), "id")
	names := map[string][]string{}
	for _, r := range t.all(`"_ProductToTag"`) {
		sku := strings.ToLower(r.text("A"))
		names[sku] = append(names[sku], tags[r.text("B")].text("name"))
	}
	// The index ignores the case of the sku, as the database does.
	products := map[string]Fields{}
	for _, r := range t.all(`"Product"`) {
		sku := r.text("sku")
		if r.text("status") == "DRAFT" {
			continue
		}
		p := want.product(sku, r.text("title"))
		products[strings.ToLower(sku)] = p
		if r.text("status") != "ACTIVE" {
			p["active"] = "false"
		}
		p.list("marketing_features", ".name", r.texts("features"))
		p.list("images", "", r.texts("imageUrls"))
		p.set("tax_code", taxes[r.text("taxClassId")].text("stripeCode"))
		for key, value := range r.object("attributes") {
			if key == "size" {
				for side, length := range r.object("attributes").object("size") {
					p.set("package_dimensions."+side, fmt.Sprint(length))
				}
			} else if value != nil {
				p.set("metadata."+key, fmt.Sprint(value))
			}
		}
		p.set("metadata.brand", brands[r.text("brandId")].text("displayName"))
		tagged := names[strings.ToLower(sku)]
		slices.Sort(tagged)
		p.set("metadata.tags", strings.Join(tagged, ", "))
	}
	for _, r := range t.all(`"Price"`) {
		p := products[strings.ToLower(r.text("productSku"))]
		if p == nil {
			continue
		}
		id := r.text("id")
		price := p.price(id, strings.ToLower(r.text("currency")), r.text("amount"))
		switch r.text("interval") {
		case "MONTHLY":
			price.recurring("month", "1", "licensed")
		case "YEARLY":
			price.recurring("year", "1", "licensed")
		}
		if r.flag("isDefault") {
			p.set("default_price", id)
		}
	}
	return want
}
