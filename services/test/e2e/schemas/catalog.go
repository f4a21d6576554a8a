package schemas

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Catalog maps ids to products as Stripe shows them.
type Catalog map[string]Fields

// Fields are the fields of a product and its active prices by path, such as "name", "metadata.color", "images.0" or
// "prices.mug-eur.unit_amount". Prices have the ids of the catalog. Null and empty values are left out.
type Fields map[string]string

// product adds an active product.
func (c Catalog) product(id, name string) Fields {
	f := Fields{"name": name, "active": "true"}
	c[id] = f
	return f
}

// set stores a value, unless it is empty.
func (f Fields) set(path, value string) {
	if value != "" {
		f[path] = value
	}
}

// list stores values under a path with their indexes. suffix, such as ".name", follows each index.
func (f Fields) list(path, suffix string, values []string) {
	for i, v := range values {
		f.set(fmt.Sprintf("%s.%d%s", path, i, suffix), v)
	}
}

// wantedPrice is a price of a product under construction.
type wantedPrice struct {
	fields       Fields
	at, currency string
}

// price adds a one-time price. amount is in minor units and may have a fraction.
func (f Fields) price(id, currency, amount string) wantedPrice {
	p := wantedPrice{fields: f, at: "prices." + id + ".", currency: currency}
	p.set("active", "true")
	p.set("type", "one_time")
	p.set("billing_scheme", "per_unit")
	p.set("currency", currency)
	p.set("tax_behavior", "unspecified")
	p.set("lookup_key", id)
	p.set("metadata.driftless_price", id)
	p.amount("", amount)
	p.option(currency, amount)
	return p
}

func (p wantedPrice) set(path, value string) { p.fields.set(p.at+path, value) }

// amount stores an amount in the two fields in which Stripe shows it.
func (p wantedPrice) amount(path, amount string) {
	if amount == "" {
		return
	}
	if !strings.Contains(amount, ".") {
		p.set(path+"unit_amount", amount)
	}
	p.set(path+"unit_amount_decimal", amount)
}

// option stores the price's amount in a currency. Stripe lists the price's own currency among the options.
func (p wantedPrice) option(currency, amount string) {
	p.set("currency_options."+currency+".tax_behavior", "unspecified")
	p.amount("currency_options."+currency+".", amount)
}

// recurring makes it a price of a subscription.
func (p wantedPrice) recurring(interval, count, usage string) {
	p.set("type", "recurring")
	p.set("recurring.interval", interval)
	p.set("recurring.interval_count", count)
	p.set("recurring.usage_type", usage)
	if usage == "metered" {
		// Stripe sums the usage of a metered price without a meter.
		p.set("recurring.aggregate_usage", "sum")
	}
}

// Differences lists what Stripe has and should not have, and what it lacks. Stripe may have an archived product without
// active prices where none is wanted.
func Differences(want, seen Catalog) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if _, ok := seen[id]; !ok {
			out = append(out, fmt.Sprintf("product %s is not in Stripe", id))
			continue
		}
		paths := maps.Clone(want[id])
		maps.Copy(paths, seen[id])
		for _, path := range slices.Sorted(maps.Keys(paths)) {
			wanted, isWanted := want[id][path]
			held, isHeld := seen[id][path]
			if wanted != held || isWanted != isHeld {
				out = append(out, fmt.Sprintf("product %s: %s is %q, want %q", id, path, held, wanted))
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		if _, ok := want[id]; ok {
			continue
		}
		for _, path := range slices.Sorted(maps.Keys(seen[id])) {
			isPrice := strings.HasPrefix(path, "prices.") && strings.HasSuffix(path, ".active")
			if isPrice || path == "active" && seen[id][path] != "false" {
				out = append(out, fmt.Sprintf("product %s is not in the catalog: %s is %q", id, path, seen[id][path]))
			}
		}
	}
	return out
}

// Count returns the number of values.
func (c Catalog) Count() (n int) {
	for _, f := range c {
		n += len(f)
	}
	return n
}
