package schemas

import (
	"slices"
	"strings"
	"time"
)

// medusa returns what Stripe must have for Medusa: products whose prices are three joins away, in many currencies.
func medusa(t *tables, _ string) Catalog {
	want := Catalog{}
	types, categories := by(t.all("product_type"), "id"), by(t.all("product_category"), "id")
	images := grouped(t.all("image", "rank", "id"), "product_id")
	links := grouped(t.all("product_category_product"), "product_id")
	for _, r := range t.all("product") {
		id := r.text("id")
		if !r.null("deleted_at") {
			continue
		}
		p := want.product(id, r.text("title"))
		if r.text("status") != "published" {
			p["active"] = "false"
		}
		p.set("description", r.text("description"))
		p.set("url", "https://shop.example.com/products/"+r.text("handle"))
		var urls, names []string
		for _, image := range images[id] {
			if image.null("deleted_at") {
				urls = append(urls, image.text("url"))
			}
		}
		for _, link := range links[id] {
			if c := categories[link.text("product_category_id")]; c.null("deleted_at") {
				names = append(names, c.text("name"))
			}
		}
		slices.Sort(names)
		p.list("images", "", urls)
		p.set("metadata.categories", strings.Join(names, ", "))
		p.set("metadata.type", types[r.text("type_id")].text("value"))
	}
	medusaPrices(t, want)
	return want
}

func medusaPrices(t *tables, want Catalog) {
	sets, lists := grouped(t.all("product_variant_price_set"), "variant_id"), by(t.all("price_list"), "id")
	prices := grouped(t.all("price"), "price_set_id")
	for _, variant := range t.all("product_variant") {
		p := want[variant.text("product_id")]
		if p == nil || !variant.null("deleted_at") {
			continue
		}
		for _, set := range sets[variant.text("id")] {
			amounts := map[string]string{}
			for _, r := range prices[set.text("price_set_id")] {
				currency := r.text("currency_code")
				if !r.null("deleted_at") || !r.null("price_list_id") && !t.inForce(lists[r.text("price_list_id")]) {
					continue
				}
				if lowest, ok := amounts[currency]; !ok || t.amount(r.text("amount")).Cmp(t.amount(lowest)) < 0 {
					amounts[currency] = r.text("amount")
				}
			}
			if amounts["eur"] == "" {
				continue
			}
			price := p.price(variant.text("id"), "eur", t.minor(amounts["eur"], "eur"))
			price.set("nickname", variant.text("title"))
			price.set("metadata.sku", variant.text("sku"))
			for currency, amount := range amounts {
				price.option(currency, t.minor(amount, currency))
			}
		}
	}
}

// inForce reports whether a price list is valid now.
func (t *tables) inForce(list row) bool {
	now := time.Now()
	return list.text("status") == "active" &&
		(list.null("starts_at") || !t.moment(list.text("starts_at")).After(now)) &&
		(list.null("ends_at") || t.moment(list.text("ends_at")).After(now))
}
