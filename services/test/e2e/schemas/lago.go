package schemas

import (
	"fmt"
	"slices"
	"strings"
)

// lago returns what Stripe must have for Lago: plans of one tenant as products, with charges as prices.
func lago(t *tables, account string) Catalog {
	want := Catalog{}
	organizations, features := by(t.all("organizations"), "id"), by(t.all("features"), "id")
	metrics := by(t.all("billable_metrics"), "id")
	entitlements := grouped(t.all("entitlements"), "plan_id")
	plans := by(t.all("plans"), "id")
	for id, r := range plans {
		tenant := map[string]string{"1": "north", "2": "south"}[r.text("organization_id")[35:]]
		if !r.null("deleted_at") || tenant != account {
			continue
		}
		p := want.product(id, r.text("name"))
		p.set("description", r.text("description"))
		p.set("metadata.code", r.text("code"))
		p.set("metadata.organization", organizations[r.text("organization_id")].text("name"))
		var names []string
		for _, e := range entitlements[id] {
			if f := features[e.text("feature_id")]; f.null("deleted_at") {
				names = append(names, f.text("name"))
			}
		}
		slices.Sort(names)
		p.list("marketing_features", ".name", names)
		price := p.price(id+"-base", strings.ToLower(r.text("amount_currency")), r.text("amount_cents"))
		price.lagoInterval(r, "licensed")
		price.set("nickname", "Base")
	}
	for _, r := range t.all("charges") {
		p := want[r.text("plan_id")]
		if p == nil || !r.null("deleted_at") {
			continue
		}
		lagoCharge(t, p, r, plans[r.text("plan_id")], metrics[r.text("billable_metric_id")])
	}
	return want
}

func lagoCharge(t *tables, p Fields, charge, plan, metric row) {
	properties, amount := charge.object("properties"), ""
	if !properties.null("amount") {
		amount = t.cents(properties.text("amount"))
	}
	currency := strings.ToLower(plan.text("amount_currency"))
	price := p.price(charge.text("id")+"-charge", currency, amount)
	price.lagoInterval(plan, "metered")
	price.set("nickname", metric.text("name"))
	price.set("nickname", charge.text("invoice_display_name"))
	switch charge.text("charge_model") {
	case "1":
		price.tiers(t, "graduated", properties.objects("graduated_ranges"))
	case "2":
		price.set("transform_quantity.divide_by", properties.text("package_size"))
		price.set("transform_quantity.round", "up")
	case "4":
		price.tiers(t, "volume", properties.objects("volume_ranges"))
	}
}

func (p wantedPrice) lagoInterval(plan row, usage string) {
	switch plan.text("interval") {
	case "0":
		p.recurring("week", "1", usage)
	case "1":
		p.recurring("month", "1", usage)
	case "2":
		p.recurring("year", "1", usage)
	case "3":
		p.recurring("month", "3", usage)
	}
}

// tiers describes the ranges of a charge as Stripe's tiers. A flat amount of zero is not sent, and Stripe shows none.
func (p wantedPrice) tiers(t *tables, mode string, ranges []row) {
	p.set("billing_scheme", "tiered")
	p.set("tiers_mode", mode)
	for i, r := range ranges {
		for _, of := range []string{"", "currency_options." + p.currency + "."} {
			at := fmt.Sprintf("%stiers.%d.", of, i)
			p.set(at+"up_to", r.text("to_value"))
			p.tierAmount(at+"unit_amount", t.cents(r.text("per_unit_amount")))
			if flat := r.text("flat_amount"); flat != "0" {
				p.tierAmount(at+"flat_amount", t.cents(flat))
			}
		}
	}
}

func (p wantedPrice) tierAmount(path, amount string) {
	if !strings.Contains(amount, ".") {
		p.set(path, amount)
	}
	p.set(path+"_decimal", amount)
}
