package schemas

// saleor returns what Stripe must have for Saleor: variants as products, with channels and a tree of categories.
func saleor(t *tables, _ string) Catalog {
	want := Catalog{}
	products, variants := by(t.all("product_product"), "id"), by(t.all("product_productvariant"), "id")
	categories, taxes := by(t.all("product_category"), "id"), by(t.all("tax_taxclass"), "id")
	channels := by(t.all("channel_channel"), "id")
	media := grouped(t.all("product_productmedia", "sort_order", "id"), "product_id")
	published := map[string]bool{}
	sold := map[string]bool{}
	for _, l := range t.all("product_productchannellisting") {
		if l.flag("is_published") && channels[l.text("channel_id")].flag("is_active") {
			published[l.text("product_id")+" in "+l.text("channel_id")] = true
			sold[l.text("product_id")] = true
		}
	}
	for id, v := range variants {
		parent := products[v.text("product_id")]
		p := want.product(id, parent.text("name")+" ("+v.text("name")+")")
		if !sold[parent.text("id")] {
			p["active"] = "false"
		}
		p.set("description", parent.text("description_plaintext"))
		p.set("url", "https://shop.example.com/"+parent.text("slug"))
		p.set("tax_code", taxes[parent.text("tax_class_id")].text("stripe_code"))
		p.set("metadata.sku", v.text("sku"))
		category := categories[parent.text("category_id")]
		name := category.text("name")
		if above := categories[category.text("parent_id")]; above != nil {
			name = above.text("name") + " > " + name
		}
		p.set("metadata.category", name)
		var images []string
		for _, m := range media[parent.text("id")] {
			images = append(images, "https://media.example.com/"+m.text("image"))
		}
		p.list("images", "", images)
	}
	for _, l := range t.all("product_productvariantchannellisting") {
		variant, channel := variants[l.text("variant_id")], channels[l.text("channel_id")]
		if l.null("price_amount") || !published[variant.text("product_id")+" in "+channel.text("id")] {
			continue
		}
		id := "listing-" + l.text("id")
		currency := map[string]string{"USD": "usd", "PLN": "pln", "JPY": "jpy"}[channel.text("currency_code")]
		p := want[variant.text("id")]
		p.price(id, currency, t.minor(l.text("price_amount"), currency)).set("nickname", channel.text("slug"))
		if channel.text("slug") == "default-channel" {
			p.set("default_price", id)
		}
	}
	return want
}
