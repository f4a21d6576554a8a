package schemas

import (
	"slices"
	"strings"
)

// woocommerce returns what Stripe must have for WooCommerce: posts as products, with attributes as rows.
func woocommerce(t *tables, _ string) Catalog {
	want := Catalog{}
	posts, terms := by(t.all("wp_posts"), "ID"), by(t.all("wp_terms"), "term_id")
	taxonomy := by(t.all("wp_term_taxonomy"), "term_taxonomy_id")
	currency := strings.ToLower(by(t.all("wp_options"), "option_name")["woocommerce_currency"].text("option_value"))
	meta := map[string]string{}
	for _, r := range t.all("wp_postmeta") {
		meta[r.text("post_id")+" "+r.text("meta_key")] = r.text("meta_value")
	}
	categories := map[string][]string{}
	for _, r := range t.all("wp_term_relationships") {
		if x := taxonomy[r.text("term_taxonomy_id")]; x.text("taxonomy") == "product_cat" {
			categories[r.text("object_id")] = append(categories[r.text("object_id")],
				terms[x.text("term_id")].text("name"))
		}
	}
	kept := func(r row) bool { return r.text("post_status") != "trash" }
	for id, r := range posts {
		if r.text("post_type") != "product" || !kept(r) {
			continue
		}
		p := want.product(id, r.text("post_title"))
		if r.text("post_status") != "publish" {
			p["active"] = "false"
		}
		p.set("description", r.text("post_excerpt"))
		p.set("url", "https://shop.example.com/product/"+r.text("post_name"))
		p.set("images.0", posts[meta[id+" _thumbnail_id"]].text("guid"))
		p.set("metadata.sku", meta[id+" _sku"])
		slices.Sort(categories[id])
		p.set("metadata.categories", strings.Join(categories[id], ", "))
	}
	for id, r := range posts {
		product, nickname := id, ""
		switch r.text("post_type") {
		case "product":
		case "product_variation":
			product, nickname = r.text("post_parent"), r.text("post_title")
		default:
			continue
		}
		amount := meta[id+" _price"]
		// A price that is no number keeps its product unchanged, so the test leaves that product out.
		if p := want[product]; p != nil && kept(r) && amount != "" && !strings.Contains(amount, ",") {
			p.price(id, currency, t.minor(amount, "eur")).set("nickname", nickname)
		}
	}
	return want
}
