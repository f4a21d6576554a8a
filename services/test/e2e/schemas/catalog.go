package schemas

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Catalog holds products by id, as Stripe shows them.
type Catalog map[string]Fields

// Fields are those of a product and its active prices: a value for each path, such as "name", "metadata.color",
// "images.0" or "prices.mug-eur.unit_amount". Prices have the ids of the catalog. What is null or empty is not there.
type Fields map[string]string

// product adds a product on sale.
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

// list stores values under a path with their indexes; suffix is what follows these: ".name".
func (f Fields) list(path, suffix string, values []string) {
	for i, v := range values {
		f.set(fmt.Sprintf("%s.%d%s", path, i, suffix), v)
	}
}

// wantedPrice is a price of a product that is being described.
type wantedPrice struct {
	fields       Fields
	at, currency string
}

// price adds a price that is paid once. amount is in minor units and may have a fraction.
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

// amount stores an amount in the two fields that Stripe shows it in.
func (p wantedPrice) amount(path, amount string) {
	if amount == "" {
		return
	}
	if !strings.Contains(amount, ".") {
		p.set(path+"unit_amount", amount)
	}
	p.set(path+"unit_amount_decimal", amount)
}

// option stores what the price is in a currency. Stripe lists the price's own currency among them.
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
}

// Differences lists what Stripe holds and should not, and what it lacks. Of a product that is not wanted Stripe may
// hold an archived one without active prices.
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

// Count is how many values there are.
func (c Catalog) Count() (n int) {
	for _, f := range c {
		n += len(f)
	}
	return n
}
