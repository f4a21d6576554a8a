package schemas

// vendure returns what Stripe must have for Vendure: variants as products, with translations and soft
// deletion in two tables.
func vendure(t *tables, _ string) Catalog {
	want := Catalog{}
	products, taxes := by(t.all("product"), "id"), by(t.all("tax_category"), "id")
	channels := by(t.all("channel"), "id")
	german, english := map[string]row{}, map[string]row{}
	for table, prefix := range map[string]string{
		"product_translation":         "product ",
		"product_variant_translation": "variant ",
	} {
		for _, r := range t.all(table) {
			switch r.text("languageCode") {
			case "de":
				german[prefix+r.text("baseId")] = r
			case "en":
				english[prefix+r.text("baseId")] = r
			}
		}
	}
	translated := func(key, column string) string {
		if r, ok := german[key]; ok {
			return r.text(column)
		}
		return english[key].text(column)
	}
	for _, v := range t.all("product_variant") {
		id, parent := v.text("id"), products[v.text("productId")]
		if !v.null("deletedAt") || !parent.null("deletedAt") {
			continue
		}
		above := "product " + parent.text("id")
		p := want.product(id, translated("variant "+id, "name"))
		if !v.flag("enabled") || !parent.flag("enabled") {
			p["active"] = "false"
		}
		p.set("description", translated(above, "description"))
		p.set("url", "https://shop.example.com/"+translated(above, "slug"))
		p.set("metadata.sku", v.text("sku"))
		p.set("metadata.product", translated(above, "name"))
		p.set("metadata.tax", taxes[v.text("taxCategoryId")].text("name"))
	}
	currencies := map[string]string{"USD": "usd", "EUR": "eur", "JPY": "jpy"}
	for _, r := range t.all("product_variant_price") {
		p := want[r.text("variantId")]
		if p == nil {
			continue
		}
		channel, currency, behavior := channels[r.text("channelId")], currencies[r.text("currencyCode")], "exclusive"
		if channel.flag("pricesIncludeTax") {
			behavior = "inclusive"
		}
		price := p.price(r.text("id"), currency, r.text("price"))
		price.set("tax_behavior", behavior)
		price.set("currency_options."+currency+".tax_behavior", behavior)
		price.set("nickname", channel.text("code"))
	}
	return want
}
