package schemas

// northwind returns what Stripe must have for Northwind: products with floating-point prices and lookup tables.
func northwind(t *tables, _ string) Catalog {
	want := Catalog{}
	categories, suppliers := by(t.all("categories"), "category_id"), by(t.all("suppliers"), "supplier_id")
	countries := by(t.all("countries"), "code")
	for _, r := range t.all("products") {
		id, onSale := r.text("product_id"), r.text("discontinued") == "0"
		p := want.product(id, r.text("product_name"))
		p["active"] = map[bool]string{true: "true", false: "false"}[onSale]
		p.set("description", r.text("quantity_per_unit"))
		supplier := suppliers[r.text("supplier_id")]
		p.set("metadata.category", categories[r.text("category_id")].text("category_name"))
		p.set("metadata.supplier", supplier.text("company_name"))
		p.set("metadata.country", countries[supplier.text("country_code")].text("name"))
		if onSale && !r.null("unit_price") {
			p.price(id+"-usd", "usd", t.minor(r.text("unit_price"), "usd"))
		}
	}
	return want
}
